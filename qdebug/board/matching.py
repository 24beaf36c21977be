"""Which dump is of which sample, where a folder holds one a sample.

Two ways are certain enough: every dump is named after its sample, or the dumps are numbered without
a gap from 0 or 1 in the order of the samples. What is neither is said, and nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from qdebug.board.names import sanitized
from qdebug.dumps.files import SUFFIXES
from qdebug.errors import InputError
from qdebug.vocabulary.numbers import plural

_SHARED = 0.5
"""Share of the tensors' names, of the smaller dump, from which on two dumps are of one network.
Places in one dump share none: their names begin with their folders. By judgement."""


@dataclass(frozen=True)
class Matched:
    """A dump and its sample.

    Attributes:
        number: of the sample.
        path: of the dump.
        by: ``name``, ``number``, ``first`` of a dump that stands alone, or ``run`` of a runtime's
            model, which is run on every sample.
    """

    number: int
    path: Path
    by: str


@dataclass(frozen=True)
class Matching:
    """The dumps of a path.

    Attributes:
        dumps: in the order of the samples.
        notes: what was left out, and how the others were matched.
    """

    dumps: tuple[Matched, ...]
    notes: tuple[str, ...] = field(default=())


def match_dumps(
    path: Path,
    samples: Sequence[str],
    names_of: Callable[[Path], Collection[str]],
    *,
    whole: bool = False,
) -> Matching:
    """Find the dump of each sample.

    Args:
        path: what ``--board`` names: a dump, or a folder with a dump a sample.
        samples: names of the samples, in order.
        names_of: the names of the tensors of what may be a dump.
        whole: a toolchain's form says that the path is one dump.

    Raises:
        InputError: a folder of dumps, and it is not certain which is of which sample.
    """
    entries = [] if whole or not path.is_dir() else _entries(path)
    known = _known(samples)
    if not entries or not _are_dumps(entries, known, names_of):
        number = known.get(sanitized(path.stem))
        if whole or number is None or len(samples) == 1:
            return Matching((Matched(0, path, "first"),))
        return Matching((Matched(number, path, "name"),), (f"it is named after {samples[number]}",))
    named = [Matched(at, entry, "name") for entry in entries if (at := _sample(entry, known)) >= 0]
    matched = _once(named) if named else _by_number(path, entries, len(samples))
    return Matching(tuple(matched), tuple(_notes(entries, matched, samples)))


def _entries(folder: Path) -> list[Path]:
    """What may be dumps: its folders, else its files."""
    visible = [place for place in sorted(folder.iterdir()) if not place.name.startswith(".")]
    folders = [place for place in visible if place.is_dir()]
    return folders or [x for x in visible if x.is_file() and x.suffix.lower() in SUFFIXES]


def _known(samples: Sequence[str]) -> dict[str, int]:
    """Number of a sample by its names; names of several samples are no one's."""
    found: dict[str, set[int]] = {}
    for number, sample in enumerate(samples):
        file = PurePosixPath(sample.replace("\\", "/"))
        for name in (sample, file.name, file.stem, str(file.with_suffix(""))):
            found.setdefault(sanitized(name), set()).add(number)
    return {name: min(numbers) for name, numbers in found.items() if len(numbers) == 1}


def _sample(entry: Path, known: dict[str, int]) -> int:
    """Number of the sample that an entry is named after; -1 for none."""
    name = known.get(sanitized(entry.name), -1)
    return name if name >= 0 or entry.is_dir() else known.get(sanitized(entry.stem), -1)


def _are_dumps(
    entries: Sequence[Path], known: dict[str, int], names_of: Callable[[Path], Collection[str]]
) -> bool:
    """Whether these are dumps of one network, not the tensors of one dump."""
    named = [_sample(entry, known) >= 0 for entry in entries]
    if any(entry.is_file() and entry.suffix.lower() != ".npz" for entry in entries):
        return len(entries) > 1 and all(named)  # one tensor a file: only names tell
    if len(entries) == 1:
        return all(named)
    first, *others = (set(names_of(entry)) for entry in entries)
    return all(len(first & x) >= max(1, _SHARED * min(len(first), len(x))) for x in others)


def _once(named: Sequence[Matched]) -> list[Matched]:
    found: dict[int, Matched] = {}
    for item in named:
        if item.number in found:
            raise InputError(
                f"--board: {found[item.number].path.name} and {item.path.name} are named after one "
                "input",
                "keep one dump of each input; a second one is given with --board-again",
            )
        found[item.number] = item
    return [found[number] for number in sorted(found)]


def _by_number(folder: Path, entries: Sequence[Path], samples: int) -> list[Matched]:
    parts = [re.fullmatch(r"(.*?)(\d+)(\D*)", entry.stem) for entry in entries]
    found = {int(part[2]): entry for part, entry in zip(parts, entries, strict=True) if part}
    alike = {(part[1], part[3]) if part else None for part in parts}
    begin = min(found, default=2)
    if len(alike) > 1 or begin > 1 or sorted(found) != list(range(begin, begin + len(entries))):
        raise InputError(
            f"--board: {folder.name} holds {len(entries)} dumps, and it is not certain which input "
            f"each is of, {entries[0].name} for one",
            "name each after its input, or number them from 0 on in the order of the inputs",
        )
    chosen = sorted(found)[:samples]
    return [Matched(number - begin, found[number], "number") for number in chosen]


def _notes(
    entries: Sequence[Path], matched: Sequence[Matched], samples: Sequence[str]
) -> list[str]:
    how = "named after their inputs"
    if matched[0].by == "number":
        how = f"taken in the order of their numbers, {matched[0].path.name} for {samples[0]}"
    notes = [f"{plural(len(matched), 'dump')} {how}"]
    left, without = len(entries) - len(matched), len(samples) - len(matched)
    if left:
        notes.append(f"{plural(left, 'dump')} of no input that was given")
    if without:
        notes.append(f"{plural(without, 'input')} without a dump")
    return notes
