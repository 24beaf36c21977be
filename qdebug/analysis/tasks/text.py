"""Text recognizers with a CTC output: does the quant model read the same text?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks.grids import likely_probabilities
from qdebug.analysis.tasks.task import (
    Behaviour,
    Effect,
    OutputFacts,
    Outputs,
    Task,
    TaskLimits,
    share,
)
from qdebug.vocabulary.numbers import percent

Array = npt.NDArray[Any]

LIMITS = TaskLimits("same_text", warn=0.9, fail=0.5)
_LEAST_STEPS = 8
_LEAST_CLASSES = 11
"""Ten digits and the blank."""
_CLEAR, _LEAST_CLEAR = 0.5, 0.5
"""CTC outputs are peaked (Graves, 2006): most steps give most of the probability to one symbol."""


def recognize(facts: OutputFacts) -> Task | None:
    """A task for an output ``[1, steps, characters]``; None where there is none."""
    characters = tuple(facts.metadata.get("character", "").split("\n"))
    for name, value in facts.outputs.items():
        table = _table(value)
        if table is None or not _is_ctc(table, characters):
            continue
        blank = 0 if len(characters) > 1 else _likely_blank(table)
        judge = _Judge(name, blank, characters if len(characters) > 1 else ())
        form = f"CTC output {name}, {table.shape[1]} characters"
        return Task(
            "text",
            form,
            judge,
            total,
            describe,
            LIMITS,
            "decisions",
            reads=(name,),
            behaves=judge.behaves,
            told="the metadata lists the characters" if len(characters) > 1 else "",
            any_length=True,
            read=judge.text,
            misread=_misread(judge, table.shape[1]),
        )
    return None


def _misread(judge: _Judge, symbols: int) -> dict[str, Callable[[Outputs], str]]:
    """What programs read by mistake: another blank, a list that is shifted, repetitions kept."""
    last = symbols - 1
    other = replace(judge, blank=0 if judge.blank else last)
    return {
        "blank": other.text,
        "list-shift-up": replace(judge, shift=1).text,
        "list-shift-down": replace(judge, shift=-1).text,
        "blank-and-list": replace(other, shift=1 if judge.blank == 0 else -1).text,
        "not-merged": replace(judge, merged=False).text,
        "blank-before-merging": replace(judge, late=True).text,
        "steps-and-symbols": replace(judge, swapped=True).text,
    }


def _table(value: Array) -> Array | None:
    """``[steps, characters]`` of ``[1, steps, characters]`` or ``[steps, 1, characters]``."""
    if value.ndim != 3 or 1 not in value.shape[:2]:
        return None
    table = value.reshape(-1, value.shape[2])
    if len(table) < _LEAST_STEPS or table.shape[1] < _LEAST_CLASSES:
        return None
    return table


def _is_ctc(table: Array, characters: Sequence[str]) -> bool:
    if len(characters) > 1:
        return table.shape[1] in (len(characters) + 1, len(characters) + 2)
    sums = table.sum(axis=1)
    softmaxed = likely_probabilities(table) and np.allclose(sums, 1, atol=0.02)
    return bool(softmaxed and table.argmax(axis=1).max() > 0)


def _likely_blank(table: Array) -> int:
    """First or last class, whichever is the best one more often: CTC emits mostly blanks."""
    best = table.argmax(axis=1)
    last = table.shape[1] - 1
    return last if np.count_nonzero(best == last) > np.count_nonzero(best == 0) else 0


@dataclass(frozen=True)
class _Judge:
    """Greedy decoding: the best class of each step, repetitions merged, blanks left out.

    By mistake repetitions are not ``merged``, or merged ``late``, behind the removal of blanks;
    characters are looked up with a ``shift``; steps and symbols are ``swapped``.
    """

    output: str
    blank: int
    characters: Sequence[str]
    merged: bool = True
    late: bool = False
    shift: int = 0
    swapped: bool = False

    def __call__(self, reference: Outputs, test: Outputs) -> Effect:
        f, q = (self._read(outputs[self.output]) for outputs in (reference, test))
        same = f == q
        edits = distance(f, q)
        facts: dict[str, str | float] = {
            "float": self._spell(f),
            "quant": self._spell(q),
            "same": "yes" if same else "no",
            "edits": edits,
        }
        counts = {
            "decisions": 1.0,
            "wrong": float(not same),
            "edits": float(edits),
            "characters": float(len(f)),
        }
        return Effect(facts, counts, edits / max(len(f), len(q), 1))

    def behaves(self, outputs: Outputs) -> Behaviour:
        """Whether every step is a distribution with one clear character, and something is read."""
        table = np.nan_to_num(outputs[self.output].reshape(-1, outputs[self.output].shape[2]))
        clear = float(np.mean(table.max(axis=1) >= _CLEAR))
        told = f"one character has at least {_CLEAR:g} at {percent(clear)} of the steps"
        if clear < _LEAST_CLEAR:
            return Behaviour(False, told)
        return Behaviour(True if self._read(outputs[self.output]) else None, told)

    def text(self, outputs: Outputs) -> str:
        """What one model reads."""
        return self._spell(self._read(outputs[self.output]))

    def _read(self, value: Array) -> list[int]:
        table = np.nan_to_num(value.reshape(-1, value.shape[2]))
        best = table.argmax(axis=0 if self.swapped else 1).tolist()
        if self.late:
            best = [code for code in best if code != self.blank]
        if self.merged:
            best = [code for code, _ in groupby(best)]
        return [code for code in best if code != self.blank]

    def _spell(self, codes: Sequence[int]) -> str:
        """The text; numbers of characters where the model does not name them."""
        codes = [code + self.shift for code in codes]
        if not self.characters:
            return " ".join(map(str, codes))
        known = ("", *self.characters, " ")
        return "".join(known[code] if 0 <= code < len(known) else "?" for code in codes)


def distance(first: Sequence[int], second: Sequence[int]) -> int:
    """Levenshtein distance: insertions, deletions and replacements."""
    row = list(range(len(second) + 1))
    for at, one in enumerate(first, 1):
        above, row[0] = row[0], at
        for to, other in enumerate(second, 1):
            change = above + (one != other)
            above, row[to] = row[to], min(row[to] + 1, row[to - 1] + 1, change)
    return row[-1]


def total(counts: Mapping[str, float]) -> dict[str, float]:
    """Share of samples with the same text, and of characters kept."""
    wrong = min(counts["edits"], counts["characters"])
    return {
        "same_text": share(counts["decisions"] - counts["wrong"], counts["decisions"]),
        "characters": share(counts["characters"] - wrong, counts["characters"]),
        "samples": counts["decisions"],
    }


def describe(numbers: Mapping[str, float]) -> str:
    """One sentence."""
    same = numbers["same_text"] * numbers["samples"]
    return (
        f"same text on {same:.0f} of {numbers['samples']:.0f} samples "
        f"({percent(numbers['same_text'])}), {percent(numbers['characters'])} of the characters"
    )
