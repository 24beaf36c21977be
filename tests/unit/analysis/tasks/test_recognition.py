"""How sure a task is, and which outputs decide it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper

import qdebug
from benchmarks import outputs as bare
from benchmarks.small_nets import SMALL, SPEC, Small, draw
from qdebug.analysis.tasks import Shown, TaskOutcome, TaskWatch
from qdebug.errors import UsageError
from tests.support.hostile import HOSTILE_NAMES
from tests.unit.analysis.tasks.test_heads import SIZE, ssd_offsets, v8, yunet

Array = npt.NDArray[Any]
Values = dict[str, Any]
NOWHERE = Shown("sample", None, None)
RNG = np.random.default_rng(0)


def outcome(*samples: Values, name: str | None = None, test: Values | None = None) -> Any:
    """Of samples that both models answer alike, or the quant model by ``test``."""
    watched = TaskWatch(name, SIZE, {})
    for sample in samples:
        reference = {k: np.asarray(v, np.float32) for k, v in sample.items()}
        other = {k: np.asarray(v, np.float32) for k, v in (test or sample).items()}
        watched.add(NOWHERE, reference, other)
    return watched.outcome()


def recognized(found: TaskOutcome | None) -> tuple[str, str] | None:
    return (found.result.kind, found.result.recognized) if found else None


class TestWhatIsNoTask:
    @pytest.mark.parametrize("cells", [192, 896, 1600])
    def test_a_map_of_cells_is_no_classifier(self, cells: int) -> None:
        scores = 1 / (1 + np.exp(-RNG.normal(-6, 1, (1, cells, 1))))
        assert outcome({"scores": scores}) is None

    def test_a_margin_of_nothing_is_no_choice(self) -> None:
        flat = np.full((1, 1000), 0.3) + RNG.normal(0, 1e-6, (1, 1000))
        assert outcome({"y": flat}) is None
        told = outcome({"logits": flat})
        assert told.decisions == 0
        assert "chooses no class" in told.sentence

    def test_offsets_are_no_corners(self) -> None:
        """Half of raw deltas have x2 < x1: what they would draw is never judged."""
        raw = {k: v[:, :-3] for k, v in ssd_offsets((8, 16), ((16,), (32,))).items()}
        found = outcome(raw)
        assert recognized(found) == ("detection", "guessed")
        assert "boxes not decoded" in found.result.summary
        assert {evidence.kind for evidence in found.evidence} <= {"histogram"}  # of the scores

    def test_scores_that_do_not_separate(self) -> None:
        table = v8()["output0"].copy()
        table[:, 4:] = RNG.uniform(0.3, 0.9, table[:, 4:].shape)
        assert outcome({"output0": table}) is None

    def test_boxes_outside_the_picture(self) -> None:
        table = v8()["output0"].copy()
        table[:, :2] = -5000
        assert outcome({"output0": table}) is None

    def test_points_in_pixels_are_not_known_to_be_logits(self) -> None:
        found = outcome({"y": RNG.uniform(0, 112, (1, 136))})
        assert recognized(found) == ("classification", "guessed")
        assert "no value is negative" in found.result.evidence[0]


class TestHowSure:
    def test_recognized_by_behaviour(self) -> None:
        found = outcome(v8())
        assert recognized(found) == ("detection", "recognized")
        assert found.result.evidence == ("100 % of the confident boxes lie in the picture",)

    def test_without_anything_to_see_it_is_a_guess(self) -> None:
        faint = {"output0": v8()["output0"] * [[[1]] * 4 + [[0.1]] * 5]}
        found = outcome(faint)
        assert recognized(found) == ("detection", "guessed")
        assert found.sentence.startswith("(a guess) ")
        assert recognized(outcome(faint, v8())) == ("detection", "recognized")

    def test_one_sample_that_speaks_against_it_makes_it_a_guess(self) -> None:
        dense = v8()["output0"].copy()
        dense[:, 4:] = 0.9
        found = outcome(v8(), v8(), {"output0": dense})
        assert recognized(found) == ("detection", "guessed")
        assert "but on 1 of 3 samples" in found.result.evidence[-1]
        assert outcome(v8(), {"output0": dense}) is None

    def test_declared(self) -> None:
        assert recognized(outcome(v8(), name="detection")) == ("detection", "declared")

    def test_the_names_of_outputs_tell(self) -> None:
        logits = RNG.normal(0, 3, (1, 128))
        assert recognized(outcome({"face_embedding": logits})) == ("embedding", "recognized")
        assert recognized(outcome({"y": logits})) == ("embedding", "guessed")
        assert recognized(outcome({"class_logits": logits})) == ("classification", "recognized")
        points = RNG.uniform(0, 1, (1, 10))
        assert recognized(outcome({"landmarks": points})) == ("regression", "recognized")

    @pytest.mark.parametrize("name", HOSTILE_NAMES)
    def test_hostile_names(self, name: str) -> None:
        found = outcome({name: v8()["output0"]})
        assert set(found.result.signal) == {name}


class TestSignal:
    def test_what_decides(self) -> None:
        found = outcome({k: np.asarray(v) for k, v in yunet().items()})
        signal = found.result.signal
        assert {name for name, loud in signal.items() if loud} == {
            "cls_16", "obj_16", "bbox_16", "kps_16",
        }  # fmt: skip
        assert found.is_quiet("kps_8")
        assert not found.is_quiet("kps_16")
        assert not found.is_quiet("another")

    def test_nothing_found_says_nothing(self) -> None:
        empty = yunet()
        for name, value in empty.items():
            if name.startswith(("cls", "obj")):
                value[:] = 0.01
        found = outcome(empty)
        assert found.guessed
        assert not any(found.is_quiet(name) for name in empty)


class TestNamedTasks:
    def test_segmentation_with_channels_last(self) -> None:
        scores = RNG.normal(0, 0.1, (1, 24, 32, 3))
        scores[:, :12, :, 0] += 1
        scores[:, 12:, :, 1] += 1
        found = outcome({"y": scores}, name="segmentation")
        assert recognized(found) == ("segmentation", "declared")
        assert found.result.numbers["iou"] == 1

    def test_regression(self) -> None:
        points = np.array([[0.2, 0.2, 0.8, 0.2, 0.5, 0.5, 0.3, 0.8, 0.7, 0.8]])
        moved = points.copy()
        moved[0, 0] += 0.1
        found = outcome({"y": points}, name="regression", test={"y": moved})
        extent = np.hypot(0.6, 0.6)
        assert found.result.numbers["close"] == pytest.approx(4 / 5)
        assert found.result.numbers["error"] == pytest.approx(0.1 / extent / 5, rel=1e-4)
        assert (found.decisions, found.wrong) == (5, 1)

    def test_embedding_and_its_neighbours(self) -> None:
        vectors = np.array([[1.0, 0, 0], [0.9, 0.1, 0], [0, 0, 1.0], [0, 0.1, 0.9]])
        turned = vectors[[0, 2, 1, 3]]
        watched = TaskWatch("embedding", SIZE, {})
        for f, q in zip(vectors, turned, strict=True):
            watched.add(NOWHERE, {"y": np.array([f], np.float32)}, {"y": np.array([q], np.float32)})
        found = watched.outcome()
        assert found is not None
        assert found.result.numbers["neighbours"] == 0
        assert found.result.numbers["cosine"] == pytest.approx(0.5, abs=0.01)
        assert outcome(*({"y": [v]} for v in vectors), name="embedding").result.numbers == {
            "cosine": pytest.approx(1),
            "neighbours": 1.0,
            "samples": 4.0,
        }

    def test_keypoints(self) -> None:
        y, x = np.mgrid[:24, :32]
        places = [(5, 5), (12, 20), (18, 8)]
        maps = np.stack([np.exp(-((y - r) ** 2 + (x - c) ** 2) / 4) for r, c in places])[None]
        moved = maps.copy()
        moved[0, 0] = np.roll(moved[0, 0], 10, axis=1)
        found = outcome({"heat": maps}, test={"heat": moved})
        assert recognized(found) == ("keypoints", "recognized")
        assert found.result.numbers["same_place"] == pytest.approx(2 / 3)
        assert outcome({"heat": RNG.random((1, 17, 24, 32))}) is None
        below = -5 - RNG.random((1, 4, 24, 32))
        assert outcome({"heat": below}) is None

    def test_a_name_that_does_not_fit(self) -> None:
        with pytest.raises(UsageError, match=r"--task keypoints: the outputs y \[1, 10\]"):
            outcome({"y": RNG.normal(0, 1, (1, 10))}, name="keypoints")


class TestLengths:
    def test_boxes_of_another_count_are_matched(self) -> None:
        rows = np.array([[[10, 10, 40, 40, 0.9, 1], [60, 20, 90, 80, 0.8, 2]]], np.float32)
        found = outcome({"boxes": rows}, test={"boxes": rows[:, :1]})
        assert (found.result.numbers["kept"], found.result.numbers["lost"]) == (1, 1)

    def test_a_text_of_another_length_is_read(self) -> None:
        table = np.full((1, 19, 14), 0.001)
        table[0, np.arange(19), np.tile([0, 3, 0, 4], 5)[:19]] = 0.987
        found = outcome({"y": table}, test={"y": table[:, :13]})
        assert found.result.numbers["same_text"] == 0

    def test_a_run_compares_the_common_part(self, tmp_path: Path) -> None:
        """Values above a threshold: the quant model's threshold is higher, so it keeps fewer."""
        files = [tmp_path / name for name in ("float.onnx", "quant.onnx")]
        for file, limit in zip(files, (0.1, 0.4), strict=True):
            onnx.save(_selecting(limit), file)
        np.save(tmp_path / "x.npy", np.linspace(0, 1, 20, dtype=np.float32)[None, ::-1].copy())
        inputs = [str(tmp_path / "x.npy")]
        run = qdebug.compare(files[0], files[1], inputs, output=tmp_path / "run")
        (output,) = run.outputs
        assert output.reason == "length 18 in float and 12 in quant: the first 12 are compared"
        assert output.accumulated is not None
        assert run.verdict.status == "warn"
        assert "length 18 in float" in run.verdict.reason


