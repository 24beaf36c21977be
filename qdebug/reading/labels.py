"""A board's classes of pictures: which rule leads from the scores to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.reading.classes import compare_classes
from qdebug.run.reading_results import Misreading, ReadingInfo, ReadingState

Array = npt.NDArray[Any]

_EXPLAINS = 0.8
"""Share of the pictures that a rule must give. By judgement: an int8 twin keeps nine of ten."""
_FEWEST = 3
"""Pictures that tell a rule from chance."""
_RULES = {
    "unsigned-codes": (
        "reading-codes",
        "signed codes are compared as unsigned ones: every negative score is the largest",
        "Read the output as int8.",
    ),
    "least-score": ("reading-scores", "the lowest score is taken", "Take the highest score."),
}


def read_labels(
    by_basis: Mapping[str, Sequence[Array]],
    answers: Sequence[npt.NDArray[np.int64]],
    codes: tuple[float, int] | None,
    name: str,
    title: str,
) -> ReadingInfo:
    """Find how a board names classes.

    Args:
        by_basis: scores of every picture, by whose tensors they are of, nearest first.
        answers: the board's classes of every picture, best first; empty for none.
        codes: scale and zero point of the output, where it is quantized.
        name: of their file.
        title: of its form.
    """
    at = [i for i, answer in enumerate(answers) if len(answer)]
    board = [int(answers[i][0]) for i in at]
    best = {b: [int(scores[i].argmax()) for i in at] for b, scores in by_basis.items()}
    basis = max(best, key=lambda b: _share(best[b], board))
    agreeing = _share(best[basis], board)
    mistakes, note = compare_classes(best[basis], board, len(by_basis[basis][0]))
    explained = agreeing
    if mistakes:
        explained = _moved(mistakes[0], best[basis], board)
    elif agreeing < _EXPLAINS and len(at) >= _FEWEST:
        mistakes, explained = _by_rule([by_basis[basis][i] for i in at], board, codes)
    state: ReadingState = "explained" if mistakes else "unexplained"
    if not mistakes and (agreeing >= _EXPLAINS or len(at) < _FEWEST):
        state = "same"
    if not at:
        state = "nothing"
    return ReadingInfo(
        name,
        title,
        state,
        basis,
        len(answers),
        len(at),
        round(agreeing * len(at)),
        round(explained * len(at)),
        tuple(mistakes),
        (note,) if note else (),
    )


def _share(one: Sequence[int], two: Sequence[int]) -> float:
    return float(np.mean([a == b for a, b in zip(one, two, strict=True)])) if one else 0.0


def _moved(found: Misreading, own: Sequence[int], board: Sequence[int]) -> float:
    shift = int(dict(found.numbers).get("shift", 0))
    return _share([c + shift for c in own], board)


def _by_rule(
    scores: Sequence[Array], board: Sequence[int], codes: tuple[float, int] | None
) -> tuple[list[Misreading], float]:
    tried = {"least-score": [int(s.argmin()) for s in scores]}
    if codes is not None:
        held = [np.rint(s / codes[0]) + codes[1] for s in scores]
        tried["unsigned-codes"] = [int((h % 256).argmax()) for h in held]
    name = max(tried, key=lambda rule: _share(tried[rule], board))
    share = _share(tried[name], board)
    if share < _EXPLAINS:
        return [], 0.0
    slug, words, advice = _RULES[name]
    return [Misreading(slug, (name,), words, advice)], share
