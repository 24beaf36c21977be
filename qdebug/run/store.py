"""Writing a run so that it is there whole or not at all, and reading it back."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from qdebug import collector, interrupts
from qdebug.errors import RunError
from qdebug.run.arrays import HIST_NPZ, RunArrays
from qdebug.run.atomic import moved_aside
from qdebug.run.clean import cleaned, hostile_characters, may_hide
from qdebug.run.codec import decode, decode_parts, encode
from qdebug.run.files import (
    RUN_JSON,
    DirectoryFiles,
    MemoryFiles,
    RunFiles,
    ZipFiles,
    files_in_html,
)
from qdebug.run.folder import FolderWriter
from qdebug.run.model import SCHEMA, Run

SUFFIX = ".qdrun"


def run_to_json(run: Run, *, compact: bool = False) -> str:
    """``run.json``: sorted keys, ends in a newline; equal runs give equal bytes.

    Args:
        run: the run.
        compact: on one line; otherwise a line for each value, indented by one space.
    """
    form: dict[str, Any] = {"sort_keys": True, "ensure_ascii": False, "allow_nan": False}
    value = encode(run)
    text = json.dumps(value, separators=(",", ":"), **form)
    hostile = hostile_characters(text)
    if not compact:
        # Lone surrogates (of a file name that is not UTF-8) json alone takes; it is slow by line.
        lone = any("\ud800" <= c <= "\udfff" for c in hostile)
        text = json.dumps(value, indent=1, **form) if lone else msgspec.json.format(text, indent=1)
    # What drives a terminal.
    escapes = {ord(c): json.dumps(c)[1:-1] for c in hostile}
    escapes |= {0x7F: "\\u007f"} if "\x7f" in text else {}
    return (text.translate(escapes) if escapes else text) + "\n"


def run_from_json(text: str | bytes, files: RunFiles | None = None) -> Run:
    """A run from its JSON; bytes are UTF-8.

    Raises:
        RunError: not JSON, not a qdebug run, of an unknown major schema version, or damaged.
    """
    # msgspec loses an exception that a signal raises while it is loaded, and crashes afterwards;
    # inside, while it learns a type, it may as well.
    interrupts.check()
    with collector.paused(), interrupts.held(""):
        parts = _split(text)
        _check_schema(parts)
        run: Run = decode_parts(Run, parts)
    return dataclasses.replace(run, files=files) if files is not None else run


def _split(text: str | bytes) -> Mapping[str, Any]:
    """A run's fields as ``decode`` takes them; none where the JSON is no object.

    Raises:
        RunError: it is not JSON.
    """
    try:
        try:
            value = msgspec.json.decode(text, type=dict[str, msgspec.Raw] | list[msgspec.Raw])
        except msgspec.ValidationError:
            return {}
        except msgspec.DecodeError:  # no JSON, or lone surrogates, which json alone takes
            value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RunError(f"{RUN_JSON} is not valid JSON: {error}") from error
    return value if isinstance(value, dict) else {}


def load_run(path: str | Path, *, as_stored: bool = False) -> Run:
    """Load a run from a ``.qdrun`` directory, its zip, or an HTML report.

    Args:
        path: where it is.
        as_stored: give texts as they are, to find names in a model; otherwise control and
            direction characters are spelled out, so that any text can be shown.

    Raises:
        RunError: nothing there, not a run, damaged, or of an unknown major schema version.
    """
    path = Path(path)
    files = _open_files(path)
    content = files.read(RUN_JSON)
    try:
        if not content.isascii():
            content.decode()
    except UnicodeDecodeError as error:
        raise RunError(f"{path.name}: {RUN_JSON} is not UTF-8") from error
    run = run_from_json(content, files)
    return cleaned(run) if not as_stored and may_hide(content) else run


class RunWriter(FolderWriter):
    """Writes a run so that it is there whole or not at all; see ``FolderWriter``.

    Args:
        destination: the ``NAME.qdrun`` folder to make.
        force: replace a run that is already there.
    """

    def __init__(self, destination: Path, *, force: bool = False) -> None:
        super().__init__(destination, marker=RUN_JSON, what="a qdebug run", force=force)

    def add_array(self, name: str, array: npt.NDArray[Any]) -> None:
        """Write one ``.npy`` file."""
        np.save(self.path(name), array, allow_pickle=False)

    def commit(self, run: Run, arrays: RunArrays) -> Run:
        """Finish the run and move it to its destination.

        Returns:
            The run, reading its files from there.

        Raises:
            UsageError: a run has appeared at the destination meanwhile and ``force`` is false.
        """
        self.add(HIST_NPZ, arrays.to_bytes())
        self.add(RUN_JSON, run_to_json(run).encode())
        self.move_into_place()
        return dataclasses.replace(run, files=DirectoryFiles(self.destination))


class MemoryWriter:
    """The same as ``RunWriter`` for a run that stays in memory."""

    def __init__(self) -> None:
        self._files = MemoryFiles()

    def __enter__(self) -> MemoryWriter:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def add(self, name: str, content: bytes) -> None:
        """Keep one file."""
        self._files.content[name] = content

    def add_array(self, name: str, array: npt.NDArray[Any]) -> None:
        """Keep one ``.npy`` file."""
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        self.add(name, buffer.getvalue())

    def commit(self, run: Run, arrays: RunArrays) -> Run:
        """Finish the run."""
        self.add(HIST_NPZ, arrays.to_bytes())
        return dataclasses.replace(run, files=self._files)


def tensor_file(side: Literal["float", "quant"], layer: int, sample: int = 0) -> str:
    """Name inside a run of a kept tensor: float32, in the float graph's layout.

    The first sample's is ``tensors/SIDE/NNNN.npy``, the others' ``tensors/SIDE/NNNN.sK.npy``.
    """
    number = f"{layer:04d}" if sample == 0 else f"{layer:04d}.s{sample}"
    return f"tensors/{side}/{number}.npy"


def default_destination(quant_file: str, folder: Path, suffix: str = SUFFIX) -> Path:
    """``QUANT.qdrun`` in ``folder``, with a number where that is taken."""
    stem = Path(quant_file).stem
    candidate = folder / f"{stem}{suffix}"
    number = 2
    while candidate.exists():
        candidate = folder / f"{stem}-{number}{suffix}"
        number += 1
    return candidate


def _open_files(path: Path) -> RunFiles:
    if path.is_dir():
        if not (path / RUN_JSON).is_file():
            raise RunError(f"{path} is not a qdebug run: it has no {RUN_JSON}")
        return DirectoryFiles(path)
    if not path.exists() and (old := moved_aside(path)) is not None:
        return _open_files(old)
    if not path.exists():
        raise RunError(f"{path} does not exist", "runs are folders named NAME.qdrun")
    if path.suffix.lower() in (".html", ".htm"):
        return files_in_html(path)
    return ZipFiles.open(path)


def _check_schema(parts: Mapping[str, Any]) -> None:
    found = decode(Any, parts.get("schema"))
    if not isinstance(found, str) or not found.startswith("qdebug.run/"):
        raise RunError(f"{RUN_JSON} is not a qdebug run: it names no qdebug.run schema")
    if found.split("/")[1].split(".")[0] != SCHEMA.split("/")[1]:
        raise RunError(
            f"the run has schema {found}, this version reads {SCHEMA}",
            "read it with the qdebug version that wrote it, or compare again",
        )
