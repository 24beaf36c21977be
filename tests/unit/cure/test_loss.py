"""What an error at the outputs costs, by task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qdebug.analysis.tasks.recognize import choose_task
from qdebug.analysis.tasks.task import OutputFacts
from qdebug.capture.session import Session, SessionSettings
from qdebug.cure.loss import Loss, loss_for
from qdebug.graph.load import load_graph
from tests.support.tunable import tiny_network

DETECTOR = Path(__file__).parents[3] / "sample_models" / "detector" / "float.onnx"


def test_without_a_task_it_is_the_inverse_of_the_sqnr() -> None:
    rng = np.random.default_rng(0)
    wanted = {"y": rng.normal(size=(1, 50)).astype(np.float32)}
    test = {"y": wanted["y"] + np.float32(0.01) * rng.normal(size=(1, 50)).astype(np.float32)}
    noise = float(((test["y"] - wanted["y"]) ** 2).sum())
    found = Loss(("y",), "", {}).value(wanted, test)
    assert found == pytest.approx(noise / float((wanted["y"] ** 2).sum()), rel=1e-4)


def test_what_is_not_finite_is_infinitely_bad() -> None:
    wanted = {"y": np.ones((1, 3), np.float32)}
    assert Loss(("y",), "", {}).value(wanted, {"y": np.full((1, 3), np.nan)}) == float("inf")


def test_boxes_are_weighed_by_what_the_decoder_makes_of_them() -> None:
    """Confident candidates count, and a pixel less than a whole score."""
    graph = load_graph(DETECTOR)
    session = Session(DETECTOR, graph, SessionSettings(threads=1))
    rng = np.random.default_rng(0)
    feeds = {graph.inputs[0]: rng.random((1, 3, 320, 320), np.float32)}
    reference = {n: np.array(v) for n, v in session.run(feeds).items()}
    task = choose_task("detection", OutputFacts(reference, (320, 320), graph.metadata))
    loss = loss_for(graph, task, graph.outputs, lambda _: True)
    assert loss.candidates is not None
    (weights,) = loss.weights(reference).values()
    boxes, scores = weights[0, :4], weights[0, 4:]
    assert weights.min() >= 0
    assert boxes.mean() < scores.mean()
    sure = reference[graph.outputs[0]][0, 4:].max(axis=0)
    assert np.corrcoef(sure, scores.sum(axis=0))[0, 1] > 0.9


def test_asked_for_tensors_replace_the_outputs(tmp_path: Path) -> None:
    network = tiny_network(tmp_path)
    found = loss_for(network.float_graph, None, ["scores"], network.can_read, {"t4": 2.0})
    assert found.tensors == ("t4",)
    value = {"t4": np.ones((1, 8), np.float32)}
    assert found.value(value, {"t4": np.zeros((1, 8))}) == pytest.approx(2.0)
