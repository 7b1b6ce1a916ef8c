"""Picture styles made of OpenCV filters alone: no weights, no downloads.

Each filter takes an RGB picture uint8 [H, W, 3] and a seeded generator, and returns a picture of the same shape.
Lengths in pixels scale with the picture's height (768 is the size they were chosen at), so that a style looks alike at
every resolution. The generator varies a style (hues, levels), never the place of its strokes: both halves of a pair
must change alike.
"""

from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np

StyleName = Literal[
    "cel",
    "oil",
    "watercolour",
    "pencil",
    "coloured_pencil",
    "duotone",
    "comic_halftone",
    "woodcut",
    "neon",
    "pixel_art",
    "pastel",
    "hue_turned",
    "gouache",
    "blueprint",
]
Filter = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def apply(name: StyleName, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`image` uint8 RGB [H, W, 3] in the named style; the same arguments give the same picture."""
    return FILTERS[name](np.ascontiguousarray(image), rng)


def _px(image: np.ndarray, length: float, least: int = 1) -> int:
    """A length chosen at 768 pixels of height, for this picture."""
    return max(least, round(length * image.shape[0] / 768))


def _grey(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def _stretched(grey: np.ndarray) -> np.ndarray:
    """uint8 [H, W] as float32 in 0–1, the darkest and lightest hundredth clipped: one curve for the whole picture."""
    low, high = np.percentile(grey, (1, 99))
    return ((grey.astype(np.float32) - low) / max(1.0, high - low)).clip(0, 1).astype(np.float32)


def _blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur, sigma in pixels at height 768."""
    return cv2.GaussianBlur(image, (0, 0), max(0.5, sigma * image.shape[0] / 768))


def _flatten(image: np.ndarray, strength: int = 3) -> np.ndarray:
    """Texture removed, edges kept: repeated bilateral filters."""
    for _ in range(strength):
        image = cv2.bilateralFilter(image, _px(image, 9, 5), 30, 7)
    return image


def _levels(channel: np.ndarray, count: int) -> np.ndarray:
    """uint8 values on `count` evenly spaced levels from 0 to 255."""
    step = 255.0 / (count - 1)
    return (np.round(channel / step) * step).astype(np.uint8)


def _posterise(image: np.ndarray, count: int) -> np.ndarray:
    """Lightness on `count` levels, hue and saturation kept: the flat shades of a drawing."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    lab[..., 0] = _blur(_levels(lab[..., 0], count), 0.8)
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)


def _ink(image: np.ndarray, width: float = 1.2, gain: float = 9.0) -> np.ndarray:
    """Ink lines as float32 [H, W], 0 on a line and 1 elsewhere: the dark side of a difference of Gaussians."""
    grey = _grey(image).astype(np.float32) / 255
    difference = _blur(grey, width) - 0.98 * _blur(grey, 1.8 * width)
    return _blur(1 + np.tanh(np.minimum(difference * gain * 4, 0)), 0.4).clip(0, 1)


def _saturate(image: np.ndarray, saturation: float, value: float = 1.0, hue_turn: float = 0.0) -> np.ndarray:
    """HSV with scaled saturation and value and hues turned by `hue_turn` degrees."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + hue_turn / 2) % 180
    hsv[..., 1:] = (hsv[..., 1:] * np.array([saturation, value], np.float32)).clip(0, 255)
    return cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)


def _colour(hue: float, saturation: float, value: float) -> np.ndarray:
    """RGB float32 [3] in 0–255 from hue in degrees, saturation and value in 0–1."""
    pixel = np.array([[[hue % 360, saturation, value]]], np.float32)
    return cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0] * 255


