"""Charts as inline SVG. Colours are CSS variables of the page, so that they follow its light and dark themes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

BINS = 32
_W, _H, _PAD = 300, 92, 4


@dataclass(frozen=True)
class Threshold:
    """A limit on a figure. side: "min" (values below fail) or "max" (values above fail). origin: who judges by it."""

    value: float
    side: str
    origin: str


def histogram(values: np.ndarray, thresholds: Sequence[Threshold] = ()) -> Markup:
    """Counts of finite values [N] in equal bins, those beyond a threshold in the warning colour, thresholds as lines.

    The outermost half percent on either side is counted in the outermost bins, so that one outlier does not flatten
    the picture; thresholds near the range widen it.
    """
    low, high = np.percentile(values, [0.5, 99.5])
    span = max(high - low, 1e-12)
    near = [t.value for t in thresholds if low - span <= t.value <= high + span]
    low, high = min([low, *near]), max([high, *near])
    if high - low < 1e-9 * max(abs(high), 1e-3):
        half = 0.5 * max(abs(low), 1e-6)
        low, high = low - half, high + half
    counts, edges = np.histogram(np.clip(values, low, high), bins=BINS, range=(low, high))
    scale = (_W - 2 * _PAD) / (high - low)
    tallest = max(int(counts.max()), 1)
    parts = [
        f'<svg viewBox="0 0 {_W} {_H + 16}" class="hist" role="img" aria-label="histogram of {len(values)} values">'
    ]
    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        if count:
            tall = max(1.0, count / tallest * (_H - 8))
            here = values[(values >= left) & (values <= right)]
            least, most = (here.min(), here.max()) if len(here) else (left, right)
            bad = any(most < t.value if t.side == "min" else least > t.value for t in thresholds)
            x, width = _PAD + (left - low) * scale, max((right - left) * scale - 0.8, 0.6)
            title = f"{count} from {left:.4g} to {right:.4g}"
            parts.append(
                f'<rect x="{x:.1f}" y="{_H - tall:.1f}" width="{width:.1f}" height="{tall:.1f}" '
                f'class="{"bad" if bad else "bar"}"><title>{title}</title></rect>'
            )
    parts.append(f'<line x1="{_PAD}" x2="{_W - _PAD}" y1="{_H}" y2="{_H}" class="axis"/>')
    for threshold in thresholds:
        if low <= threshold.value <= high:
            x = _PAD + (threshold.value - low) * scale
            parts.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="2" y2="{_H}" class="limit"><title>{escape(threshold.origin)}: '
                f"{threshold.side} {threshold.value:g}</title></line>"
            )
    parts.append(f'<text x="{_PAD}" y="{_H + 12}">{low:.3g}</text>')
    parts.append(f'<text x="{_W - _PAD}" y="{_H + 12}" text-anchor="end">{high:.3g}</text></svg>')
    return Markup("".join(parts))  # noqa: S704 (numbers and escaped text only)


def stacked_bar(parts: Sequence[tuple[str, float, str]]) -> Markup:
    """One horizontal bar of (name, amount, CSS class) parts; empty where nothing adds up to more than 0."""
    total = sum(amount for _, amount, _ in parts)
    if total <= 0:
        return Markup('<svg viewBox="0 0 300 12" class="stack" preserveAspectRatio="none"></svg>')
    x, rects = 0.0, []
    for name, amount, kind in parts:
        width = 300 * amount / total
        if amount:
            title = f"{escape(name)}: {amount:g}"
            rects.append(
                f'<rect x="{x:.2f}" y="0" width="{max(width, 0.8):.2f}" height="12" class="{escape(kind)}">'
                f"<title>{title}</title></rect>"
            )
        x += width
    head = '<svg viewBox="0 0 300 12" class="stack" preserveAspectRatio="none" role="img">'
    return Markup(head + "".join(rects) + "</svg>")  # noqa: S704
