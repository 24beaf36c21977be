"""Files and folders named by a URL (``s3://``, ``https://``): copied here for a time.

Whoever works on them here, or is sent them, has files then; there is no second way to read one.
``file://`` is a path by another name: it is not copied, and workers that see it open it.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from qdebug.errors import InputError, QdebugError, UsageError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://.")
Place = str | Path


def is_url(place: object) -> bool:
    """Whether an argument is a URL. A path with a drive is none: ``C:`` is one letter."""
    return isinstance(place, str) and _URL.match(place) is not None


def is_copied(place: object) -> bool:
    """Whether an argument is a URL whose content has to be copied here."""
    return is_url(place) and urlsplit(str(place)).scheme.lower() != "file"


def shown(url: str) -> str:
    """A URL without what may be a secret (user, password, query), by its last part."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{PurePosixPath(parts.path).name or parts.hostname}"


class Fetched:
    """Copies of what URLs name; they are there as long as the context is."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._count = 0

    def __enter__(self) -> Fetched:
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def path(self, place: Place) -> Place:
        """The path of a place: of its copy where it is a URL, else as given.

        Raises:
            UsageError: ``fsspec``, or what it needs for this kind of URL, is not installed.
            InputError: nothing can be read there.
        """
        if not is_url(place):
            return place
        url = str(place)
        if not is_copied(url):
            from urllib.request import url2pathname  # here, since it loads ssl

            return Path(url2pathname(urlsplit(url).path))
        try:
            return _copied(url, self._free_folder())
        except QdebugError:
            raise
        except Exception as error:  # every file system of fsspec raises its own
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(
                f"{shown(url)} cannot be read: {why}",
                "check the address, and the credentials that fsspec uses for it",
            ) from error

    def paths(self, places: Sequence[Place] | Place) -> list[Place]:
        """The same of several, or of one."""
        given = [places] if isinstance(places, (str, Path)) else places
        return [self.path(place) for place in given]

    def _free_folder(self) -> Path:
        """An empty folder for each URL: two may end in one name."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="qdebug-url-")
        self._count += 1
        free = Path(self._folder.name, str(self._count))
        free.mkdir()
        return free


def _copied(url: str, folder: Path) -> Path:
    """A copy of a file, or of all files below a folder."""
    system, source = _opened(url)
    target = folder / (PurePosixPath(urlsplit(url).path).name or "data")
    files = system.find(source)
    if not files:
        raise InputError(f"{shown(url)} does not exist, or holds no file", "check the address")
    if files == [source]:
        system.get_file(source, str(target))
        return target
    for file in files:
        inside = PurePosixPath(str(file).removeprefix(source).lstrip("/"))
        if ".." in inside.parts:  # the names of objects are anybody's
            raise InputError(f"{shown(url)} holds a name that leads out of its folder")
        copy = target / inside
        copy.parent.mkdir(parents=True, exist_ok=True)
        system.get_file(file, str(copy))
    return target


def _opened(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the place in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise UsageError(
            f"{shown(url)}: URLs need fsspec", 'pip install "qdebug[remote]"'
        ) from error
    try:
        system, source = url_to_fs(url)
    except ImportError as error:  # the package behind this kind of URL
        raise UsageError(f"{shown(url)}: {error}", "install that package") from error
    except ValueError as error:
        raise UsageError(
            f"{shown(url)}: {error}", "fsspec's documentation lists the kinds of URLs"
        ) from error
    return system, str(source)
