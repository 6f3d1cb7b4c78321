"""Medians over the rounds, as a Markdown table."""

import statistics

LABELS = {"direct": "direct", "lanyard": "Lanyard", "haproxy": "HAProxy", "nginx": "nginx"}


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
    for row, label in (("connections", "New connections"), ("connections-resumed", "New connections, resumed")):
        yield f"{label}: connections/s", row, "per_second", lambda value: f"{value:,.0f}"
        yield f"{label}: p50 / p99, µs", row, None, None
        yield f"{label}: CPU-s per 1000", row, "cpu_s", lambda value: f"{value:.3f}"
    for row, label in (("bulk-up", "Bulk to the server"), ("bulk-down", "Bulk to the client")):
        yield f"{label}: MB/s", row, "mb_per_second", lambda value: f"{value:,.0f}"
        yield f"{label}: CPU-s per GB", row, "cpu_s", lambda value: f"{value:.3f}"
    for kind, figure in (("Pss", "rest_pss_bytes"), ("Rss", "rest_rss_bytes")):
        yield f"Memory at rest, a proxy, {kind}: MB", "memory", figure, lambda value: f"{value / 1e6:.1f}"
    yield "Memory of an idle connection, the pair: kB", "memory", "idle_pss_bytes", lambda value: f"{value / 1e3:.1f}"


def _cell(figures, figure, show, of_pair):
    if not figures or (figure == "cpu_s" and not of_pair):
        return "-"
    if figure is None:
        return f"{figures['p50_us']:,.0f} / {figures['p99_us']:,.0f}"
    return show(figures[figure])


def _ratio(values, row, figure):
    """Lanyard's cost as a share of HAProxy's; for rates, the other way round, so that below 1 is better."""
    if figure is None or "lanyard" not in values or "haproxy" not in values:
        return ""
    ours, theirs = values["lanyard"][row][figure], values["haproxy"][row][figure]
    if figure.endswith("per_second"):
        ours, theirs = theirs, ours
    return f"{ours / theirs:.2f}" if theirs else "-"


def table(values):
    names = list(values)
    compared = "lanyard" in names and "haproxy" in names
    head = ["", *(LABELS.get(name, name) for name in names)] + (["Lanyard : HAProxy"] if compared else [])
    lines = [head, ["---", *("---:" for _ in head[1:])]]
    for label, row, figure, show in _rows():
        cells = [_cell(values[name].get(row), figure, show, name != "direct") for name in names]
        lines.append([label, *cells] + ([_ratio(values, row, figure)] if compared else []))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
