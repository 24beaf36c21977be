"""Findings on real models: the head of a detector, planted faults, sound and empty ones."""

from __future__ import annotations

import functools
from pathlib import Path

import onnx
import pytest

import qdebug
from benchmarks import outputs
from benchmarks.cure import cured
from benchmarks.faults import ZOO, empty_run, run_bench, zoo_pairs
from benchmarks.gains import Variant
from qdebug.run.model import Run
from tests.support.checked import causes, finding

PLANTED = {
    "mobilenetv2": (
        "10 mixed head",
        "14 norm in pieces",
        "15 output scale x2000",
        "17 DQ zero point +12",
        "19 range cut",
    ),
    "ultraface_rfb320": ("14 mask of -1e12", "15 output scale x2000"),
}
"""By model: into a classifier and a detector. The benchmark plants all into both."""


@functools.cache
def variant_run(model: str, name: str) -> tuple[Variant, Run]:
    variant = Variant(model, ZOO / model / f"{name}.onnx")
    pictures = variant.pictures[:1]
    return variant, qdebug.compare(
        variant.float_file, variant.file, pictures, preprocess=variant.spec
    )


def test_the_head_is_the_cause_and_the_cut_wins_what_it_promises(zoo: Path, tmp_path: Path) -> None:
    variant, run = variant_run("yolov5n", "quant_qdq_minmax_pc")
    assert causes(run, "fail") == {"mixed-range"}
    assert run.task is not None
    assert run.task.numbers["f1"] == 0
    found = finding(run, "mixed-range")
    part = outputs.part_of(found)
    assert part is not None
    models = onnx.load(variant.float_file), onnx.load(variant.file)
    better = tmp_path / "cut.onnx"
    onnx.save(cured(run, found, models), better)
    pictures = variant.pictures[:1]
    again = qdebug.compare(variant.float_file, better, pictures, preprocess=variant.spec)
    assert again.task is not None
    assert again.task.numbers["f1"] > 0.7
    assert finding(again, "mixed-range").status == "pass"
    reference, before, after = (
        outputs.run(model, pictures, variant.spec)
        for model in (variant.float_file, variant.file, better)
    )
    won = outputs.sqnr(reference, after, part) - outputs.sqnr(reference, before, part)
    assert found.gain_db == pytest.approx(won, abs=1)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("yolov5n", "quant_qdq_minmax_pc_headfloat"),
        ("yolov5n", "quant_dynamic"),
        ("ppocrv4_det", "quant_fp16"),
        ("ultraface_rfb320", "quant_qop_minmax_pt"),
        ("mobilenetv2", "quant_qdq_minmax_pc"),
    ],
)
def test_sound_variants(model: str, name: str, zoo: Path) -> None:
    _, run = variant_run(model, name)
    assert run.verdict.status != "fail"
    assert not causes(run, "fail", "error")
    assert len(causes(run, "warn")) <= 1


@pytest.mark.parametrize(
    ("model", "fault"),
    [(model, fault) for model, faults in PLANTED.items() for fault in faults],
)
def test_faults_planted_into_real_models(model: str, fault: str, zoo: Path) -> None:
    (pair,) = [p for p in zoo_pairs(1) if p.name == model]
    results = list(run_bench([pair], [fault]))
    assert results
    for result in results:
        assert result.is_named, result.fault
        assert result.predicted is None or result.is_predicted, result.fault


def test_an_empty_picture_is_explained_and_does_not_fail(zoo: Path) -> None:
    (pair,) = [p for p in zoo_pairs(1) if p.name == "ultraface_rfb320"]
    run = empty_run(pair)
    assert run.verdict.status != "fail"
    assert not causes(run, "fail", "error", "warn")
    assert finding(run, "dead-output").status == "pass"
    assert finding(run, "task-effect").title == "The samples hold nothing to judge the task by"
