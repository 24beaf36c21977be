"""What graphs say about their own input, on small graphs built here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from qdebug.preprocess import PreprocessSpec
from qdebug.preprocess.calibration import calibration_finding, full_range
from qdebug.preprocess.graph_check import front_findings, sides_findings
from qdebug.preprocess.graph_front import GraphFront, read_front
from qdebug.preprocess.graph_front.front import Quantizer
from qdebug.preprocess.spec import Affine

MEAN = np.array([123.675, 116.28, 103.53], np.float32).reshape(1, 3, 1, 1)
STD = np.array([58.395, 57.12, 57.375], np.float32).reshape(1, 3, 1, 1)
NORMALIZED = PreprocessSpec.parse(
    "resize 8x8 cv2 linear | rgb | mean 123.675,116.28,103.53 std 58.395,57.12,57.375 | nchw"
)
RAW = PreprocessSpec.parse("resize 8x8 cv2 linear | rgb | nchw")


def graph(
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, Any],
    shape: tuple[int, ...] = (1, 3, 8, 8),
    dtype: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """Put nodes from 'x' to 'y' in front of a Conv."""
    weight = numpy_helper.from_array(np.ones((2, 3, 1, 1), np.float32), "w")
    last = helper.make_node("Conv", ["y", "w"], ["out"], name="conv")
    initializers = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    return helper.make_model(
        helper.make_graph(
            [*nodes, last],
            "g",
            [helper.make_tensor_value_info("x", dtype, shape)],
            [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
            [*initializers, weight],
        )
    )


def sub_div() -> onnx.ModelProto:
    return graph(
        [
            helper.make_node("Sub", ["x", "m"], ["a"], name="sub"),
            helper.make_node("Div", ["a", "s"], ["y"], name="div"),
        ],
        {"m": MEAN, "s": STD},
    )


def run(model: onnx.ModelProto, x: Any) -> Any:
    """Run the nodes before the Conv with ONNX's own reference implementation."""
    from onnx.reference import ReferenceEvaluator

    front = onnx.ModelProto()
    front.CopyFrom(model)
    del front.graph.node[-1]
    front.graph.output[0].name = "y"
    computed: Any = ReferenceEvaluator(front).run(None, {"x": x})
    return computed[0]


