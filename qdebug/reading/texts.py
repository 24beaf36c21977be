"""A board's texts: which way of reading a CTC output gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qdebug.analysis.tasks.text import distance
from qdebug.run.reading_results import Misreading, ReadingInfo, ReadingState

RIGHT = "right"
_EXPLAINS = 0.3
"""Edits a character up to which a way of reading explains the texts: int8 twins of one recognizer
change up to a fifth of the characters. By judgement."""
_BETTER = 0.5
"""A way of reading is better where it needs fewer than this share of the other's edits. By
judgement."""
_TEXTS = 3
"""Or where the texts that come nearer are more than so many times those that come less near: what
int8 changes moves texts away from a wrong way of reading, not towards it. By judgement."""
_FEWEST = 2
"""Edits that it must save at least: one may be chance."""
_WAYS = {
    "blank": (
        "another symbol is taken for the blank",
        "The blank is the symbol that most steps give: leave that one out.",
    ),
    "list-shift-up": (
        "characters are one too far in the list: the blank is counted in it and is not, or twice",
        "Put the blank where the model has it before looking characters up.",
    ),
    "list-shift-down": (
        "characters are one too early in the list: the blank is not counted in it",
        "Put the blank before the list of characters.",
    ),
    "blank-and-list": (
        "the blank is taken to stand at the other end, and the list is shifted with it",
        "Put the blank where the model has it.",
    ),
    "not-merged": (
        "repetitions are not merged",
        "Merge equal neighbours, then leave the blanks out.",
    ),
    "blank-before-merging": (
        "blanks are left out before repetitions are merged: double letters are lost",
        "Merge equal neighbours first, then leave the blanks out.",
    ),
    "steps-and-symbols": (
        "the best step of each symbol is taken, not the best symbol of each step: the wrong axis",
        "Take the maximum over the symbols.",
    ),
}


def read_texts(
    by_basis: Mapping[str, Sequence[Mapping[str, str]]],
    answers: Sequence[str | None],
    name: str,
    title: str,
) -> ReadingInfo:
    """Find how a board reads.

    Args:
        by_basis: texts by the way of reading, ``right`` first, of every picture; by whose tensors
            they are of, nearest first.
        answers: the board's texts; None for none.
        name: of their file.
        title: of its form.
    """
    at = [i for i, answer in enumerate(answers) if answer is not None]
    board = [answers[i] or "" for i in at]
    read = {
        (basis, way): [texts[i][way] for i in at]
        for basis, texts in by_basis.items()
        for way in texts[0]
    }
    edits = {key: _edits(own, board) for key, own in read.items()}
    cost = {key: sum(edits[key]) / max(_characters(own, board), 1) for key, own in read.items()}
    basis, way = min(cost, key=lambda key: (cost[key], key[1] != RIGHT))
    plain = min(by_basis, key=lambda b: cost[b, RIGHT])
    if not _better(edits[basis, way], edits[basis, RIGHT], edits[plain, RIGHT]):
        basis, way = plain, RIGHT
    alike = [w for b, w in cost if b == basis and cost[b, w] == cost[basis, way] and w != RIGHT]
    found: list[Misreading] = []
    state: ReadingState = "same" if at else "nothing"
    if cost[basis, way] > _EXPLAINS:
        state = "unexplained"
    elif way != RIGHT:
        state = "explained"
        words = ", or ".join(_WAYS[w][0] for w in alike)
        found = [Misreading("reading-text", tuple(alike), words, _WAYS[way][1])]
    return ReadingInfo(
        name,
        title,
        state,
        basis,
        len(answers),
        len(at),
        _equal(read[basis, RIGHT], board),
        _equal(read[basis, way], board) if state != "unexplained" else 0,
        tuple(found),
    )


def _better(way: Sequence[int], right: Sequence[int], plain: Sequence[int]) -> bool:
    """Whether a way of reading is the board's.

    Args:
        way: edits of each text.
        right: the same where the same tensors are read rightly.
        plain: the same where the tensors are those that come nearest so.
    """
    nearer = sum(one < two for one, two in zip(way, right, strict=True))
    farther = sum(one > two for one, two in zip(way, right, strict=True))
    saved = sum(plain) - sum(way)
    return saved >= _FEWEST and (sum(way) < _BETTER * sum(plain) or nearer > _TEXTS * farther)


def _edits(own: Sequence[str], board: Sequence[str]) -> list[int]:
    """Edits of each text."""
    pairs = zip(own, board, strict=True)
    return [distance(list(map(ord, a)), list(map(ord, b))) for a, b in pairs]


def _characters(own: Sequence[str], board: Sequence[str]) -> int:
    """Of the longer text, over all texts."""
    return sum(max(len(a), len(b)) for a, b in zip(own, board, strict=True))


def _equal(own: Sequence[str], board: Sequence[str]) -> int:
    return sum(a == b for a, b in zip(own, board, strict=True))
