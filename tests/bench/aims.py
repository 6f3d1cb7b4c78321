"""What Lanyard aims at, as ratios to the others in the same run: machines and days differ, a run does not."""

import dataclasses
import typing

# Every aim holds against these too, at this ratio.
FIELD = {"envoy": 0.50, "ghostunnel": 0.50}


@dataclasses.dataclass
class Aim:
    label: str
    value: typing.Callable      # (medians, contender) -> number, or None where it was not measured
    ratios: dict                # contender -> at most this share of its value
    at_most: float = None       # beside ratios: an amount, in the unit of `label`


def _figure(row, figure="cpu_s", scale=1.0):
    def value(medians, name):
        number = medians.get(name, {}).get(row, {}).get(figure)
        return None if number is None else number * scale
    return value


def added_p50(medians, name):
    """Of one request at a time, over the same without any proxy; in microseconds."""
    own, floor = _figure("1x64B", "p50_us")(medians, name), _figure("1x64B", "p50_us")(medians, "direct")
    return None if own is None or floor is None else own - floor


def _mesh_beside_plain(medians, name):
    """Lanyard's pooled connections beside what a new connection costs whoever has no pool."""
    return _figure("connections-pooled" if name == "lanyard" else "connections")(medians, name)


AIMS = (
    Aim("CPU-s per GB to the server", _figure("bulk-up"), {"haproxy": 0.70, "nginx": 0.70}),
    Aim("CPU-s per GB to the client", _figure("bulk-down"), {"haproxy": 0.70, "nginx": 0.70}),
    Aim("CPU-s per 1000 requests, 32 x 64 B", _figure("32x64B"), {"nginx": 0.75}),
    Aim("CPU-s per 1000 requests, 32 x 4 KiB", _figure("32x4KiB"), {"nginx": 0.75}),
    Aim("Added p50 of one request at a time, µs", added_p50, {"haproxy": 0.60, "nginx": 0.75}),
    Aim("CPU-s per 1000 new connections, mesh protocol", _mesh_beside_plain, {"haproxy": 0.08, "nginx": 0.12}),
    Aim("CPU-s per 1000 new connections, plain TLS, not resumed", _figure("connections"), {"nginx": 0.55}),
    Aim("p99 of a request while 500 new TLS connections/s arrive, µs", _figure("storm", "p99_us"), {"haproxy": 0.50}),
    Aim("Memory of an idle connection, the pair: kB", _figure("memory", "idle_pss_bytes", 1e-3), {}, at_most=24),
    Aim("Memory of a proxy at rest (Pss): MB", _figure("memory", "rest_pss_bytes", 1e-6), {}, at_most=8),
)


@dataclasses.dataclass
class Verdict:
    label: str
    against: str       # a contender, or "" for an amount
    ours: float
    theirs: float      # for an amount: the most there may be
    ratio: float
    aim: float

    @property
    def met(self):
        return self.ratio <= self.aim


def verdicts(medians):
    """One for each aim and contender that the run has figures for."""
    for aim in AIMS:
        ours = aim.value(medians, "lanyard")
        if ours is None:
            continue
        if aim.at_most is not None:
            yield Verdict(aim.label, "", ours, aim.at_most, ours / aim.at_most, 1.0)
        for name, ratio in {**aim.ratios, **FIELD}.items():
            theirs = aim.value(medians, name)
            if theirs:
                yield Verdict(aim.label, name, ours, theirs, ours / theirs, ratio)
