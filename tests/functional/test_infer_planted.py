"""Pipelines inferred for small networks whose convention was planted: right, or said to be open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks import infer as infer_bench
from benchmarks.conventions import CONVENTIONS, Convention
from qdebug.capture.session import Session
from qdebug.comparison.sides import load_sides
from qdebug.errors import UsageError
from qdebug.options import CompareOptions
from qdebug.preprocess import PreprocessSpec
from qdebug.run.model import PreprocessInfo
from tests.support.pictures import png, scene

MEAN, STD = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
IMAGENET = -2.118, 2.64
Front = Sequence[tuple[str, Sequence[float]]]


def _model(
    quantizer: tuple[float, float] | None,
    front: Front,
    shape: Sequence[Any],
    dtype: int,
    seed: int,
) -> onnx.ModelProto:
    """A random classifier without biases, with ``front`` before its first layer."""
    rng = np.random.default_rng(seed)
    last = shape[3] == 3
    weights: list[onnx.TensorProto] = []

    def constant(name: str, value: object) -> str:
        weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    nodes = [helper.make_node("Cast", ["input"], ["x0"], to=TensorProto.FLOAT)]
    for at, (op, values) in enumerate(front):
        value = np.asarray(values, np.float32).reshape((1, 1, 1, -1) if last else (1, -1, 1, 1))
        nodes.append(helper.make_node(op, [f"x{at}", constant(f"f{at}", value)], [f"x{at + 1}"]))
    x = f"x{len(front)}"
    if quantizer is not None:
        low, high = min(quantizer[0], 0.0), max(quantizer[1], 0.0)
        step = np.float32((high - low) / 255)
        parts = [constant("s", step), constant("z", np.uint8(round(-low / step)))]
        nodes.append(helper.make_node("QuantizeLinear", [x, *parts], ["codes"]))
        nodes.append(helper.make_node("DequantizeLinear", ["codes", *parts], ["rounded"]))
        x = "rounded"
    if last:
        nodes.append(helper.make_node("Transpose", [x], ["first"], perm=[0, 3, 1, 2]))
        x = "first"
    conv = rng.normal(0, 0.3, (16, 3, 3, 3)).astype(np.float32)
    full = rng.normal(0, 0.6, (16, 10)).astype(np.float32)
    nodes += [
        helper.make_node("Conv", [x, constant("w", conv)], ["c"], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["flat"]),
        helper.make_node("MatMul", ["flat", constant("m", full)], ["scores"]),
    ]
    inputs = [helper.make_tensor_value_info("input", dtype, shape)]
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 10])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    return model


def _inferred(
    folder: Path,
    calibrated: tuple[float, float] | None,
    front: Front = (),
    shape: Sequence[Any] = (1, 3, 64, 64),
    dtype: int = TensorProto.FLOAT,
    seed: int = 0,
) -> PreprocessInfo:
    for name, quantizer in (("float", None), ("quant", calibrated)):
        onnx.save(_model(quantizer, front, shape, dtype, seed), folder / f"{name}.onnx")
    photos = [folder / f"{number}.png" for number in range(3)]
    for number, photo in enumerate(photos):
        photo.write_bytes(png(scene(seed * 7 + number)))
    options = CompareOptions(folder / "float.onnx", folder / "quant.onnx", photos)
    return load_sides(options)[0].preprocess


@pytest.mark.parametrize(
    ("front", "shape", "dtype", "calibrated", "ending"),
    [
        ((), (1, 3, 64, 64), TensorProto.FLOAT, (0, 1), "rgb | /255 | nchw"),
        ((), (1, 3, 97, 113), TensorProto.FLOAT, (0, 255), "rgb | nchw"),
        ((), (1, 64, 64, 3), TensorProto.FLOAT, (-1, 1), "rgb | mean 127.5 std 127.5 | nhwc"),
        ((("Div", [255.0]),), (1, 3, 64, 64), TensorProto.FLOAT, (0, 1), "rgb | nchw"),
        ((("Sub", [0.5]),), (1, 3, 64, 64), TensorProto.FLOAT, (-0.5, 0.5), "rgb | /255 | nchw"),
        (
            (("Mul", [2.0]), ("Sub", [1.0])),
            (1, 3, 64, 64),
            TensorProto.FLOAT,
            (-1, 1),
            "rgb | /255 | nchw",
        ),
        ((), (1, 3, 64, 64), TensorProto.UINT8, (0, 255), "rgb | uint8 | nchw"),
    ],
)
def test_the_scale_and_the_layout_are_right_and_the_order_is_open(
    front: Front,
    shape: Sequence[Any],
    dtype: int,
    calibrated: tuple[float, float],
    ending: str,
    tmp_path: Path,
) -> None:
    found = _inferred(tmp_path, calibrated, front, shape, dtype)
    assert found.origin == "inferred"
    assert found.spec.endswith(ending)
    assert [doubt for doubt in found.doubts if "RGB or BGR" in doubt]


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize(
    ("dtype", "unit"),
    [(TensorProto.FLOAT, 1.0), (TensorProto.FLOAT, 255.0), (TensorProto.UINT8, 1.0)],
)
def test_means_in_the_graph_tell_the_order(
    dtype: int, order: str, unit: float, tmp_path: Path
) -> None:
    turn = slice(None, None, -1 if order == "bgr" else 1)
    front = (("Sub", MEAN[turn] / unit), ("Div", STD[turn] / unit))
    found = _inferred(tmp_path, IMAGENET, front, dtype=dtype)  # type: ignore[arg-type]
    spec = PreprocessSpec.parse(found.spec)
    assert spec.order == order
    assert spec.affine.gain[0] == pytest.approx(1 / unit)
    assert not [doubt for doubt in found.doubts if "RGB or BGR" in doubt]
    assert [doubt for doubt in found.doubts if "how pictures are placed" in doubt]


def test_a_learned_normalization_tells_nothing_of_what_stands_outside(tmp_path: Path) -> None:
    front = (("Sub", [0.02, -0.01, 0.03]), ("Mul", [0.98, 1.03, 1.1]))
    with pytest.raises(UsageError, match="the pipeline is not known"):
        _inferred(tmp_path, None, front)


@pytest.mark.parametrize("seed", range(4))
def test_a_random_network_decides_nothing(seed: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the pipeline is not known") as error:
        _inferred(tmp_path, None, seed=seed)
    assert error.value.hint is not None
    assert error.value.hint.count("-p ") == 3


ANY = (1, 3, "height", "width")


def test_an_input_of_any_size_gets_the_usual_one_and_says_so(tmp_path: Path) -> None:
    found = _inferred(tmp_path, IMAGENET, shape=ANY)
    assert "center-crop 224" in found.spec
    assert "the size: the input takes any, 224x224 is fed" in found.doubts


def test_the_size_of_the_quant_model_counts_where_the_float_model_takes_any(
    tmp_path: Path,
) -> None:
    onnx.save(_model(None, (), ANY, TensorProto.FLOAT, 0), tmp_path / "any.onnx")
    _inferred(tmp_path, IMAGENET, shape=(1, 3, 64, 96))
    options = CompareOptions(tmp_path / "any.onnx", tmp_path / "quant.onnx", tmp_path / "0.png")
    found = load_sides(options)[0].preprocess
    assert "center-crop 96x64" in found.spec
    assert "the quant model takes 96x64" in found.notes
    assert not [doubt for doubt in found.doubts if doubt.startswith("the size")]


def test_an_input_of_any_size_that_takes_no_usual_one_is_refused(tmp_path: Path) -> None:
    model = _model(IMAGENET, (), (1, 3, 96, 96), TensorProto.FLOAT, 0)
    shaped = helper.make_node("Reshape", ["input", "to"], ["fixed"])
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 3, 96, 96]), "to"))
    model.graph.node[0].input[0] = "fixed"
    model.graph.node.insert(0, shaped)
    for side, name in zip(model.graph.input[0].type.tensor_type.shape.dim[2:], "hw", strict=True):
        side.dim_param = name
    onnx.save(model, tmp_path / "any.onnx")
    (tmp_path / "0.png").write_bytes(png(scene(0)))
    with pytest.raises(UsageError, match=r"no fixed size: .* runs at none of 640x640") as error:
        load_sides(CompareOptions(tmp_path / "any.onnx", tmp_path / "any.onnx", tmp_path / "0.png"))
    assert "give the pipeline with its size" in str(error.value.hint)


@pytest.mark.parametrize("kind", ["no range", "range"])
@pytest.mark.parametrize("seed", range(3))
def test_conventions_planted_in_working_networks_are_right_or_doubtful(
    seed: int, kind: str, tmp_path: Path
) -> None:
    """Another normalization folded into networks that find something: no wrong choice is sure."""
    rng = np.random.default_rng([seed, kind == "range"])
    known = list(infer_bench.hosts(tmp_path, tmp_path, seed, large=False))
    counts: Counter[str] = Counter()
    for at in rng.permutation(len(known))[:3]:
        wanted = Convention(str(rng.choice(CONVENTIONS)), str(rng.choice(["rgb", "bgr"])))
        host, share = known[at], 1.0 if kind == "range" else 0.0
        infer_bench.planted(host, wanted, share, host.photos[:3], tmp_path, counts)
    assert counts
    assert not [word for word in counts if "WRONG" in word]


@pytest.mark.parametrize("name", ["yolov8_six", "yunet", "segment_nhwc", "pad_classifier"])
def test_inferences_are_bounded(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[Any] = []
    run = Session.run

    def counted(session: Session, *given: Any, **more: Any) -> dict[str, Any]:
        runs.append(given)
        return run(session, *given, **more)

    monkeypatch.setattr(Session, "run", counted)
    hosts = infer_bench.hosts(tmp_path, tmp_path, 0, large=False)
    (host,) = [one for one in hosts if one.name == name]
    infer_bench.planted(host, host.own, 0.0, host.photos[:8], tmp_path, Counter())
    assert 10 < len(runs) <= 52
