"""How much one file may unpack to: a picture, an archive, a report, a list of files.

A few kilobytes can stand for gigabytes. What is larger than the bound is refused before it is
unpacked; ``--max-unpacked`` raises the bound.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from qdebug.errors import QdebugError
from qdebug.quantities import format_size

if TYPE_CHECKING:
    import zipfile

MAX_UNPACKED = 256 << 20
"""Bytes. The same as Pillow's bound on pictures: 89 million pixels of three bytes."""


class _Bound:
    """What holds now, in every thread: the browser reads runs in threads of its own."""

    bytes = MAX_UNPACKED


@contextlib.contextmanager
def unpacking(at_most: int) -> Iterator[None]:
    """Another bound, bytes, for what is read inside."""
    before, _Bound.bytes = _Bound.bytes, at_most
    try:
        yield
    finally:
        _Bound.bytes = before


def check_unpacked(size: int, name: str, error: type[QdebugError]) -> None:
    """Refuse a file that would unpack to more than the bound.

    Args:
        size: bytes that it unpacks to.
        name: how the message names it.
        error: what is raised.
    """
    if size > _Bound.bytes:
        raise error(
            f"{name} unpacks to {format_size(size)}, more than {format_size(_Bound.bytes)}",
            f"if it is to be trusted: --max-unpacked {format_size(2 * size).replace(' ', '')}",
        )


def check_archive(archive: zipfile.ZipFile, name: str, error: type[QdebugError]) -> None:
    """Refuse an archive whose members together unpack to more than the bound."""
    check_unpacked(sum(info.file_size for info in archive.infolist()), name, error)


def gunzip(data: bytes, name: str, error: type[QdebugError]) -> bytes:
    """Unpack gzip data, never more than the bound.

    Raises:
        zlib.error: the data is damaged.
        EOFError: the data ends early.
    """
    import zlib

    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    content = unpacker.decompress(data, _Bound.bytes + 1)
    if len(content) > _Bound.bytes:
        check_unpacked(len(content), name, error)
    if not unpacker.eof:
        raise EOFError("it ends early")
    return content
