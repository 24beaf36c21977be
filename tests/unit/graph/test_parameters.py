"""Parameters of operators in one spelling: what is equal, what differs, what is left open."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from qdebug.graph.constants import Constants
from qdebug.graph.model import TensorType
from qdebug.graph.parameters import Site, differences
from qdebug.graph.shapes import infer_types
from tests.unit.graph.conftest import Load

SQUARE = [1, 4, 8, 8]


def site(
    load: Load,
    op: str,
    shape: list[int | str] | None = None,
    opset: int = 17,
    consts: dict[str, Any] | None = None,
    layout: tuple[int, ...] | None = None,
    outputs: int = 1,
    **attributes: Any,
) -> Site:
    """The only node of a graph, fed with ``x`` and constants."""
    given = {name: np.asarray(value) for name, value in (consts or {}).items()}
    made = [f"y{at}" for at in range(outputs)]
    node = helper.make_node(op, ["x", *given], made, **attributes)
    shapes = shape or SQUARE
    graph = load([node], {"x": shapes}, made, given, opset=opset)
    fixed = tuple(dim for dim in shapes if isinstance(dim, int))
    types = infer_types(graph, {"x": fixed}) if len(fixed) == len(shapes) else {}
    types.setdefault("x", TensorType(TensorProto.FLOAT, tuple(shapes)))
    return Site(graph.nodes[-1], graph, Constants(graph), types, layout)


def named(left: Site, right: Site) -> list[str]:
    return [difference.parameter for difference in differences(left, right)]


WEIGHT = {"w": np.zeros((4, 4, 3, 3), np.float32)}
I64 = np.int64
SCALES = {"roi": np.zeros(0, np.float32), "scales": np.array([1, 1, 2, 2], np.float32)}


def ints(**values: list[int]) -> dict[str, Any]:
    return {name: np.array(value, I64) for name, value in values.items()}


EQUAL: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "SAME_UPPER, stride 1": (
        {"op": "Conv", "consts": WEIGHT, "auto_pad": "SAME_UPPER"},
        {"op": "Conv", "consts": WEIGHT, "pads": [1, 1, 1, 1], "kernel_shape": [3, 3]},
    ),
    "SAME_LOWER, stride 2": (
        {"op": "Conv", "consts": WEIGHT, "auto_pad": "SAME_LOWER", "strides": [2, 2]},
        {"op": "Conv", "consts": WEIGHT, "pads": [1, 1, 0, 0], "strides": [2, 2]},
    ),
    "VALID": (
        {"op": "MaxPool", "auto_pad": "VALID", "kernel_shape": [2, 2]},
        {"op": "MaxPool", "kernel_shape": [2, 2], "strides": [1, 1], "pads": [0] * 4},
    ),
    "count_include_pad without padding": (
        {"op": "AveragePool", "kernel_shape": [2, 2], "count_include_pad": 1},
        {"op": "AveragePool", "kernel_shape": [2, 2]},
    ),
    "mean over the picture": (
        {"op": "GlobalAveragePool"},
        {"op": "ReduceMean", "axes": [-1, -2], "opset": 17},
    ),
    "axes as an input": (
        {"op": "ReduceMean", "axes": [2, 3], "opset": 17},
        {"op": "ReduceMean", "consts": ints(axes=[3, 2]), "opset": 18},
    ),
    "Relu6": (
        {"op": "Clip", "min": 0.0, "max": 6.0, "opset": 6},
        {"op": "Clip", "consts": {"a": np.float32(0), "b": np.float32(6)}},
    ),
    "Relu": ({"op": "Relu"}, {"op": "Clip", "consts": {"a": np.float32(0)}}),
    "negative axis": ({"op": "Concat", "axis": -1}, {"op": "Concat", "axis": 3}),
    "Upsample": (
        {"op": "Upsample", "consts": {"s": SCALES["scales"]}, "opset": 9, "mode": "linear"},
        {
            "op": "Resize",
            "consts": SCALES,
            "mode": "linear",
            "coordinate_transformation_mode": "asymmetric",
        },
    ),
    "nearest, whole factor": (
        {"op": "Upsample", "consts": {"s": SCALES["scales"]}, "opset": 9, "mode": "nearest"},
        {"op": "Resize", "consts": SCALES, "mode": "nearest"},
    ),
    "slice to the end": (
        {"op": "Slice", "consts": ints(s=[2], e=[2**31 - 1], a=[-1])},
        {"op": "Slice", "consts": ints(s=[-6], e=[8], a=[3])},
    ),
    "split in halves": (
        {"op": "Split", "consts": ints(s=[2, 2]), "axis": 1, "outputs": 2},
        {"op": "Split", "axis": -3, "outputs": 2},
    ),
    "Softmax of the last axis": (
        {"op": "Softmax", "shape": [1, 5], "opset": 11},
        {"op": "Softmax", "shape": [1, 5], "opset": 13},
    ),
    "defaults": ({"op": "LeakyRelu"}, {"op": "LeakyRelu", "alpha": 0.01}),
    "channels last": (
        {"op": "Concat", "axis": 1},
        {"op": "Concat", "axis": 3, "shape": [1, 8, 8, 4], "layout": (0, 3, 1, 2)},
    ),
    "reversed axes": ({"op": "Transpose"}, {"op": "Transpose", "perm": [3, 2, 1, 0]}),
    "negative index": (
        {"op": "Gather", "consts": ints(i=[-1]), "axis": 1},
        {"op": "Gather", "consts": ints(i=[3]), "axis": 1},
    ),
}
DIFFERENT: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "pads": (
        {"op": "Conv", "consts": WEIGHT, "pads": [1] * 4},
        {"op": "Conv", "consts": WEIGHT, "pads": [0, 0, 2, 2]},
        "pads",
    ),
    "UPPER and LOWER": (
        {"op": "Conv", "consts": WEIGHT, "auto_pad": "SAME_LOWER", "strides": [2, 2]},
        {"op": "Conv", "consts": WEIGHT, "auto_pad": "SAME_UPPER", "strides": [2, 2]},
        "pads",
    ),
    "dilations": (
        {"op": "Conv", "consts": WEIGHT},
        {"op": "Conv", "consts": WEIGHT, "dilations": [2, 2]},
        "dilations",
    ),
    "pools": (
        {"op": "MaxPool", "kernel_shape": [2, 2]},
        {"op": "AveragePool", "kernel_shape": [2, 2]},
        "operator",
    ),
    "count_include_pad": (
        {"op": "AveragePool", "kernel_shape": [3, 3], "pads": [1] * 4},
        {"op": "AveragePool", "kernel_shape": [3, 3], "pads": [1] * 4, "count_include_pad": 1},
        "count_include_pad",
    ),
    "Relu and Relu6": (
        {"op": "Relu"},
        {"op": "Clip", "consts": {"a": np.float32(0), "b": np.float32(6)}},
        "max",
    ),
    "alpha": ({"op": "LeakyRelu", "alpha": 0.1}, {"op": "LeakyRelu"}, "alpha"),
    "the defaults of two operator sets": (
        {"op": "Resize", "consts": {"s": SCALES["scales"]}, "mode": "linear", "opset": 10},
        {"op": "Resize", "consts": SCALES, "mode": "linear"},
        "coordinate_transformation_mode",
    ),
    "Softmax of two operator sets": (
        {"op": "Softmax", "shape": [1, 4, 5], "opset": 11},
        {"op": "Softmax", "shape": [1, 4, 5], "opset": 13},
        "axes",
    ),
    "slice": (
        {"op": "Slice", "consts": ints(s=[1], e=[5], a=[2])},
        {"op": "Slice", "consts": ints(s=[2], e=[6], a=[2])},
        "axis 2 start, end, step",
    ),
    "slice of another axis": (
        {"op": "Slice", "consts": ints(s=[1], e=[5], a=[2])},
        {"op": "Slice", "consts": ints(s=[1], e=[5], a=[3])},
        "axis 2 start, end, step",
    ),
    "order of pixels": (
        {"op": "DepthToSpace", "blocksize": 2, "mode": "CRD"},
        {"op": "DepthToSpace", "blocksize": 2},
        "mode",
    ),
    "permutation": (
        {"op": "Transpose", "perm": [0, 1, 3, 2]},
        {"op": "Transpose", "perm": [0, 1, 2, 3]},
        "perm",
    ),
    "channels last": (
        {"op": "Concat", "axis": 1},
        {"op": "Concat", "axis": 1, "shape": [1, 8, 8, 4], "layout": (0, 3, 1, 2)},
        "axis",
    ),
}


@pytest.mark.parametrize("case", EQUAL)
def test_equal_spellings(load: Load, case: str) -> None:
    left, right = (site(load, **given) for given in EQUAL[case])
    assert named(left, right) == []
    assert named(right, left) == []


@pytest.mark.parametrize("case", DIFFERENT)
def test_different_meanings(load: Load, case: str) -> None:
    *given, parameter = DIFFERENT[case]
    left, right = (site(load, **one) for one in given)
    assert parameter in named(left, right)
    assert parameter in named(right, left)


def test_what_cannot_be_read_never_differs(load: Load) -> None:
    shape: list[int | str] = [1, 4, "h", "w"]
    automatic = site(load, "Conv", shape, consts=WEIGHT, auto_pad="SAME_UPPER")
    explicit = site(load, "Conv", shape, consts=WEIGHT, pads=[0, 0, 2, 2])
    assert named(automatic, explicit) == []


def test_a_difference_is_told_with_both_values(load: Load) -> None:
    left, right = (site(load, "LeakyRelu", alpha=alpha) for alpha in (0.1, 0.2))
    assert str(differences(left, right)[0]) == "alpha 0.2 instead of 0.1"


def test_what_follows_from_the_shape_of_the_input_is_no_difference(load: Load) -> None:
    bounds = ints(starts=[1, 1], ends=[2**31 - 1] * 2, axes=[2, 3], steps=[2, 2])
    sides = [site(load, "Slice", [1, 4, n, n], consts=bounds) for n in (8, 4)]
    assert named(*sides) == []
    other = site(load, "Slice", [1, 4, 4, 4], consts={**bounds, "starts": np.array([0, 1], I64)})
    assert "axis 2 start, end, step" in named(sides[0], other)
