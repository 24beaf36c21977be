"""What changed between two runs, also where layers were renamed."""

from __future__ import annotations

import dataclasses
import math
import random

import pytest

from qdebug.run.diff import DiffLimits, Levels, TaskDiff, diff_runs
from qdebug.run.matching import match_layers
from qdebug.run.model import FindingStatus, Layer, Run, TaskResult, WorstChannel
from tests.support import synthetic_run
from tests.support.synthetic_extras import BOARD_DB, with_board


@pytest.fixture(scope="module")
def run() -> Run:
    return synthetic_run(80, samples=2)


def with_sqnr(layer: Layer, value: float) -> Layer:
    assert layer.accumulated is not None
    return dataclasses.replace(
        layer, accumulated=dataclasses.replace(layer.accumulated, sqnr_db=value)
    )


def changed(run: Run, **at: Layer) -> Run:
    layers = list(run.layers)
    for layer in at.values():
        layers[layer.index] = layer
    return dataclasses.replace(run, layers=tuple(layers))


def renamed(run: Run, form: str) -> Run:
    layers = tuple(
        dataclasses.replace(
            layer,
            name=form.format(layer.index),
            float_tensor=form.format(layer.index) + "_f",
            quant_tensor=form.format(layer.index) + "_q",
        )
        for layer in run.layers
    )
    return dataclasses.replace(run, layers=layers)


class TestMatching:
    def test_the_same_layers_match_by_tensor(self, run: Run) -> None:
        matches = match_layers(run.layers, run.layers)
        assert [(m.old, m.new, m.by) for m in matches] == [(i, i, "tensor") for i in range(80)]

    def test_renamed_layers_match_by_structure(self, run: Run) -> None:
        matches = match_layers(run.layers, renamed(run, "node_{}").layers)
        assert [(m.old, m.new, m.by) for m in matches] == [(i, i, "structure") for i in range(80)]

    def test_nodes_numbered_anew_do_not_match_by_their_old_number(self, run: Run) -> None:
        old = renamed(run, "Op_{}")
        shifted = [dataclasses.replace(x, index=x.index - 5) for x in run.layers[5:]]
        new = renamed(dataclasses.replace(run, layers=tuple(shifted)), "Op_{}")
        matches = match_layers(old.layers, new.layers)
        pairs = {m.old: m.new for m in matches if m.old is not None and m.new is not None}
        right = sum(pairs.get(i) == i - 5 for i in range(5, 80))
        assert right >= 60

    def test_inserted_and_dropped_layers(self, run: Run) -> None:
        extra = dataclasses.replace(run.layers[0], name="x", float_tensor="x", op="Odd")
        new = [*run.layers[:20], extra, *run.layers[20:50], *run.layers[53:]]
        matches = match_layers(run.layers, new)
        assert [m.new for m in matches if m.old is None] == [20]
        assert [m.old for m in matches if m.new is None] == [50, 51, 52]
        assert [m.new for m in matches if m.new is not None] == list(range(78))

    def test_a_name_with_another_operator_is_another_layer(self, run: Run) -> None:
        new = [dataclasses.replace(run.layers[0], op="Odd"), *run.layers[1:]]
        first, second, *_ = match_layers(run.layers, new)
        assert (first.old, first.new) == (0, None)
        assert (second.old, second.new) == (None, 0)

    def test_every_layer_appears_exactly_once(self, run: Run) -> None:
        rng = random.Random(0)
        for _ in range(20):
            new = rng.sample(run.layers, rng.randrange(1, 80))
            matches = match_layers(run.layers, new)
            assert sorted(m.old for m in matches if m.old is not None) == list(range(80))
            assert [m.new for m in matches if m.new is not None] == list(range(len(new)))

    def test_empty_runs(self, run: Run) -> None:
        assert match_layers([], []) == []
        assert [m.new for m in match_layers(run.layers[:2], [])] == [None, None]
        assert [m.old for m in match_layers([], run.layers[:2])] == [None, None]


class TestLevels:
    @pytest.mark.parametrize(
        ("old", "new", "delta", "change"),
        [
            (20.0, 30.0, 10.0, "better"),
            (20.0, 19.0, -1.0, "worse"),
            (20.0, 20.01, pytest.approx(0.01), "same"),
            (math.inf, math.inf, 0.0, "same"),
            (math.inf, 30.0, -math.inf, "worse"),
            (30.0, math.inf, math.inf, "better"),
            (math.nan, 3.0, None, "unknown"),
            (None, 3.0, None, "unknown"),
            (None, None, None, "same"),
        ],
    )
    def test_change(self, old: float, new: float, delta: object, change: str) -> None:
        assert Levels(old, new).delta == delta
        assert Levels(old, new).change == change


