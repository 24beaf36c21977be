"""Families of input differences, drawn at random, planted with cv2, Pillow and numpy.

Unlike the fixed list of `preprocess_faults`, each draw has its own pipeline, sizes and strength.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from qdebug.preprocess.check import CheckResult
from tests.support.preprocess_faults import Picture, Tensor, alarms

Rng = np.random.Generator
Floats = NDArray[np.floating[Any]]

_LUMA = {"601": (0.299, 0.587, 0.114), "709": (0.2126, 0.7152, 0.0722)}
_NUMBERS = (
    ("/255", (0.0,) * 3, (255.0,) * 3),
    ("mean 123.675,116.28,103.53 std 58.395,57.12,57.375",
     (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    ("mean 127.5 std 127.5", (127.5,) * 3, (127.5,) * 3),
)  # fmt: skip


@dataclass(frozen=True)
class Pipeline:
    """A right pipeline, drawn at random, step by step."""

    kind: str
    width: int
    height: int
    numbers: int
    bgr: bool

    @classmethod
    def draw(cls, rng: Rng, kinds: tuple[str, ...] = ("letterbox", "stretch", "crop")) -> Pipeline:
        side = int(rng.choice([224, 320, 416]))
        other = side if rng.random() < 0.6 else int(rng.choice([192, 256, 352]))
        kind = str(rng.choice(kinds))
        if kind == "crop":
            other = side
        return cls(kind, side, other, int(rng.integers(len(_NUMBERS))), bool(rng.random() < 0.3))

    @property
    def short(self) -> int:
        """Shorter side before a centre crop."""
        return round(self.width / 0.875)

    @property
    def spec(self) -> str:
        geometry = {
            "letterbox": f"letterbox {self.width}x{self.height} pad 114",
            "stretch": f"resize {self.width}x{self.height}",
            "crop": f"resize {self.short} cv2 linear | center-crop {self.width}",
        }[self.kind]
        order = "bgr" if self.bgr else "rgb"
        return f"{geometry} | {order} | {_NUMBERS[self.numbers][0]} | nchw"

    def placed(self, rgb: Tensor, floor: bool = True) -> Tensor:
        """Resize and place a picture; the values stay."""
        if self.kind == "stretch":
            return np.asarray(cv2.resize(rgb, (self.width, self.height)))
        if self.kind == "letterbox":
            return self.framed(self.inner(rgb))
        scaled = self.scaled(rgb, floor)
        left = round((scaled.shape[1] - self.width) / 2)
        top = round((scaled.shape[0] - self.height) / 2)
        return scaled[top : top + self.height, left : left + self.width]

    def scaled(self, rgb: Tensor, floor: bool = True) -> Tensor:
        """Scale the shorter side, before the crop."""
        height, width = rgb.shape[:2]
        longer = self.short * max(height, width) / min(height, width)
        whole = int(longer) if floor else round(longer)
        size = (self.short, whole) if width <= height else (whole, self.short)
        return np.asarray(cv2.resize(rgb, size))

    def inner(self, rgb: Tensor) -> Tensor:
        """Scale into the letterbox."""
        ratio = min(self.width / rgb.shape[1], self.height / rgb.shape[0])
        size = round(rgb.shape[1] * ratio), round(rgb.shape[0] * ratio)
        return np.asarray(cv2.resize(rgb, size))

    def framed(self, inner: Tensor, dx: int = 0, dy: int = 0) -> Tensor:
        """Pad with 114, the picture moved by (dx, dy) from its place."""
        canvas = np.full((self.height, self.width, 3), 114, inner.dtype)
        top = round((self.height - inner.shape[0]) / 2 - 0.1) + dy
        left = round((self.width - inner.shape[1]) / 2 - 0.1) + dx
        y0, x0 = max(top, 0), max(left, 0)
        y1, x1 = (
            min(top + inner.shape[0], self.height),
            min(left + inner.shape[1], self.width),
        )
        canvas[y0:y1, x0:x1] = inner[y0 - top : y1 - top, x0 - left : x1 - left]
        return canvas

    def finished(self, pixels: Tensor) -> Tensor:
        """Normalize and lay out as NCHW."""
        values = pixels[..., ::-1] if self.bgr else pixels
        _, mean, std = _NUMBERS[self.numbers]
        normalized = (values.astype(np.float32) - np.array(mean, np.float32)) / np.array(
            std, np.float32
        )
        return np.ascontiguousarray(normalized.transpose(2, 0, 1)[None].astype(np.float32))


@dataclass(frozen=True)
class Draw:
    """One planted difference.

    Attributes:
        title: what was planted, with its strength.
        spec: the right pipeline.
        fed: what is fed instead.
        wanted: exactly these slugs at ``warn`` or ``fail``; any of the sets given.
        shows: whether the difference moves the pixels by half a code (rms) at all.
    """

    title: str
    spec: str
    fed: Tensor
    wanted: tuple[frozenset[str], ...]
    shows: bool = True


def _draw(
    title: str, line: Pipeline, pixels: Tensor, rgb: Picture, *wanted: frozenset[str]
) -> Draw:
    """Finish what was drawn; a difference of less than half a code (rms) leaves no trace."""
    clean = line.placed(rgb)
    gap = np.sqrt(np.mean((pixels.astype(np.float32) - clean.astype(np.float32)) ** 2))
    return Draw(title, line.spec, line.finished(pixels), wanted, bool(gap >= 0.5))


def _slugs(*names: str) -> frozenset[str]:
    return frozenset(names)


NOTHING = _slugs()


def rgb_to_yuv(rgb: Tensor, matrix: str, limited: bool) -> Tensor:
    kr, _, kb = _LUMA[matrix]
    values = rgb.astype(np.float64)
    y = values @ np.array(_LUMA[matrix])
    u, v = (values[..., 2] - y) / (2 - 2 * kb), (values[..., 0] - y) / (2 - 2 * kr)
    if limited:
        y, u, v = y * 219 / 255 + 16, u * 224 / 255, v * 224 / 255
    return np.asarray(np.clip(np.rint(np.stack([y, u + 128, v + 128], axis=-1)), 0, 255))


def yuv_to_rgb(yuv: Tensor, matrix: str, limited: bool) -> Picture:
    kr, kg, kb = _LUMA[matrix]
    y, u, v = yuv[..., 0], yuv[..., 1] - 128, yuv[..., 2] - 128
    if limited:
        y, u, v = (y - 16) * 255 / 219, u * 255 / 224, v * 255 / 224
    r, b = y + (2 - 2 * kr) * v, y + (2 - 2 * kb) * u
    g = (y - kr * r - kb * b) / kg
    return np.asarray(np.clip(np.rint(np.stack([r, g, b], axis=-1)), 0, 255), np.uint8)


def subsample(yuv: Tensor, how: str) -> Tensor:
    """Halve the chroma: mean or first pixel of 2x2, read back repeated or interpolated."""
    if how == "full":
        return yuv
    height, width = yuv.shape[:2]
    chroma = np.ascontiguousarray(yuv[..., 1:].astype(np.float32))
    half = ((width + 1) // 2, (height + 1) // 2)
    first = cv2.INTER_NEAREST if "first" in how else cv2.INTER_AREA
    small = np.rint(cv2.resize(chroma, half, interpolation=first))
    up = cv2.INTER_LINEAR if "linear" in how else cv2.INTER_NEAREST
    full = cv2.resize(small, (width, height), interpolation=up)
    return np.concatenate([yuv[..., :1], full], axis=-1)


def through(rgb: Picture, rng: Rng, written: tuple[str, bool], read: tuple[str, bool]) -> Picture:
    """Write and read as YUV, chroma as drawn."""
    how = str(rng.choice(["full", "mean", "mean linear", "first", "first linear"]))
    return yuv_to_rgb(subsample(rgb_to_yuv(rgb, *written), how), *read)


def _placed_some_time(
    line: Pipeline, rgb: Picture, rng: Rng, change: Callable[[Picture], Picture]
) -> Tensor:
    """Change the picture's colours before it is resized (a camera's frame), or afterwards."""
    if rng.random() < 0.5:
        return line.placed(change(rgb))
    if line.kind == "letterbox":
        return line.framed(change(line.inner(rgb)))
    return change(line.placed(rgb))


def yuv_misread(rgb: Picture, rng: Rng) -> Draw:
    line = Pipeline.draw(rng)
    standards = [(m, limited) for m in ("601", "709") for limited in (True, False)]
    one, two = (standards[int(k)] for k in rng.choice(4, 2, replace=False))
    slugs = {"yuv-range"} if one[1] != two[1] else set()
    if one[0] != two[0]:
        slugs.add("yuv-matrix")
    pixels = _placed_some_time(line, rgb, rng, lambda p: through(p, rng, one, two))
    wanted = [frozenset(slugs)]
    if len(slugs) == 2 and _gap(rgb, one, two) < 1:
        wanted.append(_slugs("yuv-range"))
    return _draw(f"{one} read as {two}", line, pixels, rgb, *wanted)


def _gap(rgb: Picture, one: tuple[str, bool], two: tuple[str, bool]) -> float:
    """What the matrix adds to a misread range, rms in codes: nothing on a gray picture."""
    written = rgb_to_yuv(rgb, *one)
    both, only = yuv_to_rgb(written, *two), yuv_to_rgb(written, one[0], two[1])
    return float(np.sqrt(np.mean((both.astype(np.float32) - only.astype(np.float32)) ** 2)))


def yuv_correct(rgb: Picture, rng: Rng) -> Draw:
    line = Pipeline.draw(rng)
    one = (str(rng.choice(["601", "709"])), bool(rng.random() < 0.5))
    pixels = _placed_some_time(line, rgb, rng, lambda p: through(p, rng, one, one))
    return _draw(f"{one} and back", line, pixels, rgb, NOTHING)


def gamma(rgb: Picture, rng: Rng) -> Draw:
    line = Pipeline.draw(rng)
    exponent = float(rng.choice([1 / 2.2, 1 / 1.8, 0.8, 1.25, 1.8, 2.2, 2.4]))
    table = np.clip(np.rint(255 * (np.arange(256) / 255) ** exponent), 0, 255).astype(np.uint8)
    pixels = _placed_some_time(line, rgb, rng, lambda p: table[p])
    return _draw(f"gamma {exponent:.3f}", line, pixels, rgb, _slugs("gamma"))


def tone_curve(rgb: Picture, rng: Rng) -> Draw:
    """A camera's S curve, a logarithm, or the sRGB transfer function."""
    line = Pipeline.draw(rng)
    x = np.arange(256) / 255
    name = str(rng.choice(["s-curve", "log", "srgb decoded", "srgb encoded"]))
    k = rng.uniform(4, 8)
    s = 1 / (1 + np.exp(-k * (x - 0.5)))
    curve = {
        "s-curve": (s - s[0]) / (s[-1] - s[0]),
        "log": np.log1p(k * x) / np.log1p(k),
        "srgb decoded": np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4),
        "srgb encoded": np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055),
    }[name]
    table = np.clip(np.rint(255 * curve), 0, 255).astype(np.uint8)
    pixels = _placed_some_time(line, rgb, rng, lambda p: table[p])
    return _draw(name, line, pixels, rgb, _slugs("gamma"), _slugs("not-identifiable"))


