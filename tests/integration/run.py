#!/usr/bin/env python3
"""Runs the integration tests: tests/integration/run.py [--jobs N] [--sum FILE] [PATTERN...]

A test is a file here whose name is a sentence, with a function test(scope). A PATTERN is part of a name. The
binaries come from bazel-bin, or from LANYARD_BIN. Needs root (network namespaces). The last line is
`N passed, N failed`.
"""

import argparse
import concurrent.futures
import importlib
import os
import pathlib
import signal
import subprocess
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE.parent), str(HERE)]

from kit.binaries import PATIENCE, staged  # noqa: E402 (needs the path above)
from kit.scope import Scope  # noqa: E402

DEADLINE_S = 400  # as only a test that hangs takes it


def names(patterns):
    found = sorted(path.stem for path in HERE.glob("*.py") if path.stem != "run" and not path.stem.endswith("soak"))
    return [name for name in found if not patterns or any(pattern.removesuffix(".py") in name for pattern in patterns)]


def run_here(name):
    """In a process of its own: a test may change its thread's namespace, and may hang."""
    module = importlib.import_module(name)
    # The runner's SIGTERM unwinds the scope.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(f"{name} did not end within {DEADLINE_S * PATIENCE:g} s"))
    with Scope() as scope:
        try:
            module.test(scope)
            problems = sanitizer_reports(scope)
            assert not problems, problems
        except BaseException:
            traceback.print_exc()
            print(scope.logs(), file=sys.stderr)
            return 1
    return 0


def sanitizer_reports(scope):
    """What a sanitizer wrote into a log is a failure even where the behaviour was right."""
    for process in scope.processes:
        text = process.log()
        for mark in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer", "runtime error:"):
            if mark in text:
                return f"{process.name}: {mark}\n" + text[text.index(mark):][:6000]
    return ""


def run_apart(name):
    started = time.monotonic()
    child = subprocess.Popen([sys.executable, __file__, "--one", name], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
    try:
        output, _ = child.communicate(timeout=DEADLINE_S * PATIENCE)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGTERM)
        try:
            output, _ = child.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            output, _ = child.communicate()
        output += f"\nnot done within {DEADLINE_S * PATIENCE:g} s"
    remove_namespaces_of(child.pid)
    return name, child.returncode == 0, time.monotonic() - started, output


def remove_namespaces_of(pid):
    """What a killed test could not remove itself."""
    for path in pathlib.Path("/run/netns").glob(f"lanyard-{pid}-*"):
        subprocess.run(["ip", "netns", "delete", path.name], capture_output=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--jobs", type=int, default=max(1, min(4, os.cpu_count() or 1)))
    parser.add_argument("--sum", type=pathlib.Path, metavar="FILE", help="write the last line into FILE instead")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("patterns", nargs="*", metavar="PATTERN")
    arguments = parser.parse_args()
    if arguments.one:
        return run_here(arguments.one)
    chosen = names(arguments.patterns)
    if not chosen:
        sys.exit(f"no test is called like {' or '.join(arguments.patterns)}; see {HERE}")
    failed = []
    with staged(), concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for done in concurrent.futures.as_completed([pool.submit(run_apart, name) for name in chosen]):
            name, passed, took_s, output = done.result()
            print(f"{'PASS' if passed else 'FAIL'} {name} ({took_s:.1f} s)", flush=True)
            if not passed:
                failed.append(name)
                print(output, flush=True)
    for name in failed:
        print(f"failed: {name}")
    total = f"{len(chosen) - len(failed)} passed, {len(failed)} failed\n"
    if arguments.sum:
        arguments.sum.write_text(total)
    else:
        print(total, end="")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
