"""One session for any configuration: bit by bit the given model, and any other by rebinding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qdebug.capture.session import Session, SessionSettings
from qdebug.cure.bias import correct_biases
from qdebug.cure.network import Engine, Network
from qdebug.cure.setting import FREE, Scheme
from qdebug.cure.sites import expanded
from qdebug.cure.write import tuned_model
from qdebug.graph.model import Graph
from tests.support.tunable import network_of, tiny_inputs, tiny_network

DECLARED = SessionSettings(threads=1)
SAMPLES = Path(__file__).parents[3] / "sample_models"
PAIRS = [
    ("classifier", "int8"),
    ("classifier", "int8_zero_point"),
    ("detector", "int8_naive"),
    ("transformer", "int8_all"),
]


@pytest.fixture
def network(tmp_path: Path) -> Network:
    return tiny_network(tmp_path)


def feeds_for(network: Network, seed: int = 0) -> dict[str, np.ndarray]:
    graph = network.quant_graph
    shape = [d if isinstance(d, int) else 1 for d in graph.type_of(graph.inputs[0]).shape or ()]
    rng = np.random.default_rng(seed)
    return {graph.inputs[0]: rng.normal(0.3, 0.5, shape).astype(np.float32)}


@pytest.mark.parametrize(("folder", "quant"), PAIRS)
def test_the_given_configuration_is_bit_exact(folder: str, quant: str) -> None:
    network = network_of(SAMPLES / folder / "float.onnx", SAMPLES / folder / f"{quant}.onnx")
    engine = Engine(network, list(network.outputs), settings=DECLARED)
    session = Session(network.quant_graph.path, network.quant_graph, DECLARED)
    feeds = feeds_for(network)
    wanted, found = session.run(feeds), engine.run(feeds, network.given)
    for name, quant_name in network.outputs.items():
        np.testing.assert_array_equal(found[name].ravel(), wanted[quant_name].ravel())


def test_units_join_what_only_passes_on(network: Network) -> None:
    units = network.units(tiny_inputs(1)[0])
    assert [u.sites for u in units] == [(0,), (1,), (2,), (3,)]
    assert sum(u.macs for u in units) == pytest.approx(1.0)


@pytest.mark.parametrize("bits", [8, 16, FREE])
def test_the_written_model_computes_what_was_measured(network: Network, bits: int) -> None:
    """Also where a range is widened beyond the activation that the quantizer stood for."""
    scheme, feeds = Scheme(), tiny_inputs(1)[0]
    config = tuple(scheme.over(-0.7, site.given.high * 1.3, bits) for site in network.sites)
    measured = Engine(network, ["scores"], settings=DECLARED).run(feeds, config)["scores"]
    model = tuned_model(network, config, {})
    written = Session(model, Graph(model, Path("tuned.onnx"), ""), DECLARED).run(feeds)["scores"]
    tolerance = 1e-3 if bits == FREE else 1e-6
    np.testing.assert_allclose(written, measured, atol=tolerance)


def test_the_written_model_holds_nothing_that_no_node_reads(network: Network) -> None:
    config = tuple(Scheme().over(0.0, 1.0, 16) for _ in network.sites)
    model = tuned_model(network, config, {})
    read = {name for node in model.graph.node for name in node.input}
    assert {t.name for t in model.graph.initializer} <= read
    assert "com.microsoft" in {o.domain for o in model.opset_import}


def test_unchanged_parts_stay_as_they_were(network: Network) -> None:
    model = tuned_model(network, network.given, {})
    assert model.graph.SerializeToString() == network.quant_graph.proto.graph.SerializeToString()


def test_more_bits_lose_less(network: Network) -> None:
    feeds = tiny_inputs(1)[0]
    units = network.units(feeds)
    reference = Session(network.float_graph.path, network.float_graph, DECLARED).run(feeds)
    engine = Engine(network, ["scores"], network.refined_numbers, DECLARED)

    def error(bits: int) -> float:
        config = expanded(units, [Scheme().over(-3, 3, bits) for _ in units])
        return float(np.abs(engine.run(feeds, config)["scores"] - reference["scores"]).max())

    assert error(FREE) < 1e-3
    assert error(16) < 1e-3 < error(8)


def test_corrected_biases_bring_the_means_back(network: Network) -> None:
    """Rounding weights moves the mean of every channel; the correction takes that away."""
    feeds = tiny_inputs(4)
    wide = tuple(Scheme().over(-4, 4, 16) for _ in network.sites)
    found = correct_biases(network, wide, feeds, DECLARED, lambda: None)
    assert set(found) == {"b1", "b2", "b3"}
    reference = Session(network.float_graph.path, network.float_graph, DECLARED)
    wanted = np.mean([reference.run(f)["scores"] for f in feeds], axis=0)

    def apart(numbers: dict[str, np.ndarray]) -> float:
        engine = Engine(network, ["scores"], numbers, DECLARED)
        got = np.mean([engine.run(f, wide)["scores"] for f in feeds], axis=0)
        return float(np.abs(got - wanted).max())

    assert apart(found) < 0.1 * apart({})