def contrast(rgb: Picture, rng: Rng) -> Draw:
    """An affine map that is nobody's convention: must not fail."""
    line = Pipeline.draw(rng)
    gain, offset = rng.uniform(0.6, 0.93), rng.uniform(5, 20)
    pixels = line.placed(rgb).astype(np.float32) * np.float32(gain) + np.float32(offset)
    return _draw(f"{gain:.3f} x + {offset:.1f}", line, pixels, rgb, _slugs("not-identifiable"))


def shifted(rgb: Picture, rng: Rng) -> Draw:
    line = Pipeline.draw(rng)
    dx, dy = 0, 0
    while dx == dy == 0:
        dx, dy = (int(v) for v in rng.integers(-1, 2, 2))
    if line.kind == "letterbox":
        pixels = line.framed(line.inner(rgb), dx, dy)
    elif line.kind == "stretch":
        matrix = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
        pixels = np.asarray(
            cv2.warpAffine(
                line.placed(rgb), matrix, (line.width, line.height), borderMode=cv2.BORDER_REPLICATE
            )
        )
    else:
        pixels = cut(line, rgb, dx, dy)
    return _draw(f"{line.kind} moved {dx},{dy}", line, pixels, rgb, _slugs("resize-geometry"))


def cut(line: Pipeline, rgb: Picture, dx: int, dy: int) -> Tensor:
    """Cut beside the centre, within what the scaled picture has."""
    scaled = line.scaled(rgb)
    left = round((scaled.shape[1] - line.width) / 2) - dx
    top = round((scaled.shape[0] - line.height) / 2) - dy
    left = min(max(left, 0), scaled.shape[1] - line.width)
    top = min(max(top, 0), scaled.shape[0] - line.height)
    return scaled[top : top + line.height, left : left + line.width]


