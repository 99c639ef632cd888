"""Small charts as SVG, readable on light and dark pages, in a report's page and as files beside README.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from dreamgui.evaluate.statistics import Interval

_STYLE = """<style>
.c-text { font: 13px system-ui, sans-serif; fill: #3c4048 }
.c-soft { font: 12px system-ui, sans-serif; fill: #7a7f89 }
.c-axis { stroke: #8a8f98; stroke-opacity: .28 }
@media (prefers-color-scheme: dark) { .c-text { fill: #d8d6d1 } .c-soft { fill: #9a9fa9 } }
</style>"""
# Okabe and Ito's colours, told apart by colour-blind readers: https://jfly.uni-koeln.de/color/
COLOURS = ("#8a8f98", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
WIDTH, _LEFT, _RIGHT = 720, 190, 56


def svg(height: float, parts: Sequence[str]) -> str:
    """Return an SVG of the usual width and a height in pixels."""
    size = f'viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{_STYLE}{"".join(parts)}</svg>'


def text(x: float, y: float, words: str, anchor: str = "start", soft: bool = False) -> str:
    """Return a text at a place in pixels. Its baseline is ``y``."""
    style = "c-soft" if soft else "c-text"
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def line(x0: float, y0: float, x1: float, y1: float) -> str:
    """Return a faint line between two places in pixels."""
    return f'<line class="c-axis" x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"/>'


def interval_chart(rows: Mapping[str, Interval | None]) -> str:
    """One line a name: the mean as a dot on a scale from 0 to 1, its interval as a bar."""
    span, foot = WIDTH - _LEFT - _RIGHT, 12 + 30 * len(rows)
    parts = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = _LEFT + tick * span
        parts += [line(x, 6, x, foot), text(x, foot + 18, f"{tick:g}", "middle", soft=True)]
    for number, (name, interval) in enumerate(rows.items()):
        y, colour = 22 + 30 * number, COLOURS[number % len(COLOURS)]
        parts.append(text(_LEFT - 14, y + 4, name[:26], "end"))
        if interval is None:
            parts.append(text(_LEFT + 8, y + 4, "no face found", soft=True))
            continue
        ends = (interval.low, interval.mean, interval.high) if interval.is_known else (interval.mean,) * 3
        low, mean, high = (_LEFT + min(1.0, max(0.0, value)) * span for value in ends)
        place = f'x="{low:.1f}" y="{y - 4}" width="{max(high - low, 1):.1f}" height="8" rx="4"'
        parts.append(f'<rect {place} fill="{colour}" opacity=".35"/>')
        parts.append(f'<circle cx="{mean:.1f}" cy="{y}" r="6" fill="{colour}"/>')
        parts.append(text(WIDTH - _RIGHT + 12, y + 4, f"{interval.mean:.2f}"))
    return svg(foot + 28, parts)


def curve_chart(curves: Mapping[str, Sequence[tuple[float, float]]], x_label: str) -> str:
    """Lines over a shared scale that begins at 0. Each curve is (x, y) points in the order of x."""
    points = [point for curve in curves.values() for point in curve]
    right = max((x for x, _ in points), default=1) or 1
    top = 1.05 * max((y for _, y in points), default=1) or 1
    left, span, head, foot = 56, WIDTH - 56 - 20, 12, 232
    parts = [text(left + span / 2, foot + 34, x_label, "middle", soft=True)]
    for share in (0.0, 0.5, 1.0):
        y = foot - share * (foot - head)
        parts.append(line(left, y, left + span, y))
        parts.append(text(left - 8, y + 4, f"{share * top:.3g}", "end", soft=True))
        shown = f"{round(share * right, 2):g}"
        parts.append(text(left + share * span, foot + 18, shown, "middle", soft=True))
    for number, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[(number + 1) % len(COLOURS)]
        path = " ".join(
            f"{left + x / right * span:.1f},{foot - y / top * (foot - head):.1f}" for x, y in curve
        )
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        x, y = left + (number % 4) * span / 4, foot + 58 + 20 * (number // 4)
        parts += [
            f'<circle cx="{x + 5:.1f}" cy="{y - 4}" r="5" fill="{colour}"/>',
            text(x + 16, y, name[:22]),
        ]
    return svg(foot + 68 + 20 * ((len(curves) - 1) // 4), parts)


def smoothed(values: Sequence[float], share: float = 0.1) -> list[tuple[float, float]]:
    """Means over a sliding window of this share of all values, as (step from 1, mean): losses are noisy."""
    width = max(1, round(len(values) * share))
    sums = [0.0]
    for value in values:
        sums.append(sums[-1] + value)
    ends = range(width, len(values) + 1, max(1, len(values) // 150))
    return [(float(end), (sums[end] - sums[end - width]) / width) for end in ends]