class TestRegressions:
    def test_a_run_against_itself(self, run: Run) -> None:
        diff = diff_runs(run, run)
        assert diff.regressions == ()
        assert diff.exit_code == 0
        assert diff.caveats == ()
        states = {"ok", "identical", "low_signal", "zero_both", "zero_quant", "zero_float"}
        for layer in diff.layers:
            assert layer.change == "same" or layer.new_state not in states
        assert {item.change for item in diff.findings} == {"same"}

    @pytest.mark.parametrize(
        ("old", "new", "regressed"),
        [(30.0, 26.9, True), (30.0, 27.1, False), (70.0, 41.0, False), (70.0, 39.0, True),
         (math.inf, 20.0, True), (20.0, -math.inf, True), (20.0, 25.0, False)],
    )  # fmt: skip
    def test_a_layer_may_lose_the_limit_and_stay_above_the_floor(
        self, run: Run, old: float, new: float, regressed: bool
    ) -> None:
        layer = run.layers[60]
        before, after = (changed(run, a=with_sqnr(layer, value)) for value in (old, new))
        diff = diff_runs(before, after)
        assert [item.name for item in diff.regressions] == ([layer.name] if regressed else [])  # type: ignore[union-attr]
        assert diff.exit_code == int(regressed)

    def test_limits_are_the_callers(self, run: Run) -> None:
        after = changed(run, a=with_sqnr(run.layers[60], 0.0))
        assert diff_runs(run, after).exit_code == 1
        assert diff_runs(run, after, DiffLimits(layer_db=100.0)).exit_code == 0
        assert diff_runs(run, after, DiffLimits(floor_db=-1.0)).exit_code == 0

    def test_a_layer_that_breaks(self, run: Run) -> None:
        broken = dataclasses.replace(run.layers[60], state="nonfinite")
        (found,) = diff_runs(run, changed(run, a=broken)).regressions
        assert found.change == "worse"

    def test_outputs_lose_less(self, run: Run) -> None:
        output = run.outputs[0]
        assert output.accumulated is not None
        lower = dataclasses.replace(
            output.accumulated, sqnr_db=output.accumulated.sqnr_db - 1.1, cosine=0.5
        )
        worse = dataclasses.replace(
            run, outputs=(dataclasses.replace(output, accumulated=lower), *run.outputs[1:])
        )
        (found,) = diff_runs(run, worse).regressions
        assert found.change == "worse"
        assert diff_runs(worse, run).regressions == ()

    def test_the_only_output_may_be_renamed(self, run: Run) -> None:
        one = dataclasses.replace(run, outputs=run.outputs[:1])
        other = dataclasses.replace(run.outputs[0], name="renamed")
        (diff,) = diff_runs(one, dataclasses.replace(run, outputs=(other,))).outputs
        assert (diff.name, diff.change) == ("renamed", "same")

    def test_findings(self, run: Run) -> None:
        sound = synthetic_run(80, samples=2, sound=True)
        worse = {item.slug: item for item in diff_runs(sound, run).findings}
        assert worse["mixed-range"].change == "new"
        assert worse["mixed-range"].regressed
        assert not worse["activation-clipping"].regressed
        better = {item.slug: item for item in diff_runs(run, sound).findings}
        assert better["mixed-range"].change == "gone"
        assert not any(item.regressed for item in better.values())


