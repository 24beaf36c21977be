"""Where the binary parts of a run are read from: a directory, a zip, an HTML report, memory."""

from __future__ import annotations

import base64
import html
import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy.typing as npt

from qdebug.bounds import check_unpacked, gunzip, read_bytes, read_text
from qdebug.errors import RunError
from qdebug.npy import ZIP_DAMAGE, array_of_npy, map_npy

RUN_JSON = "run.json"
HTML_RUN_ID = "qdebug-run"
HTML_FILES_ID = "qdebug-files"


class RunFiles(Protocol):
    """Named binary files of a run; names are relative POSIX paths."""

    def names(self) -> list[str]:
        """All file names, sorted."""

    def read(self, name: str) -> bytes:
        """Content of a file.

        Raises:
            RunError: there is no such file.
        """

    def array(self, name: str) -> npt.NDArray[Any]:
        """A ``.npy`` file, memory-mapped where the storage allows it; never unpickles."""


@dataclass
class MemoryFiles:
    """Files held in memory, as a run that was not written to disk has them."""

    content: dict[str, bytes] = field(default_factory=dict)

    def names(self) -> list[str]:
        """All file names, sorted."""
        return sorted(self.content)

    def read(self, name: str) -> bytes:
        """Content of a file."""
        try:
            return self.content[name]
        except KeyError:
            raise RunError(f"the run holds no file {name!r}") from None

    def array(self, name: str) -> npt.NDArray[Any]:
        """A ``.npy`` file as an array."""
        return _load_npy(self.read(name), name)


@dataclass(frozen=True)
class DirectoryFiles:
    """Files of a ``NAME.qdrun`` directory."""

    root: Path

    def names(self) -> list[str]:
        """All file names, sorted."""
        found = (path for path in self.root.rglob("*") if path.is_file())
        return sorted(path.relative_to(self.root).as_posix() for path in found)

    def read(self, name: str) -> bytes:
        """Content of a file."""
        try:
            return read_bytes(self._path(name), RunError)
        except OSError as error:
            raise RunError(f"{self.root.name}: cannot read {name}: {error.strerror}") from error

    def array(self, name: str) -> npt.NDArray[Any]:
        """A ``.npy`` file, memory-mapped."""
        try:
            return map_npy(self._path(name))
        except (OSError, ValueError) as error:
            raise RunError(f"{self.root.name}: cannot read {name}: {error}") from error

    def _path(self, name: str) -> Path:
        parts = PurePosixPath(name).parts
        path = self.root.joinpath(*parts)
        # A backslash or drive letter would leave the folder on Windows, a link anywhere.
        suspicious = ".." in parts or "\\" in name or ":" in name or "\0" in name
        if suspicious or not path.resolve().is_relative_to(self.root.resolve()):
            raise RunError(f"{self.root.name}: {name!r} points outside the run")
        return path


@dataclass(frozen=True)
class ZipFiles:
    """Files of a zipped run; the run may lie in the archive's root or in one folder."""

    path: Path
    prefix: str

    @classmethod
    def open(cls, path: Path) -> ZipFiles:
        """Find the run in an archive.

        Raises:
            RunError: the archive is broken or holds no run.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                found = [n for n in archive.namelist() if PurePosixPath(n).name == RUN_JSON]
        except ZIP_DAMAGE as error:
            raise RunError(f"{path.name} is not a readable zip: {error}") from error
        if not found:
            raise RunError(f"{path.name} holds no {RUN_JSON}", "zip the whole NAME.qdrun folder")
        return cls(path, min(found, key=len)[: -len(RUN_JSON)])

    def names(self) -> list[str]:
        """All file names, sorted."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                inside = [n for n in archive.namelist() if n.startswith(self.prefix)]
        except ZIP_DAMAGE as error:
            raise RunError(f"{self.path.name} is not a readable zip: {error}") from error
        else:
            return sorted(n[len(self.prefix) :] for n in inside if not n.endswith("/"))

    def read(self, name: str) -> bytes:
        """Content of a file."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                info = archive.getinfo(self.prefix + name)
                check_unpacked(info.file_size, f"{name} in {self.path.name}", RunError)
                return archive.read(info)
        except ZIP_DAMAGE as error:
            raise RunError(f"{self.path.name} holds no readable {name}: {error}") from error

    def array(self, name: str) -> npt.NDArray[Any]:
        """A ``.npy`` file as an array."""
        return _load_npy(self.read(name), name)


def files_in_html(path: Path) -> MemoryFiles:
    """The run embedded in an HTML report.

    The page carries the script element ``qdebug-run``, ``run.json`` as base64 of gzip, and
    ``qdebug-files``, a JSON object ``{name: base64}`` with the binary parts. A picture that the
    page shows anyway is not stored twice: its ``<image>`` names the file in ``data-file``.

    Raises:
        RunError: the page cannot be read or embeds no run.
    """
    try:
        text = read_text(path, RunError)
    except UnicodeDecodeError as error:
        raise RunError(f"{path.name} is not a page of text", "open a NAME.qdrun") from error
    except OSError as error:
        raise RunError(f"{path.name} cannot be read: {error}") from error
    run = _script(text, HTML_RUN_ID)
    if run is None:
        raise RunError(
            f"{path.name} embeds no qdebug run", "write it with: qdebug report RUN -o FILE"
        )
    try:
        content = dict(_shown_pictures(text))
        for name, data in json.loads(_script(text, HTML_FILES_ID) or "{}").items():
            content[name] = base64.b64decode(data, validate=True)
        packed = base64.b64decode(run.strip(), validate=True)
        content[RUN_JSON] = gunzip(packed, f"the run in {path.name}", RunError)
    except (ValueError, TypeError, AttributeError, EOFError, OSError, zlib.error) as error:
        raise RunError(f"{path.name} embeds a damaged run: {error}") from error
    return MemoryFiles(content)


def _script(text: str, element_id: str) -> str | None:
    pattern = rf'<script[^>]*\bid="{re.escape(element_id)}"[^>]*>(.*?)</script>'
    found = re.search(pattern, text, re.DOTALL)
    return found.group(1) if found else None


def _shown_pictures(text: str) -> Iterator[tuple[str, bytes]]:
    pattern = r'<image [^>]*?data-file="([^"]*)"[^>]*? href="data:image/[a-z]+;base64,([^"]*)"'
    for name, data in re.findall(pattern, text):
        yield html.unescape(name), base64.b64decode(data, validate=True)


def _load_npy(data: bytes, name: str) -> npt.NDArray[Any]:
    try:
        return array_of_npy(data)
    except ValueError as error:
        raise RunError(f"{name} is not a readable array: {error}") from error
