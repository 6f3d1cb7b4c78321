"""What one test owns: a folder, and everything that must be given back in reverse order."""

import contextlib
import os
import pathlib
import shutil
import tempfile
import unittest

# Assertions with readable messages: check.assertEqual(...).
check = unittest.TestCase()


class Scope(contextlib.ExitStack):
    """Processes, namespaces and sockets add themselves; leaving the scope ends them all."""

    def __init__(self):
        super().__init__()
        self.processes = []

    def __enter__(self):
        super().__enter__()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="lanyard-test-"))
        os.chmod(self.folder, 0o755)  # processes of other uids read configurations here
        self.callback(shutil.rmtree, self.folder, ignore_errors=True)
        return self

    def logs(self, lines=25):
        """The ends of all logs, for a failure's report."""
        return "\n".join(f"--- {process.name} ({process.state()}), last lines\n{process.tail(lines)}"
                         for process in self.processes)
