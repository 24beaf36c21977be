"""Networks of the settings' bench that read a head the zoo lacks: sound twins, and broken ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import qdebug
from benchmarks.settings import SETTINGS, Model, quantized, small_model
from benchmarks.small_nets import SMALL
from qdebug.run.model import Run

PICTURES = 6


def network(name: str, folder: Path) -> Model:
    found = small_model(next(s for s in SMALL if s.name == name), 11, folder)
    return replace(found, tested=found.tested[:PICTURES])


def compared(model: Model, quant: Path, folder: Path) -> Run:
    return qdebug.compare(
        model.file,
        quant,
        [str(p) for p in model.tested],
        preprocess=model.spec,
        output=folder / "run",
    )


def half_pixel(model: onnx.ModelProto) -> None:
    """What a version converter made of Upsample."""
    resize = next(n for n in model.graph.node if n.op_type == "Resize")
    way = next(a for a in resize.attribute if a.name == "coordinate_transformation_mode")
    assert way.s == b"asymmetric"
    way.s = b"half_pixel"


def mirrored_boxes(model: onnx.ModelProto) -> None:
    """Every box on the other side of its cell: the weights of the boxes, which come first."""
    given = {t.name: t for t in model.graph.initializer}
    heads = [n.input[1] for n in model.graph.node if n.op_type == "Conv"]
    heads = [name for name in heads if list(given[name].dims[1:]) == [9, 1, 1]]
    for name in heads[::2]:
        weight = numpy_helper.to_array(given[name])
        given[name].CopyFrom(numpy_helper.from_array(-weight, name))


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("ssd_tensorflow", "SSD head, y first, 3 classes and background"),
        ("blaze_levels", "BlazeFace head of offsets from anchors, 2 levels apart, landmarks"),
        ("segment_resize", "4 classes a pixel in classes"),
    ],
)
def test_a_sound_twin_does_not_fail_and_its_head_is_read(
    tmp_path: Path, name: str, form: str
) -> None:
    model = network(name, tmp_path)
    run = compared(model, quantized(model, SETTINGS[0], tmp_path), tmp_path)
    assert run.verdict.status != "fail"
    assert run.task is not None
    assert run.task.numbers["iou" if name == "segment_resize" else "f1"] > 0.9
    assert form in run.task.summary
    assert run.task.recognized == "recognized"


@pytest.mark.parametrize("setting", [None, "qdq minmax u8 tensor"])
def test_an_upsample_that_became_a_half_pixel_resize_never_passes(
    tmp_path: Path, setting: str | None
) -> None:
    model = network("segment_resize", tmp_path)
    file = model.file
    if setting is not None:
        chosen = next(s for s in SETTINGS if s.name == setting)
        file = quantized(model, chosen, tmp_path)
    broken = onnx.load(file)
    half_pixel(broken)
    onnx.save(broken, tmp_path / "broken.onnx")
    run = compared(model, tmp_path / "broken.onnx", tmp_path)
    assert run.verdict.status != "pass"
    assert run.task is not None
    assert 0.01 < 1 - run.task.numbers["agreement"] < 0.2
    first = run.findings[0]
    assert first.slug == "operator-mismatch"
    assert "half_pixel" in first.seen + first.title


@pytest.mark.parametrize("name", ["ssd_tensorflow", "blaze_levels"])
def test_a_broken_head_is_seen_by_the_task(tmp_path: Path, name: str) -> None:
    model = network(name, tmp_path)
    broken = onnx.load(model.file)
    mirrored_boxes(broken)
    onnx.save(broken, tmp_path / "broken.onnx")
    run = compared(model, tmp_path / "broken.onnx", tmp_path)
    assert run.verdict.status == "fail"
    assert run.task is not None
    assert run.task.numbers["f1"] < 0.9


@pytest.mark.parametrize("setting", ["qdq minmax u8 channel", "qdq minmax u8 tensor"])
def test_a_range_that_few_samples_leave_is_a_remark(tmp_path: Path, setting: str) -> None:
    """One value of eighteen pictures lies beyond what six others calibrated."""
    model = small_model(next(s for s in SMALL if s.name == "embedding"), 3, tmp_path)
    quant = quantized(model, next(s for s in SETTINGS if s.name == setting), tmp_path)
    run = compared(model, quant, tmp_path)
    assert run.verdict.status == "pass"
    found = next(f for f in run.findings if f.slug == "activation-clipping")
    assert found.status == "info"
    assert found.gain_db is not None
    assert found.gain_db > 3
    assert "No more than 1 of 18 samples reaches beyond it." in found.seen


def test_a_range_that_most_samples_leave_is_not(tmp_path: Path) -> None:
    """The control: the same range cut to a half, and the task is still the same."""
    model = small_model(next(s for s in SMALL if s.name == "embedding"), 3, tmp_path)
    quant = onnx.load(quantized(model, SETTINGS[0], tmp_path))
    name = next(n.input[1] for n in quant.graph.node if "relu_9" in n.input[0])
    scale = next(t for t in quant.graph.initializer if t.name == name)
    value = numpy_helper.to_array(scale)
    scale.CopyFrom(numpy_helper.from_array(np.asarray(value / 2, np.float32), name))
    onnx.save(quant, tmp_path / "cut.onnx")
    run = compared(model, tmp_path / "cut.onnx", tmp_path)
    assert run.findings[0].slug == "activation-clipping"
    assert run.findings[0].status in ("warn", "fail")
    assert run.layers[run.findings[0].layers[0]].float_tensor == "relu_9"
