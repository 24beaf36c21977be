"""Classification, segmentation, text, detection and users' functions on made-up outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from qdebug.analysis.tasks import Shown, TaskWatch, check_task_name
from qdebug.analysis.tasks.head import Parts
from qdebug.analysis.tasks.recognize import choose_task
from qdebug.analysis.tasks.task import OutputFacts
from qdebug.analysis.tasks.text import distance
from qdebug.analysis.tasks.user import user_task
from qdebug.errors import UsageError
from tests.unit.analysis.tasks.test_heads import SIZE, v8

Array = npt.NDArray[Any]
NOWHERE = Shown("sample", None, None)


def kind(outputs: dict[str, Any], metadata: dict[str, str] | None = None) -> str | None:
    facts = OutputFacts(
        {name: np.asarray(v, np.float32) for name, v in outputs.items()}, SIZE, metadata or {}
    )
    task = choose_task("auto", facts)
    return task.kind if task else None


def watch(
    pairs: list[tuple[dict[str, Array], dict[str, Array]]],
    metadata: dict[str, str] | None = None,
    name: str | None = None,
) -> TaskWatch:
    watched = TaskWatch(name, SIZE, metadata or {})
    for reference, test in pairs:
        watched.add(NOWHERE, reference, test)
    return watched


def one_hot(label: int, count: int = 10, height: float = 5.0) -> Array:
    scores = np.zeros((1, count), np.float32)
    scores[0, label] = height
    return scores


class TestRecognition:
    def setup_method(self) -> None:
        self.rng = np.random.default_rng(0)  # of its own: tests run in any order

    def test_class_scores(self) -> None:
        assert kind({"y": self.rng.normal(0, 3, (1, 1000))}) == "classification"
        assert kind({"y": self.rng.normal(0, 3, (1, 10, 1, 1))}) == "classification"
        assert kind({"logits": self.rng.normal(0, 3, (1, 512))}) == "classification"

    def test_a_feature_vector_is_no_class_score(self) -> None:
        assert kind({"features": self.rng.normal(0, 3, (1, 512))}) == "embedding"
        unit = self.rng.normal(0, 1, (1, 100))
        assert kind({"y": unit / np.linalg.norm(unit)}) == "embedding"

    def test_a_batch_is_not_read(self) -> None:
        assert kind({"y": self.rng.normal(0, 3, (4, 1000))}) is None

    def test_maps(self) -> None:
        height, width = SIZE[1], SIZE[0]
        mask = np.zeros((1, 1, height, width))
        mask[..., 20:60, 30:80] = 0.97
        assert kind({"y": mask}) == "segmentation"
        assert kind({"y": self.blobs(21, height // 8, width // 8)}) == "segmentation"
        last = self.blobs(21, height // 8, width // 8).transpose(0, 2, 3, 1)
        assert kind({"y": last}) == "segmentation"
        assert kind({"y": self.blobs(21, height, width).argmax(axis=1)}) == "segmentation"

    def test_a_picture_or_a_depth_map_is_no_segmentation(self) -> None:
        height, width = SIZE[1], SIZE[0]
        assert kind({"y": self.rng.normal(0, 9, (1, 3, height, width))}) is None
        assert kind({"y": self.rng.uniform(0, 80, (1, 1, height, width))}) is None
        assert kind({"heat": self.rng.random((1, 17, height // 4, width // 4))}) is None

    def blobs(self, classes: int, height: int, width: int) -> Array:
        """Logits of classes that fill quarters of the picture."""
        logits = self.rng.normal(0, 0.3, (1, classes, height, width))
        for at, (top, left) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
            rows = slice(top * height // 2, (top + 1) * height // 2)
            columns = slice(left * width // 2, (left + 1) * width // 2)
            logits[0, at, rows, columns] += 6
        return np.asarray(logits)

    def test_noise_is_no_map(self) -> None:
        height, width = SIZE[1], SIZE[0]
        assert kind({"y": self.rng.random((1, 1, height, width))}) is None
        assert kind({"y": self.rng.normal(0, 9, (1, 21, height // 8, width // 8))}) is None

    def test_text(self) -> None:
        scores = self.rng.random((1, 40, 97)) ** 90
        assert kind({"y": scores / scores.sum(axis=2, keepdims=True)}) == "text"
        assert kind({"y": self.rng.normal(0, 1, (1, 40, 97))}) is None

    def test_a_named_task_must_fit(self) -> None:
        facts = OutputFacts({"y": one_hot(1)}, SIZE)
        assert choose_task("none", facts) is None
        with pytest.raises(UsageError, match=r"the outputs y \[1, 10\]"):
            choose_task("detection", facts)

    @pytest.mark.parametrize("name", [None, "auto", "none", "text", "my.module:function"])
    def test_names_that_can_be_meant(self, name: str | None) -> None:
        check_task_name(name)

    def test_a_name_that_cannot(self) -> None:
        with pytest.raises(UsageError, match="no task 'detectoin'"):
            check_task_name("detectoin")


class TestClassification:
    def outcome(self, labels: list[tuple[int, int]]) -> Any:
        pairs = [({"logits": one_hot(f)}, {"logits": one_hot(q)}) for f, q in labels]
        return watch(pairs, {"names": "{0: 'cat', 1: 'dog'}"}).outcome()

    def test_agreement(self) -> None:
        found = self.outcome([(0, 0), (1, 1), (2, 3), (4, 4)])
        assert found.result.numbers["top1"] == 0.75
        assert (found.decisions, found.wrong) == (4, 1)
        assert [row["float"] for row in found.result.per_sample] == [
            "cat", "dog", "class 2", "class 4",
        ]  # fmt: skip
        assert "same top-1 class on 3 of 4 samples (75 %)" in found.result.summary
        assert "declared simulation" in found.result.summary

    def test_margins_are_of_probabilities(self) -> None:
        found = self.outcome([(0, 1)])
        rest = np.exp(5) + 9
        expected = (np.exp(5) - 1) / rest
        assert found.result.numbers["float_margin"] == pytest.approx(expected)
        assert found.result.numbers["quant_margin"] == pytest.approx(-expected)

    def test_all_equal_scores_are_no_choice(self) -> None:
        flat = np.zeros((1, 10), np.float32)
        found = watch([({"logits": one_hot(0)}, {"logits": flat})]).outcome()
        assert found is not None
        assert found.result.numbers["top1"] == 0


class TestDetection:
    def test_kept_lost_new(self) -> None:
        reference = {"output0": v8()["output0"].astype(np.float32)}
        faint = reference["output0"].copy()
        faint[0, 5] *= 0.1  # the scores of the first box's class
        shown = Shown("a.png", "thumbs/0000.source.png", lambda boxes: boxes / [*SIZE, *SIZE])
        watched = TaskWatch(None, SIZE, {})
        watched.add(shown, reference, {"output0": faint})
        found = watched.outcome()
        assert found is not None
        numbers = found.result.numbers
        assert (numbers["float"], numbers["kept"], numbers["lost"], numbers["new"]) == (2, 1, 1, 0)
        assert numbers["f1"] == pytest.approx(2 / 3)
        evidence, *_ = found.evidence
        assert evidence.data["image"] == "thumbs/0000.source.png"
        lost, kept = evidence.data["float"]
        assert (lost["match"], kept["match"]) == ("lost", "kept")
        assert np.allclose(lost["xyxy"], [28 / 128, 12 / 96, 52 / 128, 48 / 96], atol=1e-4)
        assert len(evidence.data["quant"]) == 1

    def test_nothing_found_by_either_is_no_decision(self) -> None:
        outputs = {"output0": (v8()["output0"] * [[[1]] * 4 + [[0.1]] * 5]).astype(np.float32)}
        found = watch([(outputs, outputs)]).outcome()
        assert found is not None
        assert found.decisions == 0
        assert found.result.numbers["f1"] == 1
        assert "neither model finds anything" in found.sentence


class TestSegmentation:
    def test_probability_map(self) -> None:
        reference = np.zeros((1, 1, SIZE[1], SIZE[0]), np.float32)
        reference[..., :40, :] = 0.9
        test = np.zeros_like(reference)
        test[..., 20:60, :] = 0.4
        found = watch([({"map": reference}, {"map": test})]).outcome()
        assert found is not None
        assert found.result.numbers["iou"] == pytest.approx(20 / 60)
        assert found.result.numbers["agreement"] == pytest.approx(1 - 40 / 96)

    def test_classes_weigh_alike(self) -> None:
        reference = np.zeros((1, 4, 96, 128), np.float32)
        reference[0, 0] = 5
        reference[0, 1, :2, :2] = 9
        test = reference.copy()
        test[0, 1] = 0
        found = watch([({"map": reference}, {"map": test})]).outcome()
        assert found is not None
        assert found.result.numbers["iou"] == pytest.approx((1 + 0) / 2, abs=1e-3)
        assert found.result.numbers["agreement"] > 0.999


class TestText:
    @staticmethod
    def spelled(codes: list[int], count: int = 14) -> Array:
        table = np.full((1, len(codes), count), 0.001, np.float32)
        table[0, np.arange(len(codes)), codes] = 1 - 0.001 * (count - 1)
        return table

    def test_reading(self) -> None:
        metadata = {"character": "\n".join("abcdefghijkl")}
        reference = self.spelled([0, 3, 3, 0, 3, 1, 13, 0, 2])
        test = self.spelled([0, 3, 3, 0, 4, 1, 13, 0, 2])
        found = watch([({"y": reference}, {"y": test})], metadata).outcome()
        assert found is not None
        (row,) = found.result.per_sample
        assert (row["float"], row["quant"], row["edits"]) == ("cca b", "cda b", 1)
        assert found.result.numbers["same_text"] == 0
        assert found.result.numbers["characters"] == pytest.approx(4 / 5)

    def test_the_blank_is_found(self) -> None:
        last = self.spelled([13, 3, 13, 13, 13, 4, 13, 13, 13])
        found = watch([({"y": last}, {"y": last})]).outcome()
        assert found is not None
        assert found.result.per_sample[0]["float"] == "3 4"

    @pytest.mark.parametrize(
        ("first", "second", "edits"),
        [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("flaw", "lawn", 2)],
    )
    def test_distance(self, first: str, second: str, edits: int) -> None:
        assert distance([*map(ord, first)], [*map(ord, second)]) == edits


class TestUserFunction:
    def test_means_over_the_samples(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        Path("depth_measure_a.py").write_text(
            "def measure(f, q):\n    return {'error': abs(f['d'] - q['d']).mean()}\n", "utf-8"
        )
        pairs = [
            ({"d": np.zeros((1, 4), np.float32)}, {"d": np.full((1, 4), step, np.float32)})
            for step in (1.0, 3.0)
        ]
        found = watch(pairs, name="depth_measure_a:measure").outcome()
        assert found is not None
        assert found.result.kind == "depth_measure_a:measure"
        assert found.result.numbers == {"error": 2.0}
        assert [row["error"] for row in found.result.per_sample] == [1.0, 3.0]

    @pytest.mark.parametrize(
        ("source", "words"),
        [
            ("x = 1", "has no function 'measure'"),
            ("import there_is_no_such_module", "cannot be imported: ModuleNotFoundError"),
            ("def measure(f, q):\n    return 3", "returned int, not a mapping"),
            ("def measure(f, q):\n    return {'a': 'b'}", "returned what is not a number"),
            ("def measure(f, q):\n    return {'a': f['nothing']}", "raised KeyError"),
        ],
    )
    def test_mistakes_are_explained(self, tmp_path: Path, source: str, words: str) -> None:
        file = tmp_path / "mine.py"
        file.write_text(source, "utf-8")
        outputs = {"d": np.zeros((1, 4), np.float32)}
        with pytest.raises(UsageError, match=words):
            user_task(f"{file}:measure").judge(outputs, outputs)


class TestWatch:
    def test_deployed_outputs_are_counted_apart(self) -> None:
        watched = TaskWatch(None, None, {})
        for label in (1, 2):
            outputs = {"logits": one_hot(label)}
            watched.add(NOWHERE, outputs, outputs)
        five = {"logits": one_hot(5).reshape(1, 1, 10)}
        watched.add_variant("deployed", {"logits": one_hot(1)}, five)
        found = watched.outcome()
        assert found is not None
        assert found.result.numbers["top1"] == 1
        assert found.result.numbers["deployed_top1"] == 0
        assert "; as deployed, on 1 sample: same top-1 class on 0 of 1" in found.result.summary

    def test_nothing_wanted_nothing_kept(self) -> None:
        outputs = {"logits": one_hot(1)}
        assert watch([(outputs, outputs)], name="none").outcome() is None

    def test_scores_and_boxes_of_a_detector_are_counted_apart(self) -> None:
        reference = {"output0": v8()["output0"].astype(np.float32)}
        dead = reference["output0"].copy()
        dead[0, 4:] = 0
        found = watch([(reference, {"output0": dead})] * 10).outcome()
        assert found is not None
        scores, corners = (item.data for item in found.evidence if item.kind == "histogram")
        candidates = 8 * reference["output0"].shape[2]
        assert (scores["edges"][0], scores["edges"][-1]) == (0, 1)
        assert scores["marks"] == {"confidence": 0.25}
        assert scores["series"]["quant"][0] == candidates
        assert sum(scores["series"]["float"]) == candidates
        assert sum(scores["series"]["float"][16:]) == 8 * 2
        assert corners["series"]["float"] == corners["series"]["quant"]
        assert corners["edges"][-1] > 1


def test_candidates_of_the_same_outputs_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And of others, which may come to lie where those were, anew."""
    read: list[Parts] = []
    best = Parts.best

    def counted(parts: Parts) -> Any:
        read.append(parts)
        return best(parts)

    def found() -> dict[str, Array]:
        return {name: np.asarray(v, np.float32) for name, v in v8().items()}

    task = choose_task("auto", OutputFacts(found(), SIZE, {}))
    assert task is not None and task.behaves is not None
    monkeypatch.setattr(Parts, "best", counted)
    first, silent = found(), found()
    silent["output0"][0, 4:] = 0
    lost = task.judge(first, silent).facts["lost"]
    assert lost == task.judge(first, dict(silent)).facts["lost"] != 0
    assert task.behaves(first).speaks
    assert len(read) == 2
    del silent
    for _ in range(6):
        assert task.judge(first, found()).facts["lost"] == 0
    assert len(read) == 8