class TestWhatChanged:
    def test_settings_of_the_quantization_are_named(self, run: Run) -> None:
        layer = next(x for x in run.layers if x.weight and x.quant and x.index > 40)
        assert layer.weight is not None
        assert layer.quant is not None
        other = dataclasses.replace(
            layer,
            weight=dataclasses.replace(layer.weight, per_channel=True),
            quant=dataclasses.replace(layer.quant, dtype="uint16", range=(-10.0, 10.0)),
        )
        found = diff_runs(run, changed(run, a=other)).layers[layer.index]
        assert found.settings[:2] == (
            "activations uint8 → uint16",
            "weights int8 per tensor → int8 per channel",
        )
        assert "times as wide" in found.settings[2]

    def test_renamed_layers_keep_both_names(self, run: Run) -> None:
        diff = diff_runs(run, renamed(run, "n{}"))
        assert diff.layers[3].name == "n3"
        assert diff.layers[3].old_name == run.layers[3].name
        assert diff.exit_code == 0

    def test_runs_that_cannot_be_compared_number_by_number_say_so(self, run: Run) -> None:
        quant = dataclasses.replace(run.preprocess.quant, spec="stretch 320")
        other = dataclasses.replace(
            synthetic_run(80, samples=3),
            preprocess=dataclasses.replace(run.preprocess, quant=quant),
            tool=dataclasses.replace(run.tool, onnxruntime="1.0"),
        )
        caveats = " / ".join(diff_runs(run, other).caveats)
        assert "share 2 of 2 and 3 samples" in caveats
        assert "now stretch 320" in caveats
        assert "onnxruntime 1.20.0, now 1.0" in caveats

    @pytest.mark.slow
    def test_five_thousand_renamed_layers_match(self) -> None:
        large = synthetic_run(5000, samples=1)
        other = renamed(large, "n{}")
        fewer = dataclasses.replace(other, layers=other.layers[:2000] + other.layers[2003:])
        matches = match_layers(large.layers, fewer.layers)
        assert sum(m.new is None for m in matches) == 3


def test_the_worst_channel_and_the_task_are_told() -> None:
    old, new = synthetic_run(24), synthetic_run(24)
    channel = dataclasses.replace(new.outputs[0], worst_channel=WorstChannel(4, 0.0))
    task = TaskResult("detection", "", {"f1": 0.5, "kept": 3, "deployed_f1": 0.4}, ())
    other = dataclasses.replace(task, numbers={"f1": 0.9, "kept": 3, "deployed_f1": 0.9})
    diff = diff_runs(
        dataclasses.replace(old, task=task, outputs=(channel, *old.outputs[1:])),
        dataclasses.replace(new, task=other),
    )
    assert diff.task == (TaskDiff("f1", 0.5, 0.9), TaskDiff("kept", 3, 3))
    assert diff.outputs[0].worst_channel.old == 0.0
    assert diff.exit_code == 0
    kinds = dataclasses.replace(other, kind="classification")
    assert diff_runs(old, dataclasses.replace(new, task=kinds)).task == ()


def test_what_regressed_and_what_was_gravest_comes_first() -> None:
    base = synthetic_run(12)

    def with_statuses(**statuses: FindingStatus) -> Run:
        made = [
            dataclasses.replace(base.findings[0], id=name, slug=name, status=status)
            for name, status in statuses.items()
        ]
        return dataclasses.replace(base, findings=tuple(made))

    diff = diff_runs(
        with_statuses(QD507="pass", QD301="fail", QD302="pass"),
        with_statuses(QD507="info", QD301="pass", QD302="fail"),
    )
    assert [item.id for item in diff.findings] == ["QD302", "QD301", "QD507"]


class TestBoard:
    """A new build changes nothing but the board."""

    def test_a_layer_that_got_worse_there_has_regressed(self, run: Run) -> None:
        diff = diff_runs(with_board(run, at=9), with_board(run, at=5))
        (layer,) = (x for x in diff.layers if x.regressed)
        assert layer.new == 5
        assert layer.board == Levels(40.0, BOARD_DB)
        assert layer.change == "worse"
        assert next(x for x in diff.layers if x.new == 9).change == "better"
        assert diff.caveats == ()
        assert diff.exit_code == 1

    def test_one_that_was_not_dumped_says_nothing(self, run: Run) -> None:
        diff = diff_runs(with_board(run), with_board(run))
        assert diff.exit_code == 0
        lacking = next(x for x in diff.layers if x.new == 6)
        assert lacking.board == Levels(None, None)
        assert {x.change for x in diff.layers if x.new != 6} <= {"same", "unknown"}

    def test_only_one_run_has_a_board(self, run: Run) -> None:
        assert diff_runs(run, with_board(run)).caveats == ("only the new run has a board",)
        assert diff_runs(with_board(run), run).caveats == ("only the old run has a board",)
        other = with_board(run)
        assert other.board is not None
        other = dataclasses.replace(other, board=dataclasses.replace(other.board, title="RKNN"))
        (told,) = diff_runs(with_board(run), other).caveats
        assert told == "the dumps are of two kinds: TPU-MLIR npz; now RKNN"

    def test_without_one_nothing_is_said(self, run: Run) -> None:
        diff = diff_runs(run, run)
        assert {layer.board for layer in diff.layers} == {Levels(None, None)}
