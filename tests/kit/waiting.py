"""Waiting for a condition, never for a time."""

import select
import time

from kit.binaries import PATIENCE

# Long, as only a failure takes it: a machine three times slower that runs other tests beside this one may well be away
# for seconds at the worst moment.
TIMEOUT_S = 60


def until(condition, what, timeout_s=TIMEOUT_S):
    """The first true value of `condition()`; fails with `what` when the deadline passes."""
    deadline = time.monotonic() + timeout_s * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s * PATIENCE:g} s in vain: {what() if callable(what) else what}")
        select.select([], [], [], 0.02)