FRONTS: dict[str, onnx.ModelProto] = {
    "Sub Div": sub_div(),
    "Mul Add": graph(
        [
            helper.make_node("Mul", ["x", "g"], ["a"]),
            helper.make_node("Add", ["o", "a"], ["y"]),
        ],
        {"g": 1 / STD, "o": -MEAN / STD},
    ),
    "BatchNormalization": graph(
        [helper.make_node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"], epsilon=1e-5)],
        {
            "s": np.array([1, 2, 3], np.float32),
            "b": np.array([0.1, 0.2, 0.3], np.float32),
            "m": MEAN.ravel(),
            "v": (STD**2).ravel(),
        },
    ),
    "Gather reversed": graph(
        [
            helper.make_node("Gather", ["x", "i"], ["a"], axis=1),
            helper.make_node("Sub", ["a", "m"], ["y"]),
        ],
        {"i": np.array([2, 1, 0]), "m": MEAN},
    ),
    "Slice reversed": graph(
        [
            helper.make_node("Sub", ["x", "m"], ["a"]),
            helper.make_node("Slice", ["a", "st", "en", "ax", "sp"], ["y"]),
        ],
        {
            "m": MEAN,
            "st": np.array([2]),
            "en": np.array([-9]),
            "ax": np.array([1]),
            "sp": np.array([-1]),
        },
    ),
    "Split Concat": graph(
        [
            helper.make_node("Split", ["x"], ["r", "g", "b"], axis=1, num_outputs=3),
            helper.make_node("Concat", ["b", "g", "r"], ["y"], axis=1),
        ],
        {},
    ),
    "three Gathers": graph(
        [
            *(helper.make_node("Gather", ["x", f"i{c}"], [f"c{c}"], axis=1) for c in range(3)),
            helper.make_node("Concat", ["c2", "c1", "c0"], ["y"], axis=1),
        ],
        {f"i{c}": np.array([c]) for c in range(3)},
    ),
}


@pytest.mark.parametrize("name", FRONTS)
def test_the_symbolic_reading_computes_what_the_nodes_compute(name: str) -> None:
    model = FRONTS[name]
    x = np.random.default_rng(0).uniform(0, 255, (1, 3, 8, 8)).astype(np.float32)
    front = read_front(model, "x")
    assert front.nodes
    values = x[:, ::-1] if front.reversed else x
    gain = np.array(front.gain).reshape(1, -1, 1, 1)
    offset = np.array(front.offset).reshape(1, -1, 1, 1)
    assert np.allclose(values * gain + offset, run(model, x), rtol=1e-4, atol=1e-4)


def test_a_transpose_is_a_layout_and_moves_the_channel_axis() -> None:
    model = graph(
        [
            helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("Sub", ["f", "m"], ["a"]),
            helper.make_node("Transpose", ["a"], ["y"], perm=[0, 3, 1, 2]),
        ],
        {"m": MEAN.reshape(1, 1, 1, 3)},
        (1, 8, 8, 3),
        TensorProto.UINT8,
    )
    front = read_front(model, "x")
    assert front.layout == "nchw"
    assert front.offset == pytest.approx(tuple(-MEAN.ravel()))
    assert "brings the input to NCHW" in front.describe()


def test_a_graph_without_a_front_has_none() -> None:
    model = graph([helper.make_node("Relu", ["x"], ["y"])], {})
    front = read_front(model, "x")
    assert not front.normalizes
    assert front.describe() == "leaves the input as it is"
    assert front_findings(NORMALIZED, front) == ()


def test_a_spatial_constant_is_no_normalization() -> None:
    model = graph(
        [helper.make_node("Add", ["x", "p"], ["y"])], {"p": np.zeros((1, 3, 8, 8), np.float32)}
    )
    assert not read_front(model, "x").normalizes


def test_normalizing_inside_and_outside_names_both_places() -> None:
    front = read_front(sub_div(), "x")
    told, conflict = front_findings(NORMALIZED, front)
    assert (told.slug, told.status) == ("normalization-in-graph", "info")
    assert "mean 123.675,116.28,103.53 and std 58.395,57.12,57.375" in told.seen
    assert (conflict.slug, conflict.status) == ("double-normalization", "fail")
    items = dict(conflict.evidence[0].data["items"])
    assert "mean 123.675" in items["outside, in the pipeline"]
    assert items["inside, in the float graph"] == "Sub sub, Div div"


def test_the_same_graph_fed_once_is_silent() -> None:
    findings = front_findings(RAW, read_front(sub_div(), "x"))
    assert [f.status for f in findings] == ["info"]


def test_a_division_inside_and_outside() -> None:
    model = graph([helper.make_node("Div", ["x", "d"], ["y"])], {"d": np.float32(255)})
    front = read_front(model, "x")
    spec = PreprocessSpec.parse("rgb | /255 | nchw")
    assert [f.slug for f in front_findings(spec, front) if f.status == "fail"] == [
        "double-normalization"
    ]
    assert [f.status for f in front_findings(RAW, front)] == ["info"]


def test_0_to_255_into_a_graph_that_normalizes_0_to_1() -> None:
    model = graph(
        [helper.make_node("Sub", ["x", "m"], ["a"]), helper.make_node("Div", ["a", "s"], ["y"])],
        {"m": MEAN / 255, "s": STD / 255},
    )
    slugs = [f.slug for f in front_findings(RAW, read_front(model, "x")) if f.status == "fail"]
    assert slugs == ["missing-scale"]


def test_normalization_moved_into_the_quant_graph_is_no_mistake() -> None:
    inside = read_front(sub_div(), "x")
    assert sides_findings((NORMALIZED, GraphFront()), (RAW, inside)) == ()
    doubled = sides_findings((NORMALIZED, GraphFront()), (NORMALIZED, inside))
    assert [f.slug for f in doubled] == ["double-normalization"]
    missing = sides_findings((NORMALIZED, GraphFront()), (RAW, GraphFront()))
    assert [f.slug for f in missing] == ["missing-normalization"]


def test_an_int8_input_minus_128_in_nhwc_is_no_mistake() -> None:
    model = graph(
        [
            helper.make_node("DequantizeLinear", ["x", "s", "z"], ["f"]),
            helper.make_node("Transpose", ["f"], ["y"], perm=[0, 3, 1, 2]),
        ],
        {"s": np.float32(1 / 255), "z": np.int8(-128)},
        (1, 8, 8, 3),
        TensorProto.INT8,
    )
    front = read_front(model, "x")
    assert front.quantizer is not None
    assert (front.quantizer.low, front.quantizer.high) == pytest.approx((0.0, 1.0))
    float_spec = PreprocessSpec.parse("resize 8x8 | rgb | /255 | nchw")
    device = PreprocessSpec.parse("resize 8x8 | rgb | offset -128 | int8 | nhwc")
    assert sides_findings((float_spec, GraphFront()), (device, front)) == ()
    forgotten = PreprocessSpec.parse("resize 8x8 | rgb | uint8 | nhwc")
    slugs = [f.slug for f in sides_findings((float_spec, GraphFront()), (forgotten, front))]
    assert slugs == ["integer-offset"]


def test_the_quantizers_range_is_read() -> None:
    model = graph(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
        ],
        {"s": np.float32(1 / 255), "z": np.uint8(0)},
    )
    front = read_front(model, "x")
    assert front.quantizer is not None
    assert (front.quantizer.low, front.quantizer.high) == pytest.approx((0.0, 1.0))
    assert not front.normalizes


