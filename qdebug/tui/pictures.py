"""Pictures in a terminal: two pixels a cell as half blocks, or shades where that is impossible.

Pillow is imported where it draws: the first screen is there before.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from rich.color import Color
from rich.style import Style
from rich.text import Text

from qdebug.errors import RunError
from qdebug.run.files import RunFiles
from qdebug.tui.context import Look
from qdebug.tui.text import fit

if TYPE_CHECKING:
    from PIL import ImageDraw

Picture = npt.NDArray[np.uint8]
"""uint8 ``[height, width, 3]``, RGB."""

_MAX_PIXELS = 16_000_000
_BOX_COLOURS = {
    "float": (86, 180, 233),
    "quant": (230, 159, 0),
    "lost": (255, 80, 60),
}


def read_picture(files: RunFiles, name: str) -> Picture:
    """A picture of the run.

    Raises:
        RunError: it is missing or is no picture.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(files.read(name))) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise RunError(f"the picture {name} is too large to show")
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise RunError(f"the picture {name} cannot be read: {error}") from error


def scaled(picture: Picture, columns: int, lines: int) -> Picture:
    """The picture as large as fits into cells that are twice as high as wide."""
    from PIL import Image

    height, width = picture.shape[:2]
    factor = min(columns / width, 2 * lines / height)
    size = (max(round(width * factor), 1), max(round(height * factor), 2))
    resample = Image.Resampling.BOX if factor < 1 else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(picture).resize(size, resample))


def difference(one: Picture, other: Picture) -> Picture:
    """Absolute difference, stretched so that the largest one is white; black where equal."""
    from PIL import Image

    if one.shape != other.shape:
        size = (one.shape[1], one.shape[0])
        other = np.asarray(Image.fromarray(other).resize(size, Image.Resampling.BOX))
    gap = np.abs(one.astype(np.int16) - other.astype(np.int16))
    largest = int(gap.max(initial=0))
    return (gap * 255 // largest if largest else gap).astype(np.uint8)


def picture_lines(picture: Picture, columns: int, lines: int, look: Look) -> list[Text]:
    """The picture in at most these cells."""
    if not look.glyphs.half_block or look.palette.mono:
        return _shaded(picture, columns, lines, look)
    small = scaled(picture, columns, lines)
    if len(small) % 2:
        small = np.concatenate([small, np.zeros_like(small[:1])])
    return [_half_blocks(small[y], small[y + 1]) for y in range(0, len(small), 2)]


def _half_blocks(upper: Picture, lower: Picture) -> Text:
    line = Text(no_wrap=True, end="")
    for above, below in zip(upper.tolist(), lower.tolist(), strict=True):
        line.append("▀", Style(color=Color.from_rgb(*above), bgcolor=Color.from_rgb(*below)))
    return line


def _shaded(picture: Picture, columns: int, lines: int, look: Look) -> list[Text]:
    small = scaled(picture, columns, lines)
    light = small.astype(np.float64) @ (0.299, 0.587, 0.114)
    rows = light[: len(light) // 2 * 2].reshape(-1, 2, light.shape[1]).mean(axis=1)
    shades = look.glyphs.shades
    steps = np.minimum((rows / 256 * len(shades)).astype(int), len(shades) - 1)
    return [Text("".join(shades[s] for s in row), no_wrap=True, end="") for row in steps.tolist()]


def boxed_lines(
    picture: Picture,
    sides: Mapping[str, Sequence[Mapping[str, Any]]],
    columns: int,
    lines: int,
    look: Look,
) -> list[Text]:
    """The picture in at most these cells with the boxes of both models drawn on it.

    Boxes are drawn at the size shown, so that a line stays a line. Float boxes are blue, quant
    boxes orange; what only one model found has a dashed frame, and a lost one is red.
    """
    from PIL import Image, ImageDraw

    image = Image.fromarray(scaled(picture, columns, lines))
    draw = ImageDraw.Draw(image)
    for side in ("float", "quant"):
        for box in sides.get(side, ()):
            _draw_box(draw, box, side, image.size)
    return picture_lines(np.asarray(image), image.width, -(-image.height // 2), look)


def _draw_box(
    draw: ImageDraw.ImageDraw, box: Mapping[str, Any], side: str, size: tuple[int, int]
) -> None:
    x1, y1, x2, y2 = (float(v) * edge for v, edge in zip(box["xyxy"], (*size, *size), strict=True))
    left, right = sorted((min(max(x1, 0), size[0] - 1), min(max(x2, 0), size[0] - 1)))
    top, bottom = sorted((min(max(y1, 0), size[1] - 1), min(max(y2, 0), size[1] - 1)))
    match = box.get("match", "kept")
    colour = _BOX_COLOURS["lost" if match == "lost" else side]
    if match == "kept":
        draw.rectangle((left, top, right, bottom), outline=colour)
        return
    for start in range(int(left), int(right), 4):
        draw.line((start, top, min(start + 1, right), top), fill=colour)
        draw.line((start, bottom, min(start + 1, right), bottom), fill=colour)
    for start in range(int(top), int(bottom), 4):
        draw.line((left, start, left, min(start + 1, bottom)), fill=colour)
        draw.line((right, start, right, min(start + 1, bottom)), fill=colour)


def side_by_side(parts: Sequence[tuple[str, list[Text]]], width: int, look: Look) -> list[Text]:
    """Captioned pictures in a row."""
    rows = max((len(lines) for _, lines in parts), default=0)
    caption = Text(no_wrap=True, end="")
    for label, _ in parts:
        caption.append(fit(label, width, look.glyphs) + "  ", look.palette.bold)
    joined = [caption]
    for y in range(rows):
        line = Text(no_wrap=True, end="")
        for _, lines in parts:
            cells = lines[y].copy() if y < len(lines) else Text()
            line.append_text(cells)
            line.append(" " * (width - cells.cell_len + 2))
        joined.append(line)
    return joined
