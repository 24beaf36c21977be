"""Weights rounded anew: on their own grid, or with scales that fit; what is not rounding stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from qdebug.capture.session import Session, SessionSettings
from qdebug.cure.grids import CHANNEL, numbers_of, rounded_anew
from qdebug.cure.network import Engine, Network
from qdebug.cure.setting import Scheme
from qdebug.cure.write import tuned_model
from qdebug.graph.model import Graph
from tests.support.graphs import float_model, qdq_model
from tests.support.tunable import network_of, tiny_inputs

DECLARED = SessionSettings(threads=1)
Change = Callable[[dict[str, np.ndarray]], None]
Array = np.ndarray


def _changed(model: onnx.ModelProto, change: Change, path: Path) -> Path:
    tensors = {t.name: t for t in model.graph.initializer}
    values = {name: numpy_helper.to_array(t).copy() for name, t in tensors.items()}
    change(values)
    for name, value in values.items():
        tensors[name].CopyFrom(numpy_helper.from_array(np.asarray(value), name))
    onnx.save(model, path)
    return path


def twins(folder: Path, in_float: Change, in_quant: Change) -> Network:
    """The tiny pair with other constants."""
    return network_of(
        _changed(float_model(), in_float, folder / "float.onnx"),
        _changed(qdq_model(), in_quant, folder / "quant.onnx"),
    )


def nothing(values: dict[str, Array]) -> None:
    del values


def rounded_with(name: str, weights: Array, scale: float) -> Change:
    def change(values: dict[str, Array]) -> None:
        codes = np.clip(np.rint(weights / scale), -128, 127)
        values[f"{name}_q"], values[f"{name}_s"] = codes.astype(np.int8), np.float32(scale)

    return change


def grid_of(seed: int, largest: int, step: float) -> Array:
    """Weights of the first Conv that were made from codes, ``[8, 3, 3, 3]``."""
    codes = np.random.default_rng(seed).integers(-largest, largest + 1, (8, 3, 3, 3))
    codes.flat[0] = largest
    return np.asarray(codes * np.float32(step), np.float32)


def test_weights_from_codes_get_their_grid_back(tmp_path: Path) -> None:
    """A scale to the largest weight, 100 of 127 codes, misses it; their own loses nothing."""
    weights = grid_of(3, 100, 0.0173)
    scale = float(np.abs(weights).max() / 127)
    network = twins(tmp_path, lambda v: v.update(w1=weights), rounded_with("w1", weights, scale))
    found = rounded_anew(network)
    assert set(found) == {"w1_q"}
    assert np.abs(network.weights[0].given - weights).max() > 0.004
    np.testing.assert_allclose(found["w1_q"].numbers, weights, atol=1e-6)
    assert found["w1_q"].quantizer.axis is None


def test_sound_weights_stay(tmp_path: Path) -> None:
    assert rounded_anew(twins(tmp_path, nothing, nothing)) == {}


def test_scales_that_are_too_wide_are_narrowed(tmp_path: Path) -> None:
    network = twins(tmp_path, nothing, nothing)
    weights = network.weights[0].reference
    assert weights is not None
    coarse = twins(tmp_path, nothing, rounded_with("w1", weights, np.abs(weights).max() / 20))
    found = rounded_anew(coarse)
    assert set(found) == {"w1_q"}
    assert found["w1_q"].quantizer.scale == pytest.approx(np.abs(weights).max() / 127)


def test_seven_bits_stay_seven_bits(tmp_path: Path) -> None:
    """Where no layer has larger codes, sums of two products would saturate with more."""
    names = ("w1", "w2", "w3")

    def halved(values: dict[str, Array]) -> None:
        for name in names:
            values[f"{name}_q"] = np.rint(values[f"{name}_q"] * (64 / 127)).astype(np.int8)
            values[f"{name}_s"] = np.float32(values[f"{name}_s"] * (127 / 64))

    assert rounded_anew(twins(tmp_path, nothing, halved)) == {}


def test_codes_that_are_all_small_are_coarse_and_no_seven_bits(tmp_path: Path) -> None:
    def coarse(values: dict[str, Array]) -> None:
        for name in ("w1", "w2", "w3"):
            values[f"{name}_q"] = np.rint(values[f"{name}_q"] * (20 / 127)).astype(np.int8)
            values[f"{name}_s"] = np.float32(values[f"{name}_s"] * (127 / 20))

    found = rounded_anew(twins(tmp_path, nothing, coarse))
    assert [int(np.abs(r.codes.astype(int)).max()) for r in found.values()] == [127] * 3


@pytest.mark.parametrize("fault", ["rolled", "scaled", "zeroed channel"])
def test_wrong_weights_are_no_rounding(tmp_path: Path, fault: str) -> None:
    """A fault that a finding has to name is not undone in passing."""

    def wrong(values: dict[str, Array]) -> None:
        codes = values["w1_q"]
        if fault == "rolled":
            values["w1_q"] = np.roll(codes, 1, axis=0)
        elif fault == "scaled":
            values["w1_s"] = np.float32(values["w1_s"] * 1.5)
        else:
            codes[2] = 0

    assert rounded_anew(twins(tmp_path, nothing, wrong)) == {}


def uneven(values: dict[str, Array]) -> None:
    """Channels of very different size, which one scale does not suit."""
    values["w1"] *= np.geomspace(0.01, 1, 8, dtype=np.float32).reshape(8, 1, 1, 1)


def test_a_scale_a_channel_where_the_target_has_it(tmp_path: Path) -> None:
    weights = {t.name: numpy_helper.to_array(t).copy() for t in float_model().graph.initializer}
    uneven(weights)
    scale = float(np.abs(weights["w1"]).max() / 127)
    network = twins(tmp_path, uneven, rounded_with("w1", weights["w1"], scale))
    assert rounded_anew(network) == {}
    found = rounded_anew(network, [CHANNEL])
    assert "w1_q" in found
    assert found["w1_q"].quantizer.axis == 0
    assert found["w1_q"].quantizer.scale.shape == (8,)


@pytest.mark.parametrize("forms", [(), (CHANNEL,)])
@pytest.mark.parametrize("bits", [8, 16])
def test_the_written_model_computes_what_was_measured(
    tmp_path: Path, forms: tuple[str, ...], bits: int
) -> None:
    weights = grid_of(3, 100, 0.0173)
    scale = float(np.abs(weights).max() / 90)
    network = twins(tmp_path, lambda v: v.update(w1=weights), rounded_with("w1", weights, scale))
    rounded = rounded_anew(network, forms)
    assert rounded
    config = tuple(Scheme().over(-0.7, site.given.high * 1.3, bits) for site in network.sites)
    config = network.given if bits == 8 else config
    feeds = tiny_inputs(1)[0]
    engine = Engine(network, ["scores"], numbers_of(rounded), DECLARED)
    measured = engine.run(feeds, config)["scores"]
    model = tuned_model(network, config, numbers_of(rounded), rounded)
    onnx.checker.check_model(model)
    written = Session(model, Graph(model, Path("tuned.onnx"), ""), DECLARED).run(feeds)["scores"]
    np.testing.assert_allclose(written, measured, atol=1e-6)
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    assert "w1_q" not in stored
    assert stored["w1_q_tuned"].dtype == np.int8
