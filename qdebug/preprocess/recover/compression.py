"""Whether what a pipeline leaves unexplained is JPEG compression."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdebug.preprocess.recover.candidates import Candidate, Made, Picture, Source
from qdebug.preprocess.recover.scene import Scene

_QUALITIES = (30, 40, 50, 60, 70, 75, 80, 85, 90, 95)
_LUMA = np.array([0.299, 0.587, 0.114])
_SAME_CODES = 0.3
_HALFWAY = 0.5
"""Another encoder, or a quality between two that are tried, reproduces a part of the loss only;
loss of another kind reproduces none of it, see ``benchmarks/preprocess.py``."""
_SMALL = 2.5
"""Rms in codes of brightness up to which a part is enough, since rounding is as large. Of a larger
loss compression has to explain half of the power: JPEG controls reach 0.96 to 1, a blurred picture
0.04 (seed 77 of the families)."""


def compression(scene: Scene, candidate: Candidate, pixels: NDArray[Any]) -> tuple[str, float]:
    """Name the JPEG compression that explains what remains; empty if none does.

    The picture is compressed with each quality, before and after it is placed, and what that
    loses is compared with what remains: ``<e, d> / <d, d>`` is 1 for the same loss.

    Args:
        scene: the picture.
        candidate: its geometry.
        pixels: what was fed, R, G, B codes [height, width, 3].

    Returns:
        The words, and what then remains of the brightness, rms in pixel codes.
    """
    made = scene.make(candidate)
    if made is None or not isinstance(scene, Source):
        return "", np.inf
    x0, y0, x1, y1 = made.content
    plain = made.picture[y0:y1, x0:x1] @ _LUMA
    e = np.nan_to_num(pixels[y0:y1, x0:x1] @ _LUMA - plain)
    before = float((e * e).mean())
    best, least = "", before
    for words, other in _compressed(scene, candidate, made):
        d = other[y0:y1, x0:x1] @ _LUMA - plain
        power = float((d * d).mean())
        if power <= _SAME_CODES**2:
            continue
        left = float(((e - d) ** 2).mean())
        if left < least and float((e * d).mean()) / power >= _HALFWAY:
            best, least = words, left
    if before > _SMALL**2 and least > _HALFWAY * before:
        return "", np.inf
    return best, float(np.sqrt(least))


def _compressed(scene: Source, candidate: Candidate, placed: Made) -> Iterator[tuple[str, Picture]]:
    whole = np.clip(np.rint(placed.picture), 0, 255).astype(np.uint8)
    x0, y0, x1, y1 = placed.content
    inside = (x0, y0, x1, y1) != (0, 0, whole.shape[1], whole.shape[0])
    decoded = scene.decoded(candidate.decode)
    for quality in _QUALITIES:
        words = f"JPEG of quality {quality} or so"
        yield f"{words}, behind the resize", _jpeg(whole, quality)
        if inside:
            alone = whole.copy()
            alone[y0:y1, x0:x1] = _jpeg(whole[y0:y1, x0:x1], quality)
            yield f"{words}, between the resize and the padding", alone
        made = scene.made_of(_jpeg(decoded, quality), candidate)
        if made is not None:
            yield f"{words}, before the resize", made.picture


def _jpeg(rgb: Picture, quality: int) -> Picture:
    import cv2

    bgr = np.ascontiguousarray(rgb[..., ::-1])
    _, code = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(code, cv2.IMREAD_COLOR)
    return np.asarray(decoded)[..., ::-1]
