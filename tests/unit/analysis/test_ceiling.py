"""The 16-bit ceiling: ranges stay, resolution goes, everything else remains."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from qdebug.analysis.ceiling import Ceiling, CeilingModel, ceiling_model, widened, without_rounding
from qdebug.capture.session import SessionSettings
from qdebug.graph.pairs import Quantizer, WeightPair
from qdebug.graph.qparams import code_range, dequantize, quantize
from tests.support.pairs_of_models import ROOT, LoadedPair, detector, load_pair, noise_feeds
from tests.support.running import direct_sqnr, run_tensors

Array = npt.NDArray[Any]


def quantizer(dtype: str, zero: int, scale: float = 0.1) -> Quantizer:
    return Quantizer(
        dtype, np.asarray(scale, np.float32), np.asarray(zero, np.int64), None, *code_range(dtype)
    )


@pytest.mark.parametrize(
    ("dtype", "zeros"),
    [
        ("uint8", (0, 1, 128, 255)),
        ("int8", (-128, -1, 0, 127)),
        ("uint4", (0, 7, 15)),
        ("int4", (-8, 0, 7)),
    ],
)
def test_both_ends_and_every_old_value_stay(dtype: str, zeros: tuple[int, ...]) -> None:
    for zero in zeros:
        old = quantizer(dtype, zero)
        new = widened(old)
        codes = np.arange(old.low, old.high + 1)
        real = dequantize(codes, old)
        assert np.allclose(dequantize(quantize(real, new), new), real, atol=1e-6)
        ends = dequantize(np.array([new.low, new.high]), new)
        assert np.allclose(ends, real[[0, -1]], atol=1e-6)
        assert new.low <= int(new.zero_point) <= new.high
        outside = np.array([real[0] - 1, real[-1] + 1])
        assert np.allclose(dequantize(quantize(outside, new), new), real[[0, -1]], atol=1e-6)


def test_channels_keep_their_own_ranges() -> None:
    scale, zero = np.array([0.1, 2.0], np.float32), np.array([3, 200])
    new = widened(Quantizer("uint8", scale, zero, 1, 0, 255))
    assert new.axis == 1
    assert np.allclose(new.scale * 257, scale)
    assert new.zero_point.tolist() == [771, 51400]


def classifier(quant: str) -> LoadedPair:
    files = ROOT / "classifier" / "float.onnx", ROOT / "classifier" / f"{quant}.onnx"
    pair = load_pair(*files, [])
    pair.feeds.extend(noise_feeds(pair.float_graph, 2))
    return pair


def error(pair: LoadedPair) -> tuple[float, float]:
    """SQNR at the only output: as it is, and with 16-bit codes."""
    (name,) = pair.float_graph.outputs
    ceiling = Ceiling(pair.quant_graph, pair.pairing, SessionSettings(), {name: name})
    assert ceiling.reason is None
    values: dict[str, list[Array]] = {"float": [], "int8": [], "int16": []}
    for feeds in pair.feeds:
        for side, graph in (("float", pair.float_graph), ("int8", pair.quant_graph)):
            values[side].append(run_tensors(graph.path, feeds, [name])[name])
        values["int16"].append(ceiling.run(feeds)[name])
        ceiling.measure({name: values["float"][-1]}, {name: values["int16"][-1]})
    joined = {side: np.concatenate(parts) for side, parts in values.items()}
    metrics = ceiling.metrics(name)
    assert metrics is not None
    reached = direct_sqnr(joined["float"], joined["int16"])
    assert metrics.sqnr_db == pytest.approx(reached, abs=0.01)
    return direct_sqnr(joined["float"], joined["int8"]), reached


def test_resolution_comes_back() -> None:
    before, after = error(detector("int8_naive"))
    assert after > before + 8
    before, after = error(classifier("int8_outlier_channel"))
    assert before < 25
    assert after > 50


@pytest.mark.parametrize(
    "fault",
    ["int8_weight_rolled", "int8_bias_zeroed", "int8_qdq_mismatch", "int8_zero_point"],
)
def test_what_is_wrong_stays_wrong(fault: str) -> None:
    before, after = error(classifier(fault))
    assert after == pytest.approx(before, abs=2.0)


def test_a_model_of_another_training_stays_one() -> None:
    files = ROOT / "classifier" / "float_other_run.onnx", ROOT / "classifier" / "int8.onnx"
    pair = load_pair(*files, [])
    pair.feeds.extend(noise_feeds(pair.float_graph, 2))
    before, after = error(pair)
    assert after == pytest.approx(before, abs=1.5)


def test_every_quantizer_of_a_qdq_model_is_widened() -> None:
    pair = detector("int8")
    made = ceiling_model(pair.quant_graph, pair.pairing)
    assert isinstance(made, CeilingModel)
    kinds = [node.op_type for node in made.model.graph.node]
    assert made.tensors == kinds.count("QuantizeLinear")
    assert made.left == 0
    quantized = [
        node
        for node in pair.quant_graph.nodes
        if node.op == "Conv" and node.inputs[1] in pair.quant_graph.producer
    ]
    assert made.weights == len(quantized) > 50
    zero_points = {t.name: t for t in made.model.graph.initializer}
    for node in made.model.graph.node:
        if node.op_type == "QuantizeLinear":
            assert zero_points[node.input[2]].data_type in (4, 5)  # UINT16, INT16


@pytest.mark.parametrize(
    ("quant", "words"),
    [
        ("int8_qoperator", "QOperator"),
        ("dynamic", "found while it runs"),
    ],
)
def test_where_there_is_no_ceiling_it_is_said(quant: str, words: str) -> None:
    pair = detector(quant)
    ceiling = Ceiling(pair.quant_graph, pair.pairing, SessionSettings(), {})
    assert ceiling.reason is not None
    assert words in ceiling.reason
    assert ceiling.run(pair.feeds[0]) == {}


def weight_pair(reference: Array, quant: Array, folded: Array | None = None) -> WeightPair:
    return WeightPair("w", "w_q", 0, "weight", lambda: reference, lambda: quant, None, 0, folded)


def test_only_rounding_is_taken_from_a_weight() -> None:
    rng = np.random.default_rng(0)
    reference = rng.normal(0, 1, (4, 6)).astype(np.float32)
    q = Quantizer("int8", np.full(4, 0.03, np.float32), np.zeros(4, np.int64), 0, -128, 127)
    codes = quantize(reference, q).astype(np.int8)
    codes[2] = np.roll(codes[2], 1)
    real = dequantize(codes, q)
    found = without_rounding(weight_pair(reference, real), codes, q)
    assert found is not None
    intact = [0, 1, 3]
    assert np.array_equal(found[intact], reference[intact])
    far = np.abs(reference[2] - real[2]) > 0.03
    assert far.any()
    assert np.array_equal(found[2][far], real[2][far])


def test_folded_and_transposed_weights() -> None:
    rng = np.random.default_rng(1)
    reference = rng.normal(0, 1, (4, 6)).astype(np.float32)
    factor = np.array([1.0, 2.0, 0.5, 1.5], np.float32)
    q = Quantizer("int8", np.asarray(0.05, np.float32), np.asarray(0, np.int64), None, -128, 127)
    codes = quantize(reference * factor[:, None], q).astype(np.int8)
    real = dequantize(codes, q)
    found = without_rounding(weight_pair(reference, real, factor), codes, q)
    assert found is not None
    assert np.allclose(found, reference * factor[:, None])
    turned = without_rounding(weight_pair(reference, real, factor), codes.T, q)
    assert turned is not None
    assert np.allclose(turned, (reference * factor[:, None]).T)


def test_a_layout_that_is_not_understood_is_left_alone() -> None:
    reference = np.ones((2, 3, 1), np.float32)
    q = quantizer("int8", 0)
    codes = np.ones((3, 2, 1), np.int8)
    assert without_rounding(weight_pair(reference, reference), codes, q) is None
