"""What an error at the outputs costs, by task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import parser

from qdebug.analysis.tasks.recognize import choose_task
from qdebug.analysis.tasks.task import OutputFacts
from qdebug.capture.session import Session, SessionSettings
from qdebug.cure.loss import Loss, loss_for
from qdebug.graph.load import load_graph
from qdebug.graph.model import Graph
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


def reader(opset: int, axis: str) -> Graph:
    """Scores of 12 classes at 12 places, and the Softmax over them."""
    model = parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : {opset}]>
        reader (float[1,12,12] scores) => (float[1,12,12] text) {{
            text = Softmax {axis} (scores)
        }}"""
    )
    return Graph(onnx.shape_inference.infer_shapes(model), Path("reader.onnx"), "")


def text_loss(graph: Graph) -> Loss:
    text = np.asarray(0.88 * np.eye(12, dtype=np.float32) + 0.01)[None]
    task = choose_task("text", OutputFacts({"text": text}, (32, 96), {}))
    return loss_for(graph, task, ["text"], lambda _: True)


def test_text_is_judged_by_what_the_softmax_sees() -> None:
    """A number added to all classes changes no character; one added to a class does."""
    loss = text_loss(reader(13, "<axis = 2>"))
    rng = np.random.default_rng(0)
    wanted = {"scores": rng.normal(9, 1, (1, 12, 12)).astype(np.float32)}
    common = wanted["scores"] + rng.normal(0, 3, (1, 12, 1)).astype(np.float32)
    own = wanted["scores"] + rng.normal(0, 1, (1, 12, 12)).astype(np.float32)
    assert loss.value(wanted, {"scores": common}) < 1e-9
    assert loss.value(wanted, {"scores": own}) == pytest.approx(1, rel=0.4)


@pytest.mark.parametrize(
    ("opset", "axis", "found"),
    [(13, "", -1), (13, "<axis = 1>", 1), (11, "<axis = 2>", -1), (11, "<axis = -1>", -1)],
)
def test_the_axis_that_a_softmax_is_over(opset: int, axis: str, found: int) -> None:
    assert text_loss(reader(opset, axis)).shifts == {"scores": found}


def test_a_softmax_over_several_axes_hides_one_number_only() -> None:
    """So nothing is taken out."""
    assert text_loss(reader(11, "<axis = 1>")).shifts == {}
