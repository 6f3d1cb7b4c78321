"""Capture by eBPF: what it needs of the machine, and a BPF file system of the test's own."""

import ctypes
import os
import pathlib
import re
import subprocess

BPF_FILE_SYSTEM = pathlib.Path("/sys/fs/bpf")
_CLONE_NEWNS = 0x00020000
_libc = ctypes.CDLL(None, use_errno=True)


def hide_mounts():
    """From here on this process and its children have mounts of their own; those of the machine are copied."""
    if _libc.unshare(_CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare (the tests need root)")
    subprocess.run(["mount", "--make-rslave", "/"], check=True)


def mount_file_system():
    """An empty one, after hide_mounts(). It goes with this process, and what is pinned there with it."""
    subprocess.run(["mount", "-t", "bpf", "bpf", str(BPF_FILE_SYSTEM)], check=True)


def pins():
    """Every file that capture keeps pinned."""
    return sorted(path.name for path in (BPF_FILE_SYSTEM / "lanyard").glob("*/*"))


def lacking():
    """What README says is needed and this machine does not have; None where it has everything."""
    kernel = tuple(int(part) for part in re.match(r"(\d+)\.(\d+)", os.uname().release).groups())
    if kernel < (5, 17):
        return "a kernel of 5.17 or newer"
    if not any(" - cgroup2 " in line for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()):
        return "a cgroup2 mount"
    return None