def test_a_map_of_classes_is_judged_though_it_has_no_error(tmp_path: Path) -> None:
    """``ArgMax`` in the graph: int64 outputs are not captured, and still are the task."""
    small = next(small for small in SMALL if small.name == "segment_quiet")
    files = []
    for name, bias in (("float", 0.0), ("same", 0.01), ("other", 40.0)):
        model = small.model(0)
        graph = model.graph
        graph.node.append(helper.make_node("Add", ["classes", "bias"], ["moved"]))
        graph.node.append(helper.make_node("ArgMax", ["moved"], ["map"], axis=1, keepdims=0))
        values = np.array([bias, 0, 0, 0], np.float32).reshape(1, 4, 1, 1)
        graph.initializer.append(onnx.numpy_helper.from_array(values, "bias"))
        del graph.output[:]
        graph.output.append(helper.make_tensor_value_info("map", TensorProto.INT64, None))
        files.append(tmp_path / f"{name}.onnx")
        onnx.save(onnx.shape_inference.infer_shapes(model), files[-1])
    pictures = [str(p) for p in draw(tmp_path, 3, 7)]
    for other, status in ((files[1], "pass"), (files[2], "fail")):
        run = qdebug.compare(files[0], other, pictures, preprocess=SPEC, output=tmp_path / status)
        assert run.task is not None
        assert (run.task.kind, run.task.recognized) == ("segmentation", "recognized")
        assert run.verdict.status == status


