"""A wall clock that can be set without setting the machine's: for processes that start after it was made."""

import os
import pathlib
import struct
import subprocess

_SOURCE = pathlib.Path(__file__).with_suffix(".cc")


class ShiftedClock:
    """Every Lanyard process of the test has it, the command line too. Ends with the scope."""

    def __init__(self, scope):
        library = scope.folder / "shifted_clock.so"
        done = subprocess.run(["g++", "-std=c++17", "-O1", "-shared", "-fPIC", "-o", library, _SOURCE],
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"g++: {done.stderr.strip()}")
        self._path = scope.folder / "clock-shift"
        self.jump(0)
        library.chmod(0o755)
        self._path.chmod(0o644)
        # A sanitizer's library would want to come first; it need not.
        sanitizer = ":".join(filter(None, (os.environ.get("ASAN_OPTIONS"), "verify_asan_link_order=0")))
        for name, value in (("LD_PRELOAD", str(library)), ("LANYARD_TEST_CLOCK_SHIFT", str(self._path)),
                            ("ASAN_OPTIONS", sanitizer)):
            before = os.environ.get(name)
            os.environ[name] = value
            scope.callback(_restore, name, before)

    def jump(self, to_s):
        """All clocks are wrong by that much from now on."""
        shift = struct.pack("=q", int(to_s * 1e9))
        if not self._path.exists():
            self._path.write_bytes(shift)
        with open(self._path, "r+b") as file:  # in one write: it is mapped by those who run
            file.write(shift)


def _restore(name, value):
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
