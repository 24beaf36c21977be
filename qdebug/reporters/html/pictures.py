"""The pictures of a page: each embedded once, shown by reference as often as needed."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from qdebug.errors import RunError
from qdebug.reporters.html import svg
from qdebug.run.files import RunFiles

if TYPE_CHECKING:
    from PIL import Image

_MAX_SIDE = 320
_AS_STORED_BYTES = 48_000
_PIXELS_SEEN = 128
"""A picture made for the page that is no wider shows its pixels as squares."""
_FORMATS = {"PNG": "png", "JPEG": "jpeg"}


@dataclass(frozen=True)
class Picture:
    """One picture of the page.

    Attributes:
        id: id of its element in the page.
        width: pixels.
        height: pixels.
        data: PNG or JPEG.
        kind: ``png`` or ``jpeg``.
        file: name in the run, None for a picture made for the page.
    """

    id: str
    width: int
    height: int
    data: bytes
    kind: str
    file: str | None

    @property
    def use(self) -> Markup:
        """A reference to the picture, to draw on."""
        return svg.tag("use", href=f"#{self.id}")

    def show(self, label: str) -> Markup:
        """The picture by itself."""
        return svg.figure(label, self.width, self.height, self.use, class_="picture")

    @property
    def definition(self) -> Markup:
        """The one element that holds the data."""
        source = f"data:image/{self.kind};base64,{base64.b64encode(self.data).decode()}"
        size = {"width": self.width, "height": self.height}
        rendering = "pixelated" if self.file is None and self.width <= _PIXELS_SEEN else None
        return svg.tag(
            "image",
            id=self.id,
            data_file=self.file,
            **size,
            image_rendering=rendering,
            href=source,
        )


@dataclass
class Pictures:
    """Collects the pictures that a page shows."""

    files: RunFiles
    shown: dict[str, Picture] = field(default_factory=dict)

    def get(self, name: str | None) -> Picture | None:
        """The picture of that name; None where the run has none or it cannot be read."""
        if name is None:
            return None
        if name not in self.shown:
            picture = self._load(name)
            if picture is None:
                return None
            self.shown[name] = picture
        return self.shown[name]

    def difference(self, left: str, right: str) -> tuple[Picture, int] | Literal["equal"] | None:
        """Absolute difference of two pictures, amplified, and the amplification.

        None where the two cannot be subtracted.
        """
        pixels = [_pixels(self.files, name) for name in (left, right)]
        if pixels[0] is None or pixels[1] is None or pixels[0].shape != pixels[1].shape:
            return None
        gap = np.abs(pixels[0].astype(np.int16) - pixels[1])
        if not gap.any():
            return "equal"
        factor = max(1, 255 // int(gap.max()))
        name = f"{left}-{right}"
        return self.made(name, (gap * factor).astype(np.uint8)), factor

    def made(self, name: str, pixels: npt.NDArray[np.uint8]) -> Picture:
        """A picture that only the page has, uint8 ``[height, width, 3 or 4]``.

        The first one of a name stays.
        """
        if name not in self.shown:
            height, width = pixels.shape[:2]
            data = _encode(_from_pixels(pixels), "PNG")
            self.shown[name] = Picture(self._next_id(), width, height, data, "png", None)
        return self.shown[name]

    def _load(self, name: str) -> Picture | None:
        found = small_picture(self.files, name)
        if found is None:
            return None
        image, data, kind = found
        return Picture(self._next_id(), image.width, image.height, data, kind, name)

    def _next_id(self) -> str:
        return f"picture-{len(self.shown)}"


def small_picture(files: RunFiles, name: str) -> tuple[Image.Image, bytes, str] | None:
    """A picture fit to travel: as stored where that is small, else a reduced JPEG.

    Returns:
        The picture, its bytes, and ``png`` or ``jpeg``; None where it cannot be read.
    """
    image = _open(files, name)
    if image is None:
        return None
    data, kind = files.read(name), _FORMATS.get(image.format or "")
    if kind is None or len(data) > _AS_STORED_BYTES:
        image = _reduced(image)
        data, kind = _encode(image, "JPEG"), "jpeg"
    return image, data, kind


def _open(files: RunFiles, name: str) -> Image.Image | None:
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(files.read(name)))
        image.load()
    except (RunError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    return image


def _pixels(files: RunFiles, name: str) -> npt.NDArray[np.uint8] | None:
    image = _open(files, name)
    return None if image is None else np.asarray(_reduced(image), np.uint8)


def _reduced(image: Image.Image) -> Image.Image:
    reduced = image.convert("RGB")
    reduced.thumbnail((_MAX_SIDE, _MAX_SIDE))
    return reduced


def _from_pixels(pixels: npt.NDArray[np.uint8]) -> Image.Image:
    from PIL import Image

    return Image.fromarray(pixels)


def _encode(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, optimize=True, **({"quality": 82} if kind == "JPEG" else {}))
    return buffer.getvalue()
