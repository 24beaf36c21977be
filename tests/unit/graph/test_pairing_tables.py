"""Tables of agreement: one pair is judged as it is among many."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from qdebug.graph.pairing.tables import equal_shares, overlaps

PARAMS: list[dict[str, Any]] = [
    {},
    {"pads": [0, 0], "mode": "linear"},
    {"pads": [0, 1], "mode": "linear"},
    {"pads": [0.0, 0.0], "mode": "linear"},
    {"pads": [0, 0]},
    {"min": float("nan")},
    {"min": np.nan},
]


@pytest.mark.parametrize("left", range(len(PARAMS)))
@pytest.mark.parametrize("right", range(len(PARAMS)))
def test_parameters_of_one_pair_agree_as_among_many(left: int, right: int) -> None:
    among_many = equal_shares(PARAMS, PARAMS, 1e-6)[left, right]
    assert equal_shares([PARAMS[left]], [PARAMS[right]], 1e-6) == [[among_many]]


def test_readers_of_one_pair_overlap_as_among_many() -> None:
    readers = [Counter[str](), Counter(["Conv/2"]), Counter(["Conv/2", "Conv/2", "Add/2"])]
    among_many = overlaps(readers, readers)
    for i, left in enumerate(readers):
        for j, right in enumerate(readers):
            assert overlaps([left], [right]) == [[among_many[i, j]]]
