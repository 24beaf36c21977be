"""The order in which ways to choose ranges are held to be good."""

from __future__ import annotations

import pytest

from qdebug.cure.ranges import _in_order
from qdebug.run.tuning import Measured


def measured(loss: float, count: int) -> Measured:
    return Measured(loss, 0.0, None, (loss,) * count)


@pytest.mark.parametrize(
    ("count", "first"), [(8, "G2, reach kept"), (4, "G2, reach kept"), (3, "G2")]
)
def test_a_tie_goes_to_the_wider_one_where_pictures_can_tell_one(count: int, first: str) -> None:
    losses = {"G2": 0.100, "G2, reach kept": 0.105, "MAX": 0.3}
    order = _in_order({name: measured(loss, count) for name, loss in losses.items()})
    assert order[0] == first
    assert order[-1] == "MAX"
