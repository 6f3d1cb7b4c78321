"""/metrics of a process, and what a PromQL query asks for."""

import re

from kit import sockets, waiting

_SAMPLE_SUFFIXES = ("", "_bucket", "_sum", "_count")


def read(port, namespace):
    """The page, once somebody listens there."""
    def page():
        try:
            return sockets.get(port, "/metrics", namespace)
        except ConnectionRefusedError:
            return None
    status, text = waiting.until(page, f"nobody listens at port {port}")
    assert status == 200, f"/metrics at port {port} answered {status}"
    return text


def names(text):
    """Every name that a query may ask for, of families without samples too."""
    found = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        found.update(name + suffix for suffix in (_SAMPLE_SUFFIXES if kind == "histogram" else ("",)))
    return found


def asked_for(query):
    """The metrics of Lanyard that it names."""
    return set(re.findall(r"\blanyard_[a-z_]+", re.sub(r'"[^"]*"', '""', query)))


def value(text, name, **labels):
    """Of one sample, which must be there."""
    for line in text.splitlines():
        head, _, number = line.rpartition(" ")
        if head.partition("{")[0] == name and all(f'{key}="{label}"' in head for key, label in labels.items()):
            return float(number)
    raise AssertionError(f"there is no sample {name} {labels}")