def _between(amount: np.ndarray, dark: np.ndarray, light: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] from `dark` (amount 0) to `light` (amount 1); amount is [H, W]."""
    return (dark + amount.clip(0, 1)[..., None] * (light - dark)).clip(0, 255).astype(np.uint8)


def _cel(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    flat = _saturate(_posterise(_flatten(image), int(rng.integers(5, 8))), float(rng.uniform(1.2, 1.6)), 1.05)
    return (flat * _ink(_flatten(image, 1))[..., None]).astype(np.uint8)


def _oil(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Kuwahara's filter: each pixel takes the mean of the quietest of the four squares that it is a corner of."""
    reach = _px(image, float(rng.uniform(5, 8)), 2)
    size = reach + 1
    source = image.astype(np.float32)
    best, quietest = source, np.full(image.shape[:2], np.inf, np.float32)
    for anchor in ((0, 0), (0, reach), (reach, 0), (reach, reach)):
        mean = cv2.boxFilter(source, -1, (size, size), anchor=anchor, borderType=cv2.BORDER_REFLECT)
        square = cv2.boxFilter(source**2, -1, (size, size), anchor=anchor, borderType=cv2.BORDER_REFLECT)
        variance = (square - mean**2).sum(-1)
        chosen = variance < quietest
        best, quietest = np.where(chosen[..., None], mean, best), np.where(chosen, variance, quietest)
    relief = _grey(best.astype(np.uint8)).astype(np.float32)
    emboss = (relief - np.roll(relief, (1, 1), (0, 1))).clip(-12, 12)
    return _saturate((best + emboss[..., None]).clip(0, 255).astype(np.uint8), 1.35)


