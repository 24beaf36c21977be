"""Errors that quant layers make by themselves, stretch by stretch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import parser

from qdebug.capture.engine import Capture, CaptureSettings
from qdebug.capture.fetch import Fetcher
from qdebug.capture.session import SessionSettings
from qdebug.cure.local_errors import LocalErrors
from tests.support.pairs_of_models import LoadedPair, detector, load_pair

Array = npt.NDArray[Any]
SESSION = SessionSettings(threads=1)


@pytest.fixture(scope="module")
def pair() -> LoadedPair:
    return detector("int8_naive")


def local_errors(pair: LoadedPair, samples: int = 1) -> LocalErrors:
    graphs, pairs = (pair.float_graph, pair.quant_graph), pair.pairing.pairs
    produced = [at for at, p in enumerate(pairs) if p.float_tensor in pair.float_graph.producer]
    return LocalErrors(graphs, pairs, produced, (SESSION, SESSION), samples)


def captured(pair: LoadedPair, feeds: Mapping[str, Array]) -> dict[int, Array]:
    """Those of the capture engine, which runs both graphs for them."""
    found: dict[int, Array] = {}

    def observe(_: range, __: Any, right: Mapping[int, Array], local: Mapping[int, Array]) -> None:
        found.update({at: local[at] - right[at] for at in local})

    settings = CaptureSettings(SESSION, SESSION, workers=1)
    pairs = pair.pairing.pairs
    graphs = pair.float_graph, pair.quant_graph
    with Capture(*graphs, pairs, (feeds, feeds), 1, settings, observer=observe) as capture:
        capture.add_sample(feeds, feeds)
    return found


@pytest.fixture(scope="module")
def expected(pair: LoadedPair) -> dict[int, Array]:
    return captured(pair, pair.feeds[0])


def errors_of(
    pair: LoadedPair, feeds: Mapping[str, Array], stretches: Sequence[Sequence[str]], samples: int
) -> dict[int, Array]:
    local = local_errors(pair, samples)
    local.adapt_to(feeds, feeds)
    fetcher, found = Fetcher(pair.float_graph, SESSION), {}
    for made in stretches:
        values = {**feeds, **fetcher.values(local.reads(made), feeds)}
        found.update({at: e.copy() for at, e in local.errors(made, values, feeds).items()})
    return found


@pytest.mark.parametrize("samples", [1, 16])
@pytest.mark.parametrize("size", [7, 1000])
def test_they_are_those_of_the_capture(
    pair: LoadedPair, expected: dict[int, Array], size: int, samples: int
) -> None:
    """However the network is cut, and with optimizations or without."""
    feeds = pair.feeds[0]
    made = list(dict.fromkeys(p.float_tensor for p in pair.pairing.pairs))
    made = [name for name in made if name in pair.float_graph.producer]
    stretches = [made[start : start + size] for start in range(0, len(made), size)]
    found = errors_of(pair, feeds, stretches, samples)
    assert found.keys() == expected.keys()
    for at, error in expected.items():
        power = float(np.square(error, dtype=np.float64).sum())
        distance = float(np.square(found[at] - error, dtype=np.float64).sum())
        # A value at the edge of a step is rounded either way: as much as a few steps in thousands.
        assert distance <= 0.02 * power, at


SHARED = (
    """<ir_version: 8, opset_import: ["" : 13]>
    net (float[1,8] x) => (float[1,8] y) {
        a = Relu(x)
        b = Relu(x)
        y = Add(a, b)
    }""",
    """<ir_version: 8, opset_import: ["" : 13]>
    net (float[1,8] x) => (float[1,8] y) <float scale = {0.1}, uint8 zero = {0}> {
        a = Relu(x)
        q = QuantizeLinear(a, scale, zero)
        d = DequantizeLinear(q, scale, zero)
        y = Add(d, d)
    }""",
)


def test_a_quant_layer_that_stands_for_two_gives_each_its_error(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.onnx" for name in ("float", "quant")]
    for file, text in zip(files, SHARED, strict=True):
        onnx.save(parser.parse_model(text), str(file))
    feeds = {"x": np.linspace(0, 1, 8, dtype=np.float32)[None]}
    pair = load_pair(files[0], files[1], [feeds])
    at = {p.float_tensor: k for k, p in enumerate(pair.pairing.pairs)}
    assert {"a", "b"} <= at.keys(), "one quant layer is the twin of both"
    found = errors_of(pair, feeds, [["a", "b", "y"]], 1)
    expected = np.round(feeds["x"] / np.float32(0.1)) * np.float32(0.1) - feeds["x"]
    for name in ("a", "b"):
        np.testing.assert_allclose(found[at[name]], expected, atol=1e-6)


def test_inputs_of_another_size_are_learned_anew(pair: LoadedPair) -> None:
    local = local_errors(pair)
    feeds = pair.feeds[0]
    local.adapt_to(feeds, feeds)
    made = [pair.pairing.pairs[5].float_tensor]
    reads = local.reads(made)
    local.adapt_to(feeds, feeds)
    assert local.reads(made) == reads
    local.close()
    local.adapt_to(feeds, feeds)
    assert local.reads(made) == reads


def test_nothing_is_run_for_tensors_without_a_quant_layer(pair: LoadedPair) -> None:
    local = local_errors(pair)
    feeds = pair.feeds[0]
    local.adapt_to(feeds, feeds)
    assert local.reads(["no tensor"]) == []
    assert local.errors(["no tensor"], {}, feeds) == {}
