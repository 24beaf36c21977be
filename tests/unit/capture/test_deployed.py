"""Outputs as deployed, against ONNX Runtime's default session."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import onnxruntime
import pytest

from qdebug.capture.deployed import DeployedOutputs, DeployedPair, deployed_samples
from qdebug.capture.session import Session, SessionSettings
from tests.support.pairs_of_models import detector
from tests.support.running import direct_sqnr


@pytest.mark.parametrize(
    ("count", "chosen"),
    [
        (1, {0}),
        (3, {0, 1, 2}),
        (8, {0, 2, 4, 6}),
        (16, {0, 4, 8, 12}),
        (64, set(range(0, 64, 8))),
    ],
)
def test_samples_are_few_and_evenly_spread(count: int, chosen: set[int]) -> None:
    assert deployed_samples(count) == chosen


def test_outputs_are_those_of_default_sessions() -> None:
    pair = detector("int8")
    (name,) = pair.float_graph.outputs
    settings = SessionSettings()
    sessions = DeployedPair((pair.float_graph, pair.quant_graph), (settings, settings))
    deployed = DeployedOutputs(sessions, {name: name})
    values: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for feeds in pair.feeds:
        declared = Session(pair.quant_graph.path, pair.quant_graph, settings).run(feeds)
        sample = deployed.run((feeds, feeds))
        deployed.include(sample, declared)
        found = sample.float_values, sample.quant_values
        for side, graph in enumerate((pair.float_graph, pair.quant_graph)):
            session = onnxruntime.InferenceSession(
                str(graph.path), providers=["CPUExecutionProvider"]
            )
            (expected,) = session.run([name], feeds)
            np.testing.assert_array_equal(found[side][name], expected)
            values[side].append(expected)
    metrics, runtime = deployed.deployed(name), deployed.runtime(name)
    assert metrics is not None
    assert runtime is not None
    joined = [np.concatenate([v.ravel() for v in side]) for side in values]
    assert metrics.sqnr_db == pytest.approx(direct_sqnr(*joined), abs=0.01)
    assert runtime.sqnr_db > metrics.sqnr_db
    assert deployed.seconds_per_sample > 0


def test_each_session_is_opened_once_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = detector("int8")
    opened: list[object] = []
    real = Session.__init__

    def counted(session: Session, *given: Any) -> None:
        opened.append(given[1])
        real(session, *given)

    monkeypatch.setattr(Session, "__init__", counted)
    graphs, settings = (pair.float_graph, pair.quant_graph), SessionSettings()
    sessions = DeployedPair(graphs, (settings, settings))
    deployed = DeployedOutputs(sessions, dict.fromkeys(graphs[0].outputs, graphs[1].outputs[0]))
    assert not deployed.is_ready
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(sessions.open, (0, 1, 1, 0)))
    assert deployed.is_ready
    assert found[0] is found[3] and found[1] is found[2]
    assert sorted(map(graphs.index, opened)) == [0, 1]
    deployed.close()
    assert not deployed.is_ready


def test_a_released_session_runs_again() -> None:
    pair = detector("int8")
    session = Session(pair.float_graph.path, pair.float_graph, SessionSettings().deployed)
    runs = [session.run(pair.feeds[0], release=True) for _ in range(2)]
    for name in pair.float_graph.outputs:
        np.testing.assert_array_equal(runs[0][name], runs[1][name])