def _selecting(limit: float) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Relu", ["x"], ["positive"]),
        helper.make_node("Reshape", ["positive", "flat"], ["line"]),
        helper.make_node("Greater", ["line", "limit"], ["above"]),
        helper.make_node("Compress", ["line", "above"], ["kept"], axis=0),
    ]
    graph = helper.make_graph(
        nodes,
        "selecting",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 20])],
        [helper.make_tensor_value_info("kept", TensorProto.FLOAT, ["n"])],
        [
            helper.make_tensor("flat", TensorProto.INT64, [1], [-1]),
            helper.make_tensor("limit", TensorProto.FLOAT, [], [limit]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    return model


@pytest.mark.parametrize("small", SMALL, ids=lambda small: small.name)
def test_the_benchmarks_nets_are_recognized(small: Small, tmp_path: Path) -> None:
    """The heads that the benchmark builds and reads by code of its own, found by qdebug's."""
    kinds = {
        "pad_classifier": "classification",
        "segment_nhwc": "segmentation",
        "segment_quiet": "segmentation",
        "segment_resize": "segmentation",
        "landmarks": "regression",
        "embedding": "embedding",
    }
    pictures = draw(tmp_path, 3, 7, small.objects)
    values = bare.run(small.model(0), pictures, SPEC)
    watched = TaskWatch(None, (128, 128), {})
    for at in range(len(pictures)):
        named = {name: np.asarray(found[at], np.float32) for name, found in values.items()}
        watched.add(NOWHERE, named, named)
    found = watched.outcome()
    assert recognized(found) == (kinds.get(small.name, "detection"), "recognized")
    assert found is not None
    assert found.decisions > 0
