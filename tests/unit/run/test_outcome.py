"""The outcome: one sentence in the words of the task, and the finding that says why."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import pytest

from qdebug.run.arrays import RunArrays
from qdebug.run.files import MemoryFiles
from qdebug.run.model import Finding, Run, TaskResult, Verdict
from qdebug.run.outcome import carrying_finding, first_sentence, outcome_of
from qdebug.run.standing import standing, worst_output
from tests.support import synthetic_run


def _with_task(kind: str, numbers: Mapping[str, float], **more: object) -> Run:
    task = TaskResult(kind, "in other words, with a number", numbers, **more)  # type: ignore[arg-type]
    return dataclasses.replace(synthetic_run(20), task=task)


@pytest.mark.parametrize(
    ("kind", "numbers", "sentence"),
    [
        ("detection", {"kept": 0, "lost": 22, "new": 0}, "Finds 0 of the float model's 22 objects"),
        (
            "detection",
            {"kept": 20, "lost": 2, "new": 3},
            "Finds 20 of the float model's 22 objects, and 3 that it does not find",
        ),
        (
            "detection",
            {"kept": 0, "lost": 0, "new": 1},
            "Finds 1 object where the float model finds",
        ),
        ("detection", {"kept": 0, "lost": 0, "new": 0}, "Neither model finds an object"),
        (
            "classification",
            {"samples": 8, "changed": 3},
            "Gives the float model's top-1 class on 5 of 8",
        ),
        ("text", {"samples": 4, "same_text": 0.5}, "Reads what the float model reads on 2 of 4"),
        (
            "segmentation",
            {"agreement": 0.913},
            "Gives 91.3 % of the pixels the float model's class",
        ),
        (
            "keypoints",
            {"points": 34, "same_place": 0.5},
            "Puts 17 of the float model's 34 keypoints",
        ),
        ("keypoints", {"points": 0, "same_place": 1.0}, "The float model shows no keypoint"),
        ("regression", {"close": 0.5}, "Gives 50 % of the float model's values closely"),
        ("embedding", {"cosine": 0.98765}, "Its vectors have a mean cosine of 0.9877"),
        ("mine:judge", {"score": 1.0}, "In other words, with a number"),
        ("detection", {"score": 1.0}, "In other words, with a number"),
        ("detection", {"kept": math.nan, "lost": 1.0}, "In other words, with a number"),
    ],
)
def test_the_sentence_of_each_task(kind: str, numbers: dict[str, float], sentence: str) -> None:
    assert outcome_of(_with_task(kind, numbers)).sentence.startswith(sentence)


def test_a_guess_is_called_one_and_an_input_fault_comes_first() -> None:
    numbers = {"kept": 1.0, "lost": 1.0}
    guess = _with_task("detection", numbers, recognized="guessed")
    assert (
        outcome_of(guess).sentence == "Finds 1 of the float model's 2 objects (the task is a guess)"
    )
    failed = synthetic_run(20, input_failed=True)
    assert outcome_of(failed).sentence == "Input fault: finds 5 of the float model's 14 objects"
    assert outcome_of(failed).finding is not None
    assert outcome_of(failed).finding.slug == "channel-order"  # type: ignore[union-attr]


def test_no_verdict_says_why() -> None:
    verdict = Verdict(
        "inconclusive", "int8", "no signal at the outputs on these samples; try others"
    )
    run = dataclasses.replace(synthetic_run(20), verdict=verdict)
    assert outcome_of(run).sentence == f"No verdict: {verdict.reason}"
    assert outcome_of(run).why == ""


def test_an_unknown_task_is_told_by_the_output_that_suffers_most() -> None:
    run = dataclasses.replace(synthetic_run(20), task=None)
    assert outcome_of(run).sentence.startswith(
        "The task is not known; worst of its outputs, output0: 64 of 64 channels below"
    )
    nothing = dataclasses.replace(run, outputs=())
    assert outcome_of(nothing).sentence == "The task is not known; no output could be compared"
    (output, *_) = run.outputs
    same = dataclasses.replace(run, outputs=(dataclasses.replace(output, state="identical"),))
    assert outcome_of(same).sentence == "The task is not known; every output is the float model's"


def test_an_output_with_a_dead_channel_is_not_ok_whatever_the_whole_tensor_says() -> None:
    run = synthetic_run(4, sound=True)
    output = worst_output(run)
    assert output is not None
    assert output.layer is not None
    assert standing(run, output) == "within its limits"
    arrays = run.arrays
    levels = arrays.channel_sqnr_db.copy()
    levels[int(arrays.channel_offsets[output.layer])] = np.nan
    dead = dataclasses.replace(arrays, channel_sqnr_db=levels)
    changed = dataclasses.replace(run, files=MemoryFiles({"hist.npz": dead.to_bytes()}))
    assert isinstance(changed.arrays, RunArrays)
    assert standing(changed, output).startswith("1 of ")
    assert standing(run, dataclasses.replace(output, state="zero_quant")).startswith(
        "zero in the quant"
    )


def test_the_cause_carries_the_verdict_not_its_effect_and_the_input_goes_before_both() -> None:
    def finding(slug: str, status: str = "fail") -> Finding:
        return Finding("QD", slug, status, "error", slug, "Seen. More.", "Do.")  # type: ignore[arg-type]

    run = synthetic_run(20)
    found = (finding("task-effect"), finding("few-samples", "warn"), finding("mixed-range"))
    carried = carrying_finding(dataclasses.replace(run, findings=found))
    assert carried is found[2]
    early = (*found, finding("channel-order"))
    assert carrying_finding(dataclasses.replace(run, findings=early)) is early[3]
    alone = carrying_finding(dataclasses.replace(run, findings=found[:2]))
    assert alone is found[0]
    assert carrying_finding(synthetic_run(20, sound=True)) is None


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("One is 0.5 dB. Two follows.", "One is 0.5 dB."),
        ("/a.b/Conv gets 3.\n`x` is next", "/a.b/Conv gets 3."),
        ("No stop at all", "No stop at all"),
        ("Scores end. /model.22 begins", "Scores end."),
    ],
)
def test_the_first_sentence(text: str, first: str) -> None:
    assert first_sentence(text) == first
