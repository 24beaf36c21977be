"""Normalizations as inference computes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.differences import Case, check_case

SHAPE = (2, 6, 3, 4)


def line(*shape: int, low: float = -1.0) -> Any:
    return np.random.default_rng(5).uniform(low, 2, shape).astype(np.float32)


def batch(opset: int) -> Case:
    constants = {1: line(6), 2: line(6), 3: line(6), 4: line(6, low=0.2)}
    attributes = {"epsilon": 1e-3}
    return Case("BatchNormalization", [SHAPE], attributes, constants, opset=opset, runtime=True)


def standardized(x: Any, axes: tuple[int, ...], epsilon: float) -> Any:
    centred = x - x.mean(axes, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axes, keepdims=True) + epsilon)


def in_groups(x: Any) -> Any:
    inner = standardized(x.reshape(2, 3, -1), (2,), 1e-5).reshape(x.shape)
    scale = line(6).astype(np.float64).reshape(6, 1, 1)
    return inner * scale + scale


CASES = [
    batch(9),
    batch(15),
    Case("LayerNormalization", [SHAPE], {}, {1: line(4), 2: line(4)}),
    Case("LayerNormalization", [SHAPE], {"axis": 2, "epsilon": 1e-2}, {1: line(3, 4)}),
    Case("InstanceNormalization", [SHAPE], {"epsilon": 1e-2}, {1: line(6), 2: line(6)}, opset=11),
    Case(
        "GroupNormalization",
        [SHAPE],
        {"num_groups": 3},
        {1: line(6), 2: line(6)},
        opset=21,
        formula=in_groups,
    ),
    Case("GroupNormalization", [SHAPE], {"num_groups": 2}, {1: line(2), 2: line(2)}, opset=18),
    Case(
        "MeanVarianceNormalization",
        [SHAPE],
        opset=13,
        formula=lambda x: standardized(x, (0, 2, 3), 1e-9),
    ),
    Case("RMSNormalization", [SHAPE], {"axis": -1}, {1: line(4)}, opset=23),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_derivative(case: Case) -> None:
    check_case(case)
