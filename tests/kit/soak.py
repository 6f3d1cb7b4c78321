"""What the soaks have in common, which run by their own command: arguments, and the end."""

import argparse
import sys


def parser(doc):
    """Of a file whose first line of documentation says what it measures."""
    return argparse.ArgumentParser(description=doc.split("\n")[0])


def exit_code(scope, good):
    """0 if `good`; else 1, and the logs are shown before what they belong to is gone."""
    if not good:
        print(scope.logs(), file=sys.stderr)
    return 0 if good else 1