def crop_offset(rgb: Picture, rng: Rng) -> Draw:
    line = Pipeline.draw(rng, ("crop",))
    dx, dy = (int(v) for v in rng.integers(-16, 17, 2))
    return _draw(
        f"cut {dx},{dy} beside the centre", line, cut(line, rgb, dx, dy), rgb,
        _slugs("resize-geometry"),
    )  # fmt: skip


def short_side_rounding(rgb: Picture, rng: Rng) -> Draw:
    line = Pipeline.draw(rng, ("crop",))
    pixels = line.placed(rgb, floor=False)
    return _draw("round, not floor", line, pixels, rgb, _slugs("resize-geometry"))


def jpeg_quality(rgb: Picture, rng: Rng) -> Draw:
    line = Pipeline.draw(rng)
    quality = int(rng.choice([40, 60, 75, 85, 92, 96]))
    pixels = _placed_some_time(line, rgb, rng, lambda p: compressed(p, quality))
    return _draw(f"JPEG {quality}", line, pixels, rgb, NOTHING)


def compressed(rgb: Picture, quality: int) -> Picture:
    _, code = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(code, cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.asarray(decoded[..., ::-1], np.uint8)


def half_precision(rgb: Picture, rng: Rng) -> Draw:
    line = Pipeline.draw(rng)
    tensor = line.finished(line.placed(rgb)).astype(np.float16)
    held = str(rng.choice(["float16", "float32"]))
    return Draw(f"float16 held as {held}", line.spec, tensor.astype(held), (NOTHING,), False)


def eight_bits(rgb: Picture, rng: Rng) -> Draw:
    """The input quantizer's own rounding, dequantized again."""
    line = Pipeline.draw(rng)
    tensor = line.finished(line.placed(rgb))
    scale = np.float32((tensor.max() - tensor.min()) / 255)
    zero = np.rint(-tensor.min() / scale)
    codes = np.clip(np.rint(tensor / scale) + zero, 0, 255)
    held = ((codes - zero) * scale).astype(np.float32)
    return Draw("rounded to 8 bits", line.spec, held, (NOTHING,), False)


def turned(rgb: Picture, rng: Rng) -> Draw:
    """The picture turned by 90 degrees before the pipeline, or the tensor after it."""
    line = Pipeline.draw(rng)
    times = int(rng.choice([1, 3]))
    pixels = line.placed(np.ascontiguousarray(np.rot90(rgb, times)))
    return _draw(f"turned {times} x 90", line, pixels, rgb, _slugs("flip-rotate"))


def layout_contradicted(rgb: Picture, rng: Rng) -> Draw:
    line = Pipeline.draw(rng)
    tensor = line.finished(line.placed(rgb))
    if rng.random() < 0.5:
        return Draw("NHWC", line.spec, tensor.transpose(0, 2, 3, 1), (_slugs("layout"),))
    wide = -line.width % 16 or 16
    padded = np.pad(tensor, ((0, 0), (0, 0), (0, 0), (0, wide)))
    return Draw("rows padded", line.spec, padded, (_slugs("row-stride"),))


def clean(rgb: Picture, rng: Rng) -> Draw:
    line = Pipeline.draw(rng)
    return Draw(line.spec, line.spec, line.finished(line.placed(rgb)), (NOTHING,), False)


FAMILIES: dict[str, Callable[[Picture, Rng], Draw]] = {
    "YUV misread": yuv_misread,
    "gamma": gamma,
    "other tone curve": tone_curve,
    "contrast and brightness": contrast,
    "moved by a pixel": shifted,
    "crop beside the centre": crop_offset,
    "shorter side rounded": short_side_rounding,
    "turned by 90 degrees": turned,
    "layout contradicts the spec": layout_contradicted,
    "(control) YUV and back": yuv_correct,
    "(control) JPEG": jpeg_quality,
    "(control) float16": half_precision,
    "(control) 8 bits": eight_bits,
    "(control) clean": clean,
}


def outcome(draw: Draw, result: CheckResult) -> str:
    """``right``, ``no trace``, ``untold`` (said to be not identifiable), ``wrong`` or ``fail``.

    ``fail`` is the worst: something that was not planted at status ``fail``.
    """
    named = frozenset(alarms(result))
    failed = {f.slug for f in result.findings if f.status == "fail"}
    if failed - frozenset().union(*draw.wanted):
        return "fail"
    if named in draw.wanted:
        return "right"
    if not draw.shows and not named:
        return "no trace"
    if named == {"not-identifiable"}:
        return "untold"
    return "wrong"