UNIT = Affine((1 / 255,) * 3, (0.0,) * 3)
BYTES = Affine((1.0,) * 3, (0.0,) * 3)
SIGNED = Affine((1 / 127.5,) * 3, (-1.0,) * 3)
IMAGENET = NORMALIZED.affine
TWICE = PreprocessSpec.parse(
    "rgb | mean 123.675,116.28,103.53 std 58.395,57.12,57.375"
    " | mean 0.485,0.456,0.406 std 0.229,0.224,0.225"
).affine


@pytest.mark.parametrize(
    ("calibrated", "fed", "status", "words"),
    [
        ((0.0, 1.0), UNIT, "pass", "holds 0..1, the pipeline gives 0..1"),
        ((0.0, 0.8), UNIT, "pass", ""),
        ((-2.118, 2.64), IMAGENET, "pass", ""),
        ((-2.0, 2.4), IMAGENET, "pass", ""),
        ((0.0, 1.0), BYTES, "fail", "255 times as wide; as if in calibration 0..1 is fed"),
        ((0.0, 255.0), UNIT, "fail", "255 times as wide as needed; as if in calibration the"),
        ((0.0, 1.0), IMAGENET, "fail", "as if in calibration mean and std are not applied"),
        ((-2.118, 2.64), UNIT, "fail", "calibration looks like ImageNet's mean and std"),
        ((-2.118, 2.64), TWICE, "fail", "in the pipeline, mean and std are applied twice"),
        ((-11.4, 9.8), IMAGENET, "fail", "as if in calibration mean and std are applied twice"),
        ((0.0, 1.0), SIGNED, "fail", "as if in calibration mean and std are not applied"),
        ((0.0, 0.1), UNIT, "warn", "10 times"),
    ],
)
def test_the_calibrated_range_against_what_the_pipeline_gives(
    calibrated: tuple[float, float], fed: Affine, status: str, words: str
) -> None:
    finding = calibration_finding(Quantizer(*calibrated, symmetric=False), full_range(fed), fed)
    assert finding.status == status
    assert words in finding.seen


def test_values_of_unknown_origin_are_judged_by_their_range() -> None:
    unit = Quantizer(0.0, 1.0, symmetric=False)
    assert calibration_finding(unit, (0.02, 0.93)).status == "pass"
    wide = calibration_finding(unit, (0.0, 255.0))
    assert wide.status == "fail"
    assert "like the range 0..1, what is fed like the range 0..255" in wide.seen


def test_a_symmetric_range_may_leave_one_side_unused() -> None:
    signed = Quantizer(-1.0, 1.0, symmetric=True)
    assert calibration_finding(signed, full_range(UNIT), UNIT).status == "pass"
    assert calibration_finding(signed, full_range(BYTES), BYTES).status == "fail"


def test_a_vendors_node_that_cannot_be_read_is_said() -> None:
    model = graph([helper.make_node("AippPreprocess", ["x"], ["y"], name="aipp")], {})
    (finding,) = front_findings(RAW, read_front(model, "x"))
    assert "AippPreprocess aipp" in finding.seen
    horizon = graph(
        [
            helper.make_node(
                "HzPreprocess", ["x"], ["y"], mean=[127.5, 127.5, 127.5], scale=[0.0078431] * 3
            )
        ],
        {},
    )
    assert read_front(horizon, "x").gain == pytest.approx((0.0078431,) * 3)


