#!/usr/bin/env python3
"""What a run has found, for people: table.md and charts, from results.json alone. The same results give the same
files, byte for byte."""

import argparse
import json
import pathlib
import statistics

import aims
import charts

LABELS = {"direct": "direct", "aead": "AEAD alone", "relay": "relay, no TLS", "lanyard": "Lanyard",
          "haproxy": "HAProxy", "nginx": "nginx", "ghostunnel": "ghostunnel", "envoy": "Envoy"}

# Lanyard's cost is shown as a share of these ones'.
COMPARED = ("haproxy", "nginx")


def medians(rounds):
    """[{contender: {row: {figure: number}}}] -> the same without the list, each number the median."""
    result = {}
    for contender in rounds[0]:
        result[contender] = {
            row: {figure: statistics.median(one[contender][row][figure] for one in rounds) for figure in figures}
            for row, figures in rounds[0][contender].items()}
    return result


def _rows():
    """(label, row, figure, format); a figure of None is p50 / p99. Lower is better unless it is a rate."""
    for row, label in (("1x64B", "1 x 64 B"), ("32x64B", "32 x 64 B"), ("32x4KiB", "32 x 4 KiB")):
        yield f"{label}: requests/s", row, "per_second", lambda value: f"{value:,.0f}"
        yield f"{label}: p50 / p99, µs", row, None, None
        yield f"{label}: CPU-s per 1000 requests", row, "cpu_s", lambda value: f"{value:.4f}"
    yield "Added p50 of 1 x 64 B, over direct: µs", "added", "p50_us", lambda value: f"{value:,.0f}"
    for row, label in (("connections", "New connections"), ("connections-resumed", "New connections, resumed"),
                       ("connections-pooled", "New connections, mesh protocol")):
        yield f"{label}: connections/s", row, "per_second", lambda value: f"{value:,.0f}"
        yield f"{label}: p50 / p99, µs", row, None, None
        yield f"{label}: CPU-s per 1000", row, "cpu_s", lambda value: f"{value:.3f}"
    yield "1 x 64 B while 500 new connections/s arrive: p50 / p99, µs", "storm", None, None
    yield "... of them served, a second", "storm", "answered_per_second", lambda value: f"{value:,.0f}"
    for row, label in (("bulk-up", "Bulk to the server"), ("bulk-down", "Bulk to the client")):
        yield f"{label}: MB/s", row, "mb_per_second", lambda value: f"{value:,.0f}"
        yield f"{label}: CPU-s per GB", row, "cpu_s", lambda value: f"{value:.3f}"
    for kind, figure in (("Pss", "rest_pss_bytes"), ("Rss", "rest_rss_bytes")):
        yield f"Memory at rest, a proxy, {kind}: MB", "memory", figure, lambda value: f"{value / 1e6:.1f}"
    yield "Memory of an idle connection, the pair: kB", "memory", "idle_pss_bytes", lambda value: f"{value / 1e3:.1f}"


def _with_derived(values):
    derived = {name: dict(rows) for name, rows in values.items()}
    for name, rows in derived.items():
        added = aims.added_p50(values, name)
        if added is not None and name != "direct":
            rows["added"] = {"p50_us": added}
    return derived


def _cell(name, figures, figure, show):
    if figure is None:
        return f"{figures['p50_us']:,.0f} / {figures['p99_us']:,.0f}" if figures and "p99_us" in figures else "-"
    if not figures or figure not in figures or (figure == "cpu_s" and name == "direct"):
        return "-"
    return show(figures[figure])


def _ratio(values, row, figure, other):
    """Lanyard's cost as a share of the other's; for rates, the other way round, so that below 1 is better."""
    ours, theirs = (values[name].get(row, {}).get(figure) for name in ("lanyard", other))
    if not ours or not theirs:
        return ""
    return f"{theirs / ours:.2f}" if figure.endswith("per_second") else f"{ours / theirs:.2f}"


def _markdown(head, lines):
    rows = [head, ["---", *("---:" for _ in head[1:])], *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def table(values):
    values = _with_derived(values)
    compared = [other for other in COMPARED if other in values and "lanyard" in values]
    lines = []
    for label, row, figure, show in _rows():
        cells = [_cell(name, rows.get(row), figure, show) for name, rows in values.items()]
        if set(cells) != {"-"}:
            lines.append([label, *cells, *(_ratio(values, row, figure, other) for other in compared)])
    head = ["", *(LABELS[name] for name in values), *(f"Lanyard : {LABELS[other]}" for other in compared)]
    return _markdown(head, lines)


def aims_table(values):
    lines = []
    for verdict in aims.verdicts(values):
        against = f"{LABELS[verdict.against]} {verdict.theirs:.4g}" if verdict.against else "an amount"
        aim = f"{verdict.aim:.2f}" if verdict.against else f"{verdict.theirs:g}"
        ratio = f"{verdict.ratio:.2f}" if verdict.against else f"{verdict.ours:.4g}"
        lines.append([verdict.label, f"{verdict.ours:.4g}", against, ratio, aim,
                      "met" if verdict.met else "**missed**"])
    return _markdown(["Aim", "Lanyard", "against", "is", "at most", ""], lines)


def text(results):
    environment = ", ".join(f"{key}: {value}" for key, value in results["environment"].items())
    parts = [f"Medians of {len(results['rounds'])} round(s); {environment}.", table(results["median"])]
    if "lanyard" in results["median"]:
        parts.append(aims_table(results["median"]))
    return "\n\n".join(parts)


def write(results, directory):
    (directory / "table.md").write_text(text(results) + "\n")
    for name, drawing in charts.drawings(_with_derived(results["median"]), LABELS).items():
        (directory / f"{name}.svg").write_text(drawing)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from", dest="source", type=pathlib.Path, required=True, help="a results.json")
    parser.add_argument("--out", type=pathlib.Path, help="directory (default: where results.json is)")
    options = parser.parse_args()
    results = json.loads(options.source.read_text())
    results["median"] = medians(results["rounds"])
    write(results, options.out or options.source.parent)


if __name__ == "__main__":
    main()
