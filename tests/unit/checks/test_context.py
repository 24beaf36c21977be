"""What a check may look at."""

from __future__ import annotations

import numpy as np
import pytest

from qdebug.checks import CheckContext, join_layers
from tests.support.contexts import check_context, measured

VALUES = np.array([[[1.0, -3.0], [0.5, 0.25]]])


def test_a_layer_is_all_that_is_known_of_it() -> None:
    context = check_context([measured("a", VALUES, VALUES), measured("b", -2 * VALUES, VALUES)])
    layer = context.layer(1)
    assert (layer.at, layer.name, layer.pair.float_tensor) == (1, "b", "b")
    assert layer.record is context.layers[1]
    assert layer.channel_peaks.tolist() == [6.0, 1.0]
    assert layer.peak == 6.0
    assert layer.range is None


def test_a_layer_that_holds_nothing_has_no_peak() -> None:
    empty = np.zeros((1, 2, 0))
    infinite = np.full((1, 2, 2), np.nan)
    context = check_context([measured("a", empty, empty), measured("b", infinite, infinite)])
    assert [layer.peak for layer in context.joined] == [0.0, 0.0]


def test_what_does_not_belong_together_is_not_joined() -> None:
    context = check_context([measured("a", VALUES, VALUES)])
    with pytest.raises(ValueError, match="shorter"):
        join_layers(context.pairing.pairs, [], context.layers)


def test_what_is_asked_for_once_is_computed_once() -> None:
    context = check_context()
    calls: list[CheckContext] = []

    def compute(given: CheckContext) -> int:
        calls.append(given)
        return len(calls)

    assert (context.once(compute), context.once(compute)) == (1, 1)
    assert calls == [context]
