"""Which class of the head a class of the board's file is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.run.reading_results import Misreading

Array = npt.NDArray[Any]

COCO_IDS = (
    *range(1, 12), *range(13, 26), 27, 28, *range(31, 45), *range(46, 66), 67, 70,
    *range(72, 83), *range(84, 91),
)  # fmt: skip
"""COCO's category id of each of its 80 classes; ten of the 90 are not used."""
_AGREES = 0.8
"""Share of the boxes from which on one rule explains the classes. By judgement: two runtimes of one
network give some boxes another class."""
_FEWEST = 2
"""Boxes that must follow a rule which is a mistake."""


def compare_classes(
    own: Sequence[int], board: Sequence[int], count: int
) -> tuple[list[Misreading], str]:
    """Find the rule from the head's classes to the board's.

    Args:
        own: class of the head of each box.
        board: class in the board's file.
        count: classes of the head.

    Returns:
        The mistakes, and a note where the file counts in a way of its own that is none.
    """
    if not own:
        return [], ""
    if count == len(COCO_IDS) and _share([COCO_IDS[c] for c in own], board) >= _AGREES:
        return [], "classes are COCO's category ids"
    moved, agreeing = Counter(b - o for o, b in zip(own, board, strict=True)).most_common(1)[0]
    if moved and agreeing >= max(_AGREES * len(own), _FEWEST):
        told = f"the only class is numbered {moved}"
        return ([], told) if count == 1 else ([_shifted(moved)], "")
    named = None
    if count > len(COCO_IDS) and _from_ids(own, board):
        named = _ids()
    elif _share(own, board) < _AGREES and len(own) >= _FEWEST:
        named = _other_rule(own, board)
    return ([named] if named is not None else []), ""


def _share(one: Sequence[int], two: Sequence[int]) -> float:
    return float(np.mean([a == b for a, b in zip(one, two, strict=True)]))


def _shifted(moved: int) -> Misreading:
    why = {
        1: "they are counted from 1, or the background is counted",
        -1: "the background is not counted, or they are counted from 1 in the model",
    }.get(moved, "")
    return Misreading(
        "reading-classes",
        ("class-shift",),
        f"class numbers are shifted by {moved:+d}" + (f": {why}" if why else ""),
        f"Subtract {moved} from the class." if moved > 0 else f"Add {-moved} to the class.",
        (("shift", float(moved)),),
    )


def _from_ids(own: Sequence[int], board: Sequence[int]) -> bool:
    """A head of COCO's 91 numbers, of which the file holds the 80 that are used."""
    known = {category: at for at, category in enumerate(COCO_IDS)}
    return _share([known.get(c, -1) for c in own], board) >= _AGREES


def _ids() -> Misreading:
    return Misreading(
        "reading-classes",
        ("class-ids",),
        "the head counts COCO's 91 category ids, the file 80 class numbers",
        "Write the category id that the head gives, or map both lists by name.",
    )


def _other_rule(own: Sequence[int], board: Sequence[int]) -> Misreading | None:
    """Another list of classes: each of the head's is always the same one of the board's."""
    seen: dict[int, Counter[int]] = {}
    for one, two in zip(own, board, strict=True):
        seen.setdefault(one, Counter())[two] += 1
    agreeing = sum(counts.most_common(1)[0][1] for counts in seen.values())
    repeated = sum(sum(c.values()) for c in seen.values() if sum(c.values()) > 1)
    if agreeing < _AGREES * len(own) or repeated < len(own) / 2:
        return None
    told = ", ".join(f"{one} as {counts.most_common(1)[0][0]}" for one, counts in
                     sorted(seen.items())[:4])  # fmt: skip
    return Misreading(
        "reading-classes",
        ("class-list",),
        f"the classes are another list: {told}",
        "Use the names in the order of the model's own list.",
    )
