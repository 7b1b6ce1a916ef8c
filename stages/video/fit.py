"""How a frame of the wanted size is taken from a picture: one constant window per clip."""

from dataclasses import dataclass

from stages.video.probe import Probe

_EVEN_FROM = 16  # pictures at least this large are cut at even pixels, where their chroma samples begin


@dataclass(frozen=True)
class Window:
    """A rectangle of the displayed picture in its pixels (x, y: left and top edge); it may reach outside."""

    x: float
    y: float
    width: float
    height: float

    def as_tuple(self) -> tuple[float, float, float, float]:
        return (self.x, self.y, self.width, self.height)


@dataclass(frozen=True)
class FitPlan:
    """What the filters do, in whole pixels, and the window that this amounts to exactly.

    crop: x, y, width, height in stored pixels (after rotation). scaled: width, height after scaling. pad: left and top
    border. size: of the output. window: the part of the displayed picture that fills the output.
    """

    crop: tuple[int, int, int, int]
    scaled: tuple[int, int]
    pad: tuple[int, int]
    size: tuple[int, int]
    window: Window


def centre_window(width: int, height: int, size: tuple[int, int]) -> Window:
    """The largest window of the output's aspect inside the picture, in its middle."""
    return window_around(width, height, size, (width / 2, height / 2), float("inf"))


def pad_window(width: int, height: int, size: tuple[int, int]) -> Window:
    """The smallest window of the output's aspect that holds the whole picture."""
    aspect = size[0] / size[1]
    w, h = max(width, height * aspect), max(height, width / aspect)
    return Window((width - w) / 2, (height - h) / 2, w, h)


def window_around(width: int, height: int, size: tuple[int, int], centre: tuple[float, float], extent: float) -> Window:
    """A window of the output's aspect and of height `extent` (at most what fits), moved inside the picture."""
    aspect = size[0] / size[1]
    h = min(extent, height, width / aspect)
    w = h * aspect
    x = min(max(centre[0] - w / 2, 0.0), width - w)
    y = min(max(centre[1] - h / 2, 0.0), height - h)
    return Window(x, y, w, h)


def plan(probe: Probe, window: Window, size: tuple[int, int]) -> FitPlan:
    """Whole-pixel steps that show `window` at `size` (width, height), as near as pixels allow."""
    stored = (probe.coded_width, probe.coded_height)
    if probe.rotation % 180:
        stored = (stored[1], stored[0])
    shown = (probe.width, probe.height)
    start, extent = (window.x, window.y), (window.width, window.height)
    axes = [_axis(stored[i], shown[i], start[i], extent[i], size[i]) for i in (0, 1)]
    (crop_x, crop_w, scaled_w, pad_x, x, w), (crop_y, crop_h, scaled_h, pad_y, y, h) = axes
    return FitPlan(
        crop=(crop_x, crop_y, crop_w, crop_h),
        scaled=(scaled_w, scaled_h),
        pad=(pad_x, pad_y),
        size=size,
        window=Window(x, y, w, h),
    )


def _axis(stored: int, shown: int, start: float, extent: float, size: int) -> tuple[int, int, int, int, float, float]:
    """One axis: crop start and length (stored pixels), scaled length, border, and the window's true start, extent."""
    unit = 2 if stored >= _EVEN_FROM else 1
    ratio = stored / shown
    first = min(max(start, 0.0), shown - 1.0) * ratio
    last = min(start + extent, float(shown)) * ratio
    length = max(unit, unit * round((last - first) / unit)) if last - first < stored - unit / 2 else stored
    crop = min(unit * round(first / unit), stored - length)
    inside = start > -1e-6 and start + extent < shown + 1e-6
    scaled = size if inside else min(size, max(1, round(length / ratio * size / extent)))
    scale = scaled / (length / ratio)  # output pixels per displayed pixel
    border = min(max(0, round((crop / ratio - start) * size / extent)), size - scaled)
    return crop, length, scaled, border, crop / ratio - border / scale, size / scale
