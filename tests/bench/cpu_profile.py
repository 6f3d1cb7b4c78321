#!/usr/bin/env python3
"""Where the CPU of one contender goes under one load; profile.sh is the way in."""

import argparse
import collections
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

import bench
import certificates
import contenders
import measure
from processes import Failure, program
from setups import Mode

_HERTZ = 1997      # no divisor of what timers beat at
_ATTACH_S = 0.5
# What a proxy may ask of the kernel while it serves.
_SYSTEM_CALLS = ("accept4 bind clock_nanosleep close connect epoll_ctl epoll_pwait epoll_wait fcntl futex getrandom "
                 "getsockname getsockopt ioctl madvise mmap munmap nanosleep openat read readv recvfrom recvmsg sendmsg "
                 "sendto setsockopt shutdown socket splice write writev").split()
_SECONDS = 4

# Row -> the load's mode and flags.
LOADS = {
    **{row: ("requests", {"connections": connections, "size": size, "seconds": _SECONDS})
       for row, (connections, size) in measure.REQUEST_ROWS.items()},
    "bulk-up": ("bulk-up", {"bytes": 2_000_000_000}),
    "bulk-down": ("bulk-down", {"bytes": 2_000_000_000}),
    "connections": ("connections", {"connections": 8, "count": 3000}),
}


def _part(shared_object, symbol):
    """Which part of the program a sample fell into."""
    name = shared_object.rpartition("/")[2]
    if "kernel" in name or symbol.startswith("[k]"):
        return "kernel"
    if re.match(r"lib(crypto|ssl)\.so", name):
        return "cryptography"
    if re.match(r"(libc|libstdc\+\+|libm|ld-linux[^.]*|libgcc_s)\.so|\[vdso\]", name):
        return "C and C++ library"
    # What is linked into lanyard-proxy and is neither ours nor abseil's is BoringSSL.
    if name == "lanyard-proxy" and not re.search(r"lanyard|absl|std::", symbol):
        return "cryptography"
    return "own code"


def _profile(data):
    """([(part, share)], [(symbol, part, share)]), both by falling share, in percent."""
    text = subprocess.run(["perf", "report", "--stdio", "-i", data, "--no-children", "-F", "overhead,dso,sym",
                           "-t", "\t"], check=True, capture_output=True, text=True).stdout
    parts, symbols = collections.Counter(), []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) != 3 or not fields[0].endswith("%"):
            continue
        share, part = float(fields[0].rstrip("%")), _part(fields[1], fields[2])
        parts[part] += share
        symbols.append((re.sub(r"^\[[.k]\] ", "", fields[2]), part, share))
    return parts.most_common(), sorted(symbols, key=lambda symbol: -symbol[2])


def _system_calls(text):
    """Calls by name, of all threads, as `perf stat -x,` prints them; counted in the kernel, so none is missed."""
    calls = collections.Counter()
    for line in text.splitlines():
        found = re.match(r"(\d+),,syscalls:sys_enter_(\w+),", line)
        if found and int(found.group(1)) > 0:
            calls[found.group(2)] += int(found.group(1))
    return calls


def _watched(run, port, row, command, output):
    """The load's result, with `command` watching the pair meanwhile."""
    watch = []

    def begin_and_end():
        if not watch:
            with open(output, "w") as out:
                watch.append(subprocess.Popen(command, stdout=out, stderr=out))
            time.sleep(_ATTACH_S)
        else:
            watch[0].send_signal(signal.SIGINT)
            watch[0].wait(60)

    mode, flags = LOADS[row]
    try:
        result, _, _ = run.load(port, mode, begin_and_end, **flags)
    finally:
        if watch and watch[0].poll() is None:
            watch[0].kill()
            watch[0].wait()
    return result


def profile(options, directory):
    pair_cpus, load_cpus = bench.cpus()
    keys = directory / "certificates"
    keys.mkdir()
    certificates.mint(keys)
    run = measure.Bench(options.load_binary, options.lanyard_proxy, directory, keys, pair_cpus, load_cpus)
    mode = Mode.FULL if options.row == "connections" else Mode.DEFAULT
    try:
        with measure.running(run, options.contender, directory / "pair", mode) as (_, pids, port):
            listed = ",".join(str(pid) for pid in pids)
            data, output = directory / "perf.data", directory / "perf.log"
            _watched(run, port, options.row, ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(_HERTZ), "-p", listed,
                                              "-o", data], output)
            parts, symbols = _profile(data)
            events = ",".join(f"syscalls:sys_enter_{name}" for name in _SYSTEM_CALLS)
            result = _watched(run, port, options.row, ["perf", "stat", "-x", ",", "-e", events, "-p", listed], output)
            calls = _system_calls(output.read_text())
    finally:
        run.close()
    units, unit = (result["count"], options.row) if "count" in result else (result["bytes"] / 16384, "16 KiB")
    return parts, symbols, calls, units, unit


def show(options, parts, symbols, calls, units, unit):
    print(f"### {options.contender}, {options.row}\n")
    print("CPU of both proxies: " + ", ".join(f"{part} {share:.0f}%" for part, share in parts) + ".\n")
    print("| Function | Part | CPU |\n| --- | --- | ---: |")
    for symbol, part, share in symbols[:options.most]:
        print(f"| `{symbol[:80]}` | {part} | {share:.1f}% |")
    what = "bytes of 16 KiB" if unit == "16 KiB" else "new connection" if unit == "connections" else "request"
    print(f"\nSystem calls per {'16 KiB' if unit == '16 KiB' else what}, both proxies: "
          + ", ".join(f"{name} {count / units:.2f}" for name, count in calls.most_common() if count / units >= 0.005)
          + f"; {sum(calls.values()) / units:.2f} in all.\n")


def main():
    parser = argparse.ArgumentParser(prog="tests/bench/profile.sh", description=__doc__)
    parser.add_argument("row", choices=LOADS)
    parser.add_argument("contender", nargs="?", default="lanyard",
                        choices=[name for name in contenders.CONTENDERS if name not in ("direct", "aead")])
    parser.add_argument("--most", type=int, default=12, help="functions shown (default %(default)s)")
    parser.add_argument("--load-binary", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--lanyard-proxy", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        if program("perf") is None:
            raise Failure("perf is not installed: apt-get install linux-perf")
        with tempfile.TemporaryDirectory(prefix="lanyard-profile-") as directory:
            show(options, *profile(options, pathlib.Path(directory)))
    except Failure as failure:
        print(f"tests/bench: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
