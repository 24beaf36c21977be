"""Turning INPUT arguments into an ordered list of files."""

from __future__ import annotations

import glob
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from qdebug.bounds import read_text
from qdebug.errors import InputError, UsageError
from qdebug.preprocess.decode import FOREIGN_SUFFIXES, IMAGE_SUFFIXES
from qdebug.preprocess.grammar import nearest
from qdebug.preprocess.tensor_files import TENSOR_SUFFIXES

_KNOWN = IMAGE_SUFFIXES | TENSOR_SUFFIXES | FOREIGN_SUFFIXES
_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class FileSet:
    """The files of one sample by model input; an empty name stands for the only input."""

    files: dict[str, Path] = field(default_factory=dict)


def expand(
    arguments: Sequence[str], input_names: Sequence[str], stdin: TextIO | None = None
) -> list[FileSet]:
    """Find the files that INPUT arguments mean, in a stable natural order.

    Args:
        arguments: pictures, tensor files, folders, globs, list files (``.txt``), ``-`` for a list
            on stdin, each optionally as ``NAME=path`` for one of several model inputs.
        input_names: the model's input names.
        stdin: where ``-`` reads from; ``sys.stdin`` by default.

    Returns:
        One entry a sample. Files of named inputs are matched by position; an input with a single
        file shares it among all samples.

    Raises:
        InputError: a file is missing or a folder holds nothing usable.
        UsageError: no argument, or the counts of the named inputs differ.
    """
    if not arguments:
        raise UsageError("no input is given", "give a picture, a folder, a glob or a tensor file")
    named: dict[str, list[Path]] = {}
    rows: list[FileSet] = []
    for argument in arguments:
        name, path = _split_name(argument, input_names)
        if name is None and (path == "-" or Path(path).suffix.lower() == ".txt"):
            rows += _list_rows(path, input_names, stdin)
        else:
            named.setdefault(name or "", []).extend(_files(path, stdin))
    rows += [FileSet({"": file}) for file in named.pop("", [])]
    if rows and named:
        raise UsageError(
            "some inputs are given as NAME=path and others are not",
            f"the model's inputs are: {', '.join(input_names)}",
        )
    return rows or _zip_named(named)


def picture_files(arguments: Sequence[str]) -> list[Path]:
    """The picture files among INPUT arguments; none for no argument.

    Raises:
        InputError: a file is missing or a folder holds nothing usable.
    """
    sets = expand(arguments, ()) if arguments else []
    files = [path for one in sets for path in one.files.values()]
    return [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]


def _split_name(argument: str, input_names: Sequence[str]) -> tuple[str | None, str]:
    """Split ``NAME=path``; a file whose name holds ``=`` stays whole."""
    name, equals, path = argument.partition("=")
    if not equals or Path(argument).exists():
        return None, argument
    if name in input_names:
        return name, path
    if "/" in name or "\\" in name:
        return None, argument
    close = nearest(name, input_names)
    hint = f"did you mean {close!r}?" if close else None
    raise UsageError(
        f"the model has no input {name!r}",
        hint or f"its inputs are: {', '.join(input_names)}",
    )


def _zip_named(named: dict[str, list[Path]]) -> list[FileSet]:
    count = max(len(files) for files in named.values())
    for name, files in named.items():
        if len(files) not in (1, count):
            raise UsageError(
                f"input {name!r} has {len(files)} files where another has {count}",
                "give every input the same number of files, or one file for all samples",
            )
    return [
        FileSet({name: files[i if len(files) > 1 else 0] for name, files in named.items()})
        for i in range(count)
    ]


def _files(argument: str, stdin: TextIO | None) -> list[Path]:
    path = Path(argument)
    if path.is_dir():
        return _folder(path)
    if path.exists():
        if path.suffix.lower() == ".txt":
            return [file for row in _list_rows(argument, (), stdin) for file in row.files.values()]
        return [path]
    if _MAGIC.search(argument):
        return _glob(argument)
    raise _missing(path)


def _folder(folder: Path) -> list[Path]:
    entries = [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
    usable = sorted((p for p in entries if p.suffix.lower() in _KNOWN), key=natural_key)
    if not usable:
        found = f"it holds {len(entries)} other files" if entries else "it is empty"
        raise InputError(
            f"folder {folder.name or folder} has no picture and no tensor file",
            f"{found}; sub-folders are not searched, a glob such as '{folder.name}/**/*.jpg' is",
        )
    return usable


def _glob(pattern: str) -> list[Path]:
    found = [Path(p) for p in glob.glob(pattern, recursive=True)]  # noqa: PTH207 - may be absolute
    files = [p for p in found if p.is_file() and p.suffix.lower() in _KNOWN]
    if not files:
        raise InputError(
            f"nothing matches {pattern!r}", "it has to find pictures or tensor files; see --help"
        )
    return sorted(files, key=natural_key)


def _list_text(file: Path) -> str:
    try:
        return read_text(file, InputError, "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{file.name} is not UTF-8 text", "a list names a file a line") from error


def _list_rows(argument: str, input_names: Sequence[str], stdin: TextIO | None) -> list[FileSet]:
    """Read a list: a file a line, or as many files a line as the model has inputs."""
    if argument == "-":
        folder, source, text = Path(), "the list on stdin", (stdin or sys.stdin).read()
    else:
        file = Path(argument)
        if not file.exists():
            raise _missing(file)
        folder, source, text = file.parent, file.name, _list_text(file)
    rows = [
        _row(line, folder, input_names, f"line {number} of {source}")
        for number, line in _lines(text)
    ]
    if not rows:
        raise InputError(f"{source} names no file")
    return rows


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        content = line.strip()
        if content and not content.startswith("#"):
            yield number, content


def _row(line: str, folder: Path, input_names: Sequence[str], where: str) -> FileSet:
    """Understand a line: one path, paths for every input, or a path and its label."""
    whole = _locate(line, folder)
    if whole:
        return FileSet({"": whole})
    located = [_locate(word, folder) for word in line.split()]
    found = [path for path in located if path]
    if len(found) == len(located) == len(input_names):
        return FileSet(dict(zip(input_names, found, strict=True)))
    if located[0] and len(found) == 1:
        return FileSet({"": located[0]})
    raise InputError(f"{where} names a file that does not exist: {line}")


def _locate(text: str, folder: Path) -> Path | None:
    """Find a path beside the list or in the working directory."""
    return next((p for p in (folder / text, Path(text)) if p.is_file()), None)


def _missing(path: Path) -> InputError:
    siblings: Iterable[Path] = path.parent.iterdir() if path.parent.is_dir() else ()
    close = nearest(path.name, [sibling.name for sibling in siblings])
    hint = f"did you mean {close!r}?" if close else "check the path"
    return InputError(f"{path} does not exist", hint)


def natural_key(path: Path) -> list[tuple[int, int | str]]:
    """Sort key under which ``img2`` comes before ``img10``."""
    parts = re.split(r"(\d+)", path.as_posix().lower())
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts if part]


def readable_names(paths: Sequence[Path]) -> list[str]:
    """Name files shortly and uniquely: relative to the folder they share, never absolute."""
    if not paths:
        return []
    absolute = [path.absolute() for path in paths]
    shared = absolute[0].parent
    while not all(shared in path.parents for path in absolute):
        shared = shared.parent
    counts: dict[str, int] = {}
    names = []
    for path in absolute:
        name = path.relative_to(shared).as_posix()
        counts[name] = counts.get(name, 0) + 1
        names.append(name if counts[name] == 1 else f"{name}#{counts[name]}")
    return names
