"""``tune --float-out``: balanced channels, proven, and the float model that they are a twin of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import qdebug
from qdebug.comparison.tuning.apply import apply_draft
from qdebug.run.draft import Draft
from qdebug.run.model import Run
from qdebug.run.tuning import Cure
from tests.support.differences import forward
from tests.support.nets import NetBuilder, sample_inputs
from tests.support.unequal import chain, folded_twin, grouped_chain, normalized_chain, planted, twin

SHOTS = 12


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shots").mkdir()
    return tmp_path


def tuned(
    folder: Path,
    model: onnx.ModelProto,
    quantized: Callable[[onnx.ModelProto], onnx.ModelProto] = twin,
    **extra: Any,
) -> Run:
    onnx.save(model, folder / "float.onnx")
    onnx.save(quantized(model), folder / "quant.onnx")
    for number, feeds in enumerate(sample_inputs(model, SHOTS, 7)):
        np.save(folder / "shots" / f"{number:02d}.npy", feeds["x"])
    return qdebug.tune(
        folder / "float.onnx",
        [folder / "shots"],
        folder / "tuned.onnx",
        quant_model=folder / "quant.onnx",
        threads=1,
        **extra,
    )


def balances(run: Run) -> dict[bool, list[Cure]]:
    assert run.tuning is not None
    found = [cure for cure in run.tuning.cures if cure.kind == "balance"]
    return {kind: [c for c in found if c.accepted == kind] for kind in (True, False)}


def test_the_plan_of_a_balanced_model_writes_it_again(folder: Path) -> None:
    """It began with a twin that is not kept: the repaired model takes its place."""
    run = tuned(folder, planted(chain()), float_out=folder / "fixed.onnx")
    assert run.tuning is not None
    draft = Draft(run.tuning)
    made = apply_draft(run, draft, folder / "tuned.qdtune", folder / "again.onnx")
    (feeds,) = sample_inputs(onnx.load(folder / "float.onnx"), 1, 5)
    again, repaired = (forward(onnx.load(file), feeds) for file in (made, folder / "tuned.onnx"))
    for ours, theirs in zip(again.values(), repaired.values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("net", [chain, grouped_chain], ids=["depthwise", "in groups"])
def test_a_planted_imbalance_is_cured(folder: Path, net: Callable[[], onnx.ModelProto]) -> None:
    model = planted(net())
    run = tuned(folder, model, float_out=folder / "fixed.onnx")
    (cure,) = balances(run)[True]
    assert cure.measured_db > 20
    assert cure.float_equivalent
    found = run.tuning
    assert found is not None
    assert found.given.sqnr_db < 10  # of the given pair
    assert found.tuned.sqnr_db > 30
    assert not found.kept  # no further tensor at 16 bits
    for feeds in sample_inputs(model, 4, 3):
        for wanted, other in zip(
            forward(model, feeds).values(),
            forward(onnx.load(folder / "fixed.onnx"), feeds).values(),
            strict=True,
        ):
            assert np.abs(wanted - other).max() <= 1e-4 * np.abs(wanted).max()
    assert any("is equivalent to the float model" in note for note in found.notes)
    assert run.models.float.file == "fixed.onnx"  # what the tuned model is a twin of
    assert not [f.slug for f in run.findings if f.status == "fail"]


def test_a_batch_normalization_takes_the_factors(folder: Path) -> None:
    """The twin holds it in the weights of the Conv before it."""
    model = planted(normalized_chain())
    run = tuned(folder, model, folded_twin, float_out=folder / "fixed.onnx")
    (cure,) = balances(run)[True]
    assert cure.measured_db > 6
    assert not [f.slug for f in run.findings if f.status == "fail"]


def test_a_batch_normalization_with_codes_of_its_own_is_left(folder: Path) -> None:
    run = tuned(folder, planted(normalized_chain()), float_out=folder / "fixed.onnx")
    assert balances(run) == {True: [], False: []}


def test_without_a_float_model_to_write_it_is_only_said(folder: Path) -> None:
    run = tuned(folder, planted(chain()))
    assert balances(run) == {True: [], False: []}
    assert run.tuning is not None
    assert any("could be balanced at 2 places: --float-out" in note for note in run.tuning.notes)


def relu6_between() -> onnx.ModelProto:
    b = NetBuilder(3, 17)
    x = b.clip(b.conv(b.input("x", [1, 3, 16, 16]), 3, 16))
    return b.model(b.conv(x, 16, 5, 1))


def test_a_relu6_in_between_is_left_alone(folder: Path) -> None:
    run = tuned(folder, relu6_between(), float_out=folder / "fixed.onnx")
    assert balances(run) == {True: [], False: []}
    assert run.tuning is not None
    assert "no layers have channels that could be balanced" in run.tuning.notes


def unequal_norm() -> onnx.ModelProto:
    """Channels that a few activations dominate, and weights that take it back."""
    b = NetBuilder(5, 17)
    gain = np.geomspace(0.05, 20, 24)
    x = b.op("LayerNormalization", b.input("x", [1, 12, 24]), b.const(gain), b.const(np.zeros(24)))
    weight = b.rng.normal(0, 0.2, (24, 16)) / gain[:, None]
    hidden = b.op("Relu", b.op("MatMul", x, b.const(weight)))
    return b.model(b.op("MatMul", hidden, b.weight(16, 6, fan_in=16)))


def test_activations_behind_a_normalization_are_smoothed(folder: Path) -> None:
    run = tuned(folder, unequal_norm(), float_out=folder / "fixed.onnx")
    (cure,) = balances(run)[True]
    assert cure.title.startswith("channels balanced by activations")
    assert cure.measured_db > 6


def test_workers_find_the_same(folder: Path) -> None:
    model = planted(chain())
    alone = tuned(folder, model, float_out=folder / "fixed.onnx")
    written = (folder / "tuned.onnx").read_bytes()
    shared = tuned(folder, model, float_out=folder / "fixed.onnx", workers=2, force=True)
    assert (folder / "tuned.onnx").read_bytes() == written
    assert alone.tuning is not None
    assert shared.tuning is not None
    assert alone.tuning.cures == shared.tuning.cures
