"""Where the binary parts of a run are read from: a directory, a zip, an HTML report, memory."""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from qdebug.errors import RunError

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
            return self._path(name).read_bytes()
        except OSError as error:
            raise RunError(f"{self.root.name}: cannot read {name}: {error.strerror}") from error

    def array(self, name: str) -> npt.NDArray[Any]:
        """A ``.npy`` file, memory-mapped."""
        try:
            array: npt.NDArray[Any] = np.load(self._path(name), mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise RunError(f"{self.root.name}: cannot read {name}: {error}") from error
        return array

    def _path(self, name: str) -> Path:
        parts = PurePosixPath(name).parts
        if ".." in parts or PurePosixPath(name).is_absolute():
            raise RunError(f"{self.root.name}: {name!r} points outside the run")
        return self.root.joinpath(*parts)


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
        except (zipfile.BadZipFile, OSError) as error:
            raise RunError(f"{path.name} is not a readable zip: {error}") from error
        if not found:
            raise RunError(f"{path.name} holds no {RUN_JSON}", "zip the whole NAME.qdrun folder")
        return cls(path, min(found, key=len)[: -len(RUN_JSON)])

    def names(self) -> list[str]:
        """All file names, sorted."""
        with zipfile.ZipFile(self.path) as archive:
            inside = (n for n in archive.namelist() if n.startswith(self.prefix))
            return sorted(n[len(self.prefix) :] for n in inside if not n.endswith("/"))

    def read(self, name: str) -> bytes:
        """Content of a file."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                return archive.read(self.prefix + name)
        except (KeyError, zipfile.BadZipFile, OSError) as error:
            raise RunError(f"{self.path.name} holds no readable {name}") from error

    def array(self, name: str) -> npt.NDArray[Any]:
        """A ``.npy`` file as an array."""
        return _load_npy(self.read(name), name)


def files_in_html(path: Path) -> MemoryFiles:
    """The run embedded in an HTML report.

    The page carries two ``<script type="application/json">`` elements: ``qdebug-run`` with
    ``run.json`` and ``qdebug-files`` with ``{name: base64}`` for the binary parts.

    Raises:
        RunError: the page cannot be read or embeds no run.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path.name} cannot be read: {error}") from error
    run = _script_json(text, HTML_RUN_ID)
    if run is None:
        raise RunError(
            f"{path.name} embeds no qdebug run", "write it with: qdebug report RUN -o FILE"
        )
    try:
        packed: Mapping[str, str] = json.loads(_script_json(text, HTML_FILES_ID) or "{}")
        files = {name: base64.b64decode(data) for name, data in packed.items()}
    except (ValueError, AttributeError) as error:
        raise RunError(f"{path.name} embeds a damaged run: {error}") from error
    return MemoryFiles({RUN_JSON: run.encode(), **files})


def _script_json(text: str, element_id: str) -> str | None:
    pattern = rf'<script[^>]*\bid="{re.escape(element_id)}"[^>]*>(.*?)</script>'
    found = re.search(pattern, text, re.DOTALL)
    return found.group(1) if found else None


def _load_npy(data: bytes, name: str) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
    except (OSError, ValueError) as error:
        raise RunError(f"{name} is not a readable array: {error}") from error
    return array
