#!/usr/bin/env python3
"""Puts every contender under the same loads and prints a table; run.sh is the way in."""

import argparse
import json
import os
import pathlib
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import time

import certificates
import contenders
import measure
import report
from processes import Failure, program


def arguments():
    parser = argparse.ArgumentParser(prog="tests/bench/run.sh", description=__doc__)
    parser.add_argument("--rounds", type=int, help="how often each contender is measured (default 5; --quick: 1)")
    parser.add_argument("--quick", action="store_true", help="short loads: does it run, not how fast it is")
    parser.add_argument("--contenders", help=f"comma-separated, of {','.join(contenders.CONTENDERS)} "
                                             "(default: all that are installed)")
    parser.add_argument("--out", type=pathlib.Path,
                        help="directory for results.json, table.md and the charts (default: none)")
    parser.add_argument("--load-binary", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--lanyard-proxy", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.contenders = [name for name in (options.contenders or "").split(",") if name]
    unknown = set(options.contenders) - set(contenders.CONTENDERS)
    if unknown:
        parser.error(f"there is no contender {', '.join(sorted(unknown))}")
    options.rounds = options.rounds or (1 if options.quick else 5)
    return options


def taking_part(asked):
    """Those asked for, all of which must be here; else all that are here, and a word on those that are not."""
    present = []
    for name in asked or contenders.CONTENDERS:
        lacking = contenders.CONTENDERS[name].lacks()
        if lacking is None:
            present.append(name)
        elif asked or not contenders.CONTENDERS[name].optional:
            raise Failure(lacking)
        else:
            print(f"left out: {lacking}", file=sys.stderr)
    return present


def cpus():
    """(for the pair, for client and server): apart where there are two, so that the pair has one whole core."""
    usable = sorted(os.sched_getaffinity(0))
    return ({usable[0]}, {usable[1]}) if len(usable) > 1 else (set(), set())


def environment(names):
    def first_line(path, *flags):
        try:
            done = subprocess.run([path, *flags], capture_output=True, text=True, check=False)
            line = next(line for line in (done.stdout or done.stderr).splitlines() if line.strip())
            return " ".join(line.replace(path, "").split())  # Envoy's begins with where it lies
        except (OSError, StopIteration):
            return "absent"

    model = [line.partition(":")[2].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")]
    return {"kernel": platform.release(), "cpu": model[0] if model else platform.machine(), "cpus": os.cpu_count(),
            **{name: first_line(program(version[0]), *version[1:]) for name in names
               if (version := contenders.CONTENDERS[name].version)},
            "openssl": first_line("openssl", "version"),
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def run(options, names, directory):
    plan = measure.QUICK if options.quick else measure.FULL
    pair_cpus, load_cpus = cpus()
    keys = directory / "certificates"
    keys.mkdir()
    certificates.mint(keys)
    bench = measure.Bench(options.load_binary, options.lanyard_proxy, directory, keys, pair_cpus, load_cpus)
    rounds = []
    try:
        for number in range(options.rounds):
            # Each round starts with another contender, so that a drift of the machine hits all alike.
            shift = number % len(names)
            results = {}
            for name in names[shift:] + names[:shift]:
                print(f"round {number + 1} of {options.rounds}: {name}", file=sys.stderr, flush=True)
                results[name] = measure.measure(bench, name, directory / f"{number}-{name}", plan)
            rounds.append({name: results[name] for name in names})
    finally:
        bench.close()
    return {"environment": environment(names), "plan": vars(plan), "rounds": rounds, "median": report.medians(rounds)}


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so everything is ended
    signal.signal(signal.SIGINT, signal.default_int_handler)  # even where a parent ignored it
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with tempfile.TemporaryDirectory(prefix="lanyard-bench-") as directory:
            results = run(options, taking_part(options.contenders), pathlib.Path(directory))
    except Failure as failure:
        print(f"tests/bench: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("tests/bench: interrupted; everything it started has ended", file=sys.stderr)
        return 130
    print(report.text(results))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        report.write(results, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
