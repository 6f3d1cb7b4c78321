"""The families of rows as bar charts: SVG written by hand, so that they need nothing to be drawn or seen."""

from xml.sax.saxutils import escape

_WIDTH, _LEFT, _RIGHT = 760, 130, 90
_BAR, _GAP, _GROUP_GAP, _TOP = 18, 5, 34, 64
_FONT = 'font-family="sans-serif"'
# Dark enough for text of their own colour on white; the limits, which nobody competes with, are grey.
_COLOURS = {"lanyard": "#0b6e4f", "direct": "#9a9a9a", "aead": "#9a9a9a", "relay": "#9a9a9a"}
_OTHERS = "#4a6fa5"


def _number(value):
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3 if value >= 0.1 else 4
    return f"{value:,.{digits}f}"


def bar_chart(title, groups, labels):
    """`groups`: [(label, [(contender, value)])], all in one unit and on one scale; shorter is better."""
    groups = [(label, bars) for label, bars in groups if bars]
    most = max(value for _, bars in groups for _, value in bars) or 1.0
    parts, y = [], _TOP
    for label, bars in groups:
        parts.append(f'<text x="16" y="{y - 8}" {_FONT} font-size="13" font-weight="bold" fill="#222">'
                     f'{escape(label)}</text>')
        for name, value in bars:
            width = max(1.0, (_WIDTH - _LEFT - _RIGHT) * value / most)
            middle = y + _BAR - 5
            parts.append(f'<text x="{_LEFT - 8}" y="{middle}" {_FONT} font-size="12" text-anchor="end" fill="#222">'
                         f'{escape(labels[name])}</text>')
            parts.append(f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" '
                         f'fill="{_COLOURS.get(name, _OTHERS)}"/>')
            parts.append(f'<text x="{_LEFT + width + 6:.1f}" y="{middle}" {_FONT} font-size="12" fill="#222">'
                         f'{_number(value)}</text>')
            y += _BAR + _GAP
        y += _GROUP_GAP
    height = y - _GROUP_GAP + 16
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="26" {_FONT} font-size="16" font-weight="bold" fill="#111">{escape(title)}</text>',
        *parts, "</svg>", ""])


def _group(values, label, row, figure, scale=1.0, without=()):
    return label, [(name, rows[row][figure] * scale) for name, rows in values.items()
                   if name not in without and figure in rows.get(row, {})]


def _families(values):
    cpu = {"figure": "cpu_s", "without": ("direct",)}  # which has no proxy to spend any
    yield "requests-cpu", "CPU of both proxies per 1000 requests: ms", [
        _group(values, label, row, scale=1e3, **cpu)
        for row, label in (("1x64B", "1 x 64 B"), ("32x64B", "32 x 64 B"), ("32x4KiB", "32 x 4 KiB"))]
    yield "bulk-cpu", "CPU of both proxies per GB: s", [
        _group(values, "to the server", "bulk-up", **cpu), _group(values, "to the client", "bulk-down", **cpu)]
    yield "connections-cpu", "CPU of both proxies per 1000 new connections: s", [
        _group(values, "no resumption", "connections", **cpu),
        _group(values, "TLS sessions resumed", "connections-resumed", **cpu),
        _group(values, "mesh protocol", "connections-pooled", **cpu)]
    yield "latency", "Time of one request at a time, 64 B: µs", [
        _group(values, "p50", "1x64B", "p50_us"), _group(values, "p99", "1x64B", "p99_us")]
    yield "storm", "Time of a request while 500 new TLS connections a second arrive: ms", [
        _group(values, "p99, one request of 64 B at a time", "storm", "p99_us", scale=1e-3)]
    yield "memory", "Memory of a proxy at rest: MB", [
        _group(values, "Pss", "memory", "rest_pss_bytes", 1e-6),
        _group(values, "Rss", "memory", "rest_rss_bytes", 1e-6)]
    yield "memory-idle", "Memory of an idle connection, both proxies: kB", [
        _group(values, "growth of Pss by 1000 connections, a thousandth", "memory", "idle_pss_bytes", 1e-3)]


def drawings(values, labels):
    """{file name without ending: SVG} of the families that have figures."""
    return {name: bar_chart(title, groups, labels) for name, title, groups in _families(values)
            if any(bars for _, bars in groups)}