def _watercolour(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    wash = cv2.stylization(_flatten(image, 1), sigma_s=40 * image.shape[0] / 768, sigma_r=0.5)
    light = 255 - (255 - wash.astype(np.float32)) * float(rng.uniform(0.6, 0.8))
    pooled = _grey(wash).astype(np.float32)
    rim = cv2.morphologyEx(pooled, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).clip(0, 60) * 0.4
    return _saturate((light - rim[..., None]).clip(0, 255).astype(np.uint8), 1.5)


def _dodge(image: np.ndarray, sigma: float) -> np.ndarray:
    """A drawing in grey: the picture over its own blur, float32 [H, W] in 0–1."""
    grey = _grey(image).astype(np.float32)
    return ((grey + 1) / (_blur(grey, sigma) + 1)).clip(0, 1) ** 2.5


def _hatch(shape: tuple[int, ...], spacing: float, angle: float) -> np.ndarray:
    """Parallel strokes, float32 [H, W] in 0–1; angle in radians, spacing in pixels."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return 0.5 + 0.5 * np.sin((x * np.cos(angle) + y * np.sin(angle)) * (2 * np.pi / spacing))


def _pencil(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    lines = _dodge(image, float(rng.uniform(8, 16)))
    shade = _blur(_grey(image), 4).astype(np.float32) / 255
    angle = float(rng.uniform(0.5, 1.1))
    for threshold, turn in ((0.55, 0.0), (0.3, 1.2)):
        strokes = _hatch(image.shape, _px(image, 6, 3), angle + turn)
        lines = lines * (1 - 0.45 * strokes * (shade < threshold))
    paper = _colour(float(rng.uniform(30, 50)), 0.06, 0.98)
    return _between(lines, np.array([45, 45, 50], np.float32), paper)


def _coloured_pencil(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    flat = _saturate(_flatten(image, 2), float(rng.uniform(1.4, 1.9)), 1.1).astype(np.float32)
    strokes = 0.55 + 0.45 * _hatch(image.shape, _px(image, 4, 2), float(rng.uniform(0.4, 1.2)))
    coloured = 255 - (255 - flat) * strokes[..., None] * 0.9
    return (coloured * _dodge(image, 10)[..., None]).clip(0, 255).astype(np.uint8)


def _duotone(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    hue = float(rng.uniform(0, 360))
    dark = _colour(hue, 0.85, 0.22)
    light = _colour(hue + float(rng.uniform(120, 240)), 0.35, 1.0)
    return _between(_stretched(_grey(_flatten(image, 1))), dark, light)


def _comic_halftone(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    flat = _saturate(_posterise(_flatten(image), 4), float(rng.uniform(1.5, 2.0)), 1.15).astype(np.float32)
    pitch = _px(image, 9, 4)
    dots = _hatch(image.shape, pitch, np.pi / 4) * _hatch(image.shape, pitch, -np.pi / 4)
    dark = 1 - _blur(_grey(image), 2).astype(np.float32) / 255
    printed = 1.1 - 0.45 * (dots < dark * 0.5)
    return (flat * (printed * _ink(image, 1.6, 14))[..., None]).clip(0, 255).astype(np.uint8)


def _woodcut(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    grey = _stretched(_grey(_flatten(image, 2)))
    cuts = _hatch(image.shape, _px(image, 7, 3), float(rng.uniform(-0.3, 0.3)) + np.pi / 2)
    carved = _blur((grey > 0.25 + 0.45 * cuts).astype(np.float32), 0.7)
    paper = _colour(float(rng.uniform(25, 60)), float(rng.uniform(0.1, 0.35)), 0.95)
    return _between(carved * (_ink(image, 1.4, 12) > 0.5), np.array([25, 20, 25], np.float32), paper)


def _neon(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    flat = _flatten(image, 1)
    grey = _grey(flat).astype(np.float32)
    edges = cv2.magnitude(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)) / 300
    glow = (edges + 0.6 * _blur(edges, 6)).clip(0, 1)
    colours = _saturate(_blur(flat, 6), 3.0, 1.6, float(rng.uniform(0, 360))).astype(np.float32)
    night = flat.astype(np.float32) * np.array([0.16, 0.14, 0.28], np.float32)
    return (night + colours.clip(70, 255) * glow[..., None]).clip(0, 255).astype(np.uint8)


def _pixel_art(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    side = _px(image, float(rng.uniform(5, 8)), 2)
    small = cv2.resize(image, (max(1, width // side), max(1, height // side)), interpolation=cv2.INTER_AREA)
    small = _levels(_saturate(small, 1.4, 1.05), 6)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)


def _pastel(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    soft = cv2.edgePreservingFilter(image, flags=1, sigma_s=30 * image.shape[0] / 768, sigma_r=0.4)
    tint = _colour(float(rng.uniform(0, 360)), 0.25, 1.0)
    mixed = 0.45 * soft.astype(np.float32) + 0.55 * (0.5 * 255 + 0.5 * tint)
    return (mixed * (0.6 + 0.4 * _ink(image, 2.2, 6))[..., None]).clip(0, 255).astype(np.uint8)


def _hue_turned(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    turned = _saturate(_flatten(image, 1), float(rng.uniform(1.1, 1.8)), 1.0, float(rng.uniform(60, 300)))
    return (turned * _ink(image, 1.0, 6)[..., None]).astype(np.uint8)


def _gouache(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Opaque patches from mean shift in colour and place, edges left to the patches themselves."""
    height, width = image.shape[:2]
    scale = min(
        1.0, 384 / height
    )  # mean shift takes seconds on a large picture and its patches are as flat on a small one
    small = cv2.resize(
        image, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA
    )
    small = cv2.pyrMeanShiftFiltering(small, _px(image, 6, 3), float(rng.uniform(18, 28)), maxLevel=1)
    flat = cv2.medianBlur(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), 5)
    warm = flat.astype(np.float32) * (0.8 + 0.2 * _colour(float(rng.uniform(15, 60)), 0.6, 1.0) / 255)
    return _saturate(_posterise(warm.clip(0, 255).astype(np.uint8), 9), 1.25, 1.08)


def _blueprint(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    grey = _grey(_flatten(image, 1)).astype(np.float32) / 255
    lines = (1 - _ink(image, 1.2, 14)) + 0.28 * grey
    return _between(lines, _colour(float(rng.uniform(190, 260)), 0.85, 0.5), np.array([235, 242, 255], np.float32))


FILTERS: dict[StyleName, Filter] = {
    "cel": _cel,
    "oil": _oil,
    "watercolour": _watercolour,
    "pencil": _pencil,
    "coloured_pencil": _coloured_pencil,
    "duotone": _duotone,
    "comic_halftone": _comic_halftone,
    "woodcut": _woodcut,
    "neon": _neon,
    "pixel_art": _pixel_art,
    "pastel": _pastel,
    "hue_turned": _hue_turned,
    "gouache": _gouache,
    "blueprint": _blueprint,
}