def test_a_normalization_batch_trained_on_normalized_input_is_no_second_one() -> None:
    learned = GraphFront(gain=(1.1, 0.9, 1.0), offset=(0.02, -0.1, 0.05), nodes=("BN data",))
    assert [f.status for f in front_findings(NORMALIZED, learned)] == ["info"]


def test_constants_behind_a_dequantize_are_read() -> None:
    model = graph(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
            helper.make_node("DequantizeLinear", ["c", "cs", "cz"], ["m"]),
            helper.make_node("Mul", ["d", "m"], ["y"]),
        ],
        {
            "s": np.float32(1),
            "z": np.uint8(0),
            "c": np.uint8(250),
            "cs": np.float32(0.01),
            "cz": np.uint8(100),
        },
    )
    front = read_front(model, "x")
    assert front.gain == pytest.approx((1.5,))
    assert read_front(graph(list(model.graph.node), {}), "x").unread == "Mul y"


def test_arithmetic_on_codes_is_read() -> None:
    """``QLinearMul`` by 0.5 and ``QLinearAdd`` of -3, as ONNX Runtime's QOperator graphs have."""
    model = graph(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("QLinearMul", ["q", "s", "z", "h", "hs", "z", "s", "z"], ["m"]),
            helper.make_node("QLinearAdd", ["m", "s", "z", "t", "ts", "tz", "s", "z"], ["a"]),
            helper.make_node("DequantizeLinear", ["a", "s", "z"], ["y"]),
        ],
        {
            "s": np.float32(2),
            "z": np.uint8(0),
            "h": np.uint8(50),
            "hs": np.float32(0.01),
            "t": np.uint8(0),
            "ts": np.float32(0.03),
            "tz": np.uint8(100),
        },
    )
    front = read_front(model, "x")
    assert front.gain == pytest.approx((0.5,))
    assert front.offset == pytest.approx((-3.0,))
    assert front.quantizer == Quantizer(0.0, 510.0, symmetric=False)


def test_a_quantizer_behind_slices_sees_the_inputs_values() -> None:
    slices = [helper.make_node("Slice", ["x", f"a{i}", "e", "w"], [f"p{i}"]) for i in range(2)]
    nodes = [
        *slices,
        helper.make_node("Concat", ["p0", "p1"], ["f"], axis=1),
        helper.make_node("QuantizeLinear", ["f", "s", "z"], ["y"]),
    ]
    constants = {
        "a0": np.array([0]),
        "a1": np.array([1]),
        "e": np.array([8]),
        "w": np.array([3]),
        "s": np.float32(1),
        "z": np.uint8(0),
    }
    front = read_front(graph(nodes, constants), "x")
    assert front.quantizer == Quantizer(0.0, 255.0, symmetric=False)
    assert not front.changes


@pytest.mark.parametrize(
    ("second", "symmetric"),
    [
        pytest.param(None, True, id="nothing to compare with"),
        pytest.param(np.uint8(0), True, id="an end: nothing is negative there"),
        pytest.param(np.uint8(17), False, id="its values alone explain it"),
        pytest.param(np.uint16(17), True, id="of another scheme"),
    ],
)
def test_a_zero_point_in_the_middle_is_symmetric_unless_others_tell_otherwise(
    second: Any, symmetric: bool
) -> None:
    """Pixels of -1..1 have it in the middle too, and then a pipeline of 0..1 is wrong."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    constants = {"s": np.float32(2 / 255), "z": np.uint8(128), "wz": np.uint8(99)}
    model = graph(nodes, constants if second is None else {**constants, "z2": second})
    model.graph.node.append(helper.make_node("QuantizeLinear", ["w", "s", "wz"], ["a weight's"]))
    if second is not None:
        model.graph.node.append(helper.make_node("QuantizeLinear", ["out", "s", "z2"], ["q2"]))
    held = read_front(model, "x").quantizer
    assert held is not None
    assert held.symmetric == symmetric
    found = calibration_finding(held, full_range(UNIT), UNIT)
    assert found.status == ("pass" if symmetric else "fail")
    assert symmetric or "calibration looks like the range -1..1" in found.seen
