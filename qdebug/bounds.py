"""How much one file may unpack to, or one step of a pipeline make: a few bytes stand for gigabytes.

What is larger than the bound is refused before it is unpacked or made; ``--max-unpacked`` raises
the bound.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from qdebug.errors import QdebugError
from qdebug.quantities import format_size

if TYPE_CHECKING:
    import zipfile
    from pathlib import Path

MAX_UNPACKED = 256 << 20
"""Bytes. The same as Pillow's bound on pictures: 89 million pixels of three bytes."""


class _Bound:
    """What holds now, in every thread: the browser reads runs in threads of its own."""

    bytes = MAX_UNPACKED


def bound() -> int:
    """Bytes that hold now."""
    return _Bound.bytes


def set_bound(at_most: int) -> None:
    """Let a process that was started for this one begin with its bound, bytes."""
    _Bound.bytes = at_most


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
    _check(size, f"{name} unpacks to", "if it is to be trusted", error)


def check_made(size: int, name: str, error: type[QdebugError]) -> None:
    """Refuse to make something larger than the bound.

    Args:
        size: its bytes.
        name: how the message names it.
        error: what is raised.
    """
    _check(size, f"{name} takes", "write a smaller size, or raise the bound", error)


def _check(size: int, said: str, when: str, error: type[QdebugError]) -> None:
    if size > _Bound.bytes:
        raise error(
            f"{said} {format_size(size)}, more than {format_size(_Bound.bytes)}",
            f"{when}: --max-unpacked {format_size(2 * size).replace(' ', '')}",
        )


def read_bytes(path: Path, error: type[QdebugError]) -> bytes:
    """The content of a file, never more than the bound: a sparse file, or a device, has no end.

    Args:
        path: the file.
        error: what is raised where it is larger.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        check_unpacked(os.fstat(file.fileno()).st_size, path.name, error)
        content = file.read(_Bound.bytes + 1)
    check_unpacked(len(content), path.name, error)
    return content


def read_text(path: Path, error: type[QdebugError], encoding: str = "utf-8") -> str:
    """The content of a file as text, likewise; every line ends with a line feed.

    Raises:
        OSError: it cannot be read.
        UnicodeDecodeError: it is no text in that encoding.
    """
    text = read_bytes(path, error).decode(encoding)
    return text.replace("\r\n", "\n").replace("\r", "\n")


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
