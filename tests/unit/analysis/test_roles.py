"""Source or victim."""

from __future__ import annotations

import dataclasses
import math

import pytest

from qdebug.analysis.roles import assign_roles
from qdebug.run.model import ErrorMetrics, Layer, LocalError, Role, State


def layer(local: float | None, accumulated: float, state: State = "ok") -> Layer:
    def numbers(sqnr: float) -> dict[str, float]:
        return dict.fromkeys((f.name for f in dataclasses.fields(ErrorMetrics)), 0.0) | {
            "sqnr_db": sqnr
        }

    return Layer(
        index=0, name="n", op="Conv", float_tensor="f", quant_tensor="q", shape=(1,),
        paired_by="name", quant=None, accumulated=ErrorMetrics(**numbers(accumulated)),
        local=None if local is None else LocalError(**numbers(local)), sensitivity=None,
        clipped=None, codes_used=None, worst_channel=None, worst_sample=None, state=state,
        reason=None,
    )  # fmt: skip


def roles(*layers: Layer) -> list[Role | None]:
    return [item.role for item in assign_roles(layers)]


def test_the_layer_that_makes_the_error_is_the_source_and_those_after_it_are_victims() -> None:
    network = [layer(45, 40), layer(44, 38), layer(8, 8), layer(43, 8.5), layer(45, 9)]
    assert roles(*network) == ["sound", "sound", "source", "victim", "victim"]


def test_an_evenly_quantized_network_has_no_source() -> None:
    network = [layer(32 + i % 5, 30 - i) for i in range(10)]
    assert "source" not in roles(*network)


def test_fine_layers_are_no_source_however_fine_the_others_are() -> None:
    assert roles(layer(90, 80), layer(95, 85), layer(40, 40), layer(91, 60)) == ["sound"] * 4


def test_a_broken_network_has_only_sources() -> None:
    assert roles(layer(3, 3), layer(2, 1), layer(4, 0)) == ["source"] * 3


@pytest.mark.parametrize("state", ["low_signal", "zero_both", "not_compared"])
def test_a_layer_without_signal_has_no_role(state: State) -> None:
    assert roles(layer(1, 1, state), layer(40, 40)) == [None, "sound"]


def test_unknown_local_error_gives_no_role_and_nan_is_a_source() -> None:
    assert roles(layer(None, 5), layer(math.nan, math.nan), layer(40, 40)) == [
        None, "source", "sound",
    ]  # fmt: skip
