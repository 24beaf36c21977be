"""What a long measurement has done, kept in a file so that an interruption loses nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np

from qdebug.errors import RunError
from qdebug.metrics.metric import FIELDS
from qdebug.metrics.moments import Moments
from qdebug.run.atomic import write_whole

_FORM = 2
"""Raised when lines are written in another way."""
_HINT = "remove it, or choose another -o"
Done = dict[tuple[int, int], dict[str, Moments]]


class Journal:
    """Measurements by sample and layer, a line of JSON each.

    A context manager; leaving it keeps the file, ``finish`` removes it. Lines that a kill has cut
    short, or that are damaged otherwise, are measured again.

    Args:
        path: the file; None keeps nothing.
        key: identifies models, samples, settings and what computes; a journal of another key is
            discarded.

    Raises:
        RunError: the file cannot be read or written, or is not a plain file; names it.
    """

    def __init__(self, path: Path | None = None, key: str = "") -> None:
        self.path = path
        self.done: Done = {}
        self._file: IO[bytes] | None = None
        if path is not None:
            self._open(path, key)

    def add(self, sample: int, layer: int, moments: Mapping[str, Moments]) -> None:
        """Note one layer of one sample."""
        self.done[sample, layer] = dict(moments)
        if self._file is not None:
            self._file.write(_line(sample, layer, moments))
            self._file.flush()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def finish(self) -> None:
        """Remove the file: the measurement is complete."""
        if self._file is not None:
            self._file.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _open(self, path: Path, key: str) -> None:
        head = json.dumps({"qdebug.sensitivity": _FORM, "key": key, "sums": FIELDS}).encode()
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise RunError(f"{path}, where sensitivities are kept, is not a plain file", _HINT)
        try:
            first, *lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
            self.done = _readable(lines) if first == head else {}
            kept = [_line(*place, moments) for place, moments in self.done.items()]
            write_whole(path, b"".join([head, b"\n", *kept]))
            self._file = os.fdopen(os.open(path, _APPEND), "ab")
        except OSError as error:
            raise RunError(f"{path}: {error.strerror or error}", _HINT) from error


_APPEND = os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)


def _readable(lines: list[bytes]) -> Done:
    """The measurements that are complete; damage of any kind leaves a line out."""
    entries = (_entry(line) for line in lines)
    return dict(entry for entry in entries if entry is not None)


def _entry(line: bytes) -> tuple[tuple[int, int], dict[str, Moments]] | None:
    try:
        sample, layer, moments = json.loads(line)
        return (int(sample), int(layer)), {k: _from_plain(v) for k, v in moments.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _line(sample: int, layer: int, moments: Mapping[str, Moments]) -> bytes:
    plain = {
        name: dict(zip(FIELDS, m.table[0].tolist(), strict=True)) for name, m in moments.items()
    }
    return json.dumps([sample, layer, plain]).encode() + b"\n"


def _to_plain(moments: Moments) -> dict[str, float]:
    return dict(zip(FIELDS, moments.table[0].tolist(), strict=True))


def _from_plain(value: Mapping[str, float]) -> Moments:
    return Moments(np.array([[float(value[name]) for name in FIELDS]]))
