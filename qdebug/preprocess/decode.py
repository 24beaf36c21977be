"""Reading picture files with cv2 or Pillow."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qdebug.bounds import check_unpacked, read_bytes
from qdebug.errors import InputError
from qdebug.native import silent_libraries
from qdebug.preprocess.steps import Decode
from qdebug.preprocess.tensor_files import FileVersion, version_of

if TYPE_CHECKING:
    from PIL import Image

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}
)
_FOREIGN = {
    ".heic": "HEIC",
    ".heif": "HEIF",
    ".avif": "AVIF",
    ".cr2": "a camera's raw format",
    ".nef": "a camera's raw format",
    ".dng": "a camera's raw format",
    ".svg": "SVG",
    ".pdf": "PDF",
}
FOREIGN_SUFFIXES = frozenset(_FOREIGN)
_END_MARKERS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND"}
_TAIL = 65536
_KEPT = 16 << 20
"""Bytes of a decoded picture that is kept: one sample's is asked for several times in a row."""
_LAST: dict[tuple[FileVersion, Decode], NDArray[np.uint8]] = {}
"""The picture that was decoded last."""


def decode_file(path: Path, how: Decode, name: str | None = None) -> NDArray[np.uint8]:
    """Read a picture.

    Args:
        path: the file.
        how: the library and whether the EXIF orientation is applied.
        name: how errors name the file, its own name by default.

    Returns:
        uint8 [height, width, 3], in the library's own channel order: BGR for cv2, RGB for Pillow;
        not to be written to.

    Raises:
        InputError: the file is missing, truncated or in no format that the library reads.
    """
    name = name or path.name
    try:
        key = version_of(path), how
        kept = _LAST.get(key)
        content = b"" if kept is not None else read_bytes(path, InputError)
    except OSError as error:
        reason = f"{name or path} cannot be read: {error.strerror or error}"
        raise InputError(reason, "give the file of the picture") from error
    if kept is not None:
        return kept
    picture = decode_bytes(content, how, name)
    if picture.nbytes <= _KEPT:
        picture.flags.writeable = False
        _LAST.clear()
        _LAST[key] = picture
    return picture


def decode_bytes(content: bytes, how: Decode, name: str) -> NDArray[np.uint8]:
    """Read a picture from the content of its file; see `decode_file`."""
    if not content:
        raise InputError(f"{name} is empty")
    check_unpacked(_decoded_bytes(content), name, InputError)
    if how.library == "pil":
        return _with_pil(content, how.exif, name)
    if _looks_cut(content):
        _load(content, name)
    return _with_cv2(content, how.exif, name)


def _decoded_bytes(content: bytes) -> int:
    """Bytes of the decoded picture as its header says; 0 where Pillow does not know the format."""
    from PIL import Image

    try:
        with _no_bound(Image), Image.open(io.BytesIO(content)) as image:
            return int(image.width * image.height * 3)
    except (OSError, SyntaxError, ValueError):
        return 0


@contextlib.contextmanager
def _no_bound(module: Any) -> Iterator[None]:
    """Pillow's own bound set aside: there is one for all kinds of files."""
    before, module.MAX_IMAGE_PIXELS = module.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        module.MAX_IMAGE_PIXELS = before


def _looks_cut(content: bytes) -> bool:
    """Whether the end marker is missing; cv2 fills the rest with gray and says nothing."""
    marker = _END_MARKERS.get(content[:2])
    return marker is not None and marker not in content[-_TAIL:]


def _with_cv2(content: bytes, exif: bool, name: str) -> NDArray[np.uint8]:
    import cv2

    flags = cv2.IMREAD_COLOR if exif else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    with silent_libraries():
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    if picture is None:
        raise _undecodable(name)
    return np.asarray(picture, np.uint8)


def _with_pil(content: bytes, exif: bool, name: str) -> NDArray[np.uint8]:
    from PIL import ImageOps

    image = _load(content, name)
    if exif:
        image = ImageOps.exif_transpose(image)
    return np.array(image.convert("RGB"), np.uint8)


def _load(content: bytes, name: str) -> Image.Image:
    from PIL import Image, UnidentifiedImageError

    try:
        with _no_bound(Image):
            image = Image.open(io.BytesIO(content))
            image.load()
    except UnidentifiedImageError as error:
        raise _undecodable(name) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(
            f"{name} is damaged: {error}", "fetch or export the picture again"
        ) from error
    return image


def _undecodable(name: str) -> InputError:
    foreign = _FOREIGN.get(Path(name).suffix.lower())
    if foreign:
        return InputError(f"{name} is {foreign}, which is not read", "convert it to PNG or JPEG")
    return InputError(f"{name} is not a picture that can be decoded", "convert it to PNG or JPEG")
