"""The assertions for other repositories' tests."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from qdebug.errors import QdebugError
from qdebug.reporters.archive import zip as zip_reporter
from qdebug.run.diff import DiffLimits
from qdebug.run.model import Run
from qdebug.testing import assert_layers_close, assert_no_regression
from tests.support import synthetic_run


@pytest.fixture(scope="module")
def faulty() -> Run:
    return synthetic_run(60, samples=2)


@pytest.fixture(scope="module")
def sound() -> Run:
    return synthetic_run(60, samples=2, sound=True)


class TestLayersClose:
    def test_a_sound_run_passes_and_is_returned(self, sound: Run) -> None:
        assert assert_layers_close(sound) is sound

    def test_a_stored_run(self, sound: Run, tmp_path: Path) -> None:
        path = zip_reporter.write(sound, tmp_path / "net.zip")
        assert assert_layers_close(path).layers == assert_layers_close(str(path)).layers

    def test_failing_layers_are_named_worst_first(self, faulty: Run) -> None:
        with pytest.raises(AssertionError) as caught:
            assert_layers_close(faulty)
        lines = str(caught.value).splitlines()
        assert lines[0].endswith("of 60 layers are too far")
        assert {line.split()[2].rstrip(":") for line in lines[1:4]} == {
            "zero_quant", "zero_float", "nonfinite",
        }  # fmt: skip
        assert "#59 /model.8/Concat_5: accumulated SQNR" in lines[4]
        assert "limit 20 dB" in lines[4]
        assert len(lines) <= 12

    def test_a_filter_chooses_the_layers(self, faulty: Run) -> None:
        assert_layers_close(faulty, where="index<20 state:ok")
        with pytest.raises(AssertionError, match="1 of 1 layers"):
            assert_layers_close(faulty, where="index=59")

    def test_a_filter_that_selects_nothing_is_no_success(self, sound: Run) -> None:
        with pytest.raises(AssertionError, match="selects none"):
            assert_layers_close(sound, where="op:Nothing")
        with pytest.raises(QdebugError):
            assert_layers_close(sound, where="nope:1")

    @pytest.mark.parametrize(
        ("limits", "passes"),
        [({"sqnr_db": None}, True), ({"cosine": 0.5}, True), ({"cosine": 0.99999}, False),
         ({"local_sqnr_db": 30.0}, True), ({"local_sqnr_db": 50.0}, False),
         ({"sqnr_db": 40.0}, False)],
    )  # fmt: skip
    def test_limits(self, sound: Run, limits: dict[str, Any], passes: bool) -> None:
        if passes:
            assert_layers_close(sound, **limits)
        else:
            with pytest.raises(AssertionError, match="limit"):
                assert_layers_close(sound, **limits)

    def test_what_was_not_measured_fails_a_limit_on_it(self) -> None:
        run = synthetic_run(5, samples=1, sound=True, local=False)
        with pytest.raises(AssertionError, match="local SQNR not measured"):
            assert_layers_close(run, local_sqnr_db=20)

    def test_layers_without_a_verdict_are_not_judged(self, sound: Run) -> None:
        quiet = dataclasses.replace(sound.layers[5], state="low_signal")
        run = dataclasses.replace(sound, layers=(quiet,))
        assert_layers_close(run, sqnr_db=200)


class TestNoRegression:
    def test_a_run_against_itself(self, faulty: Run) -> None:
        assert_no_regression(faulty, faulty)

    def test_what_regressed_is_named(self, faulty: Run, sound: Run) -> None:
        with pytest.raises(AssertionError) as caught:
            assert_no_regression(faulty, baseline=sound)
        text = str(caught.value)
        assert re_first(text).endswith("regressions")
        assert "output output0: accumulated SQNR" in text
        assert_no_regression(sound, baseline=faulty)

    def test_limits(self, faulty: Run, sound: Run) -> None:
        lax = DiffLimits(layer_db=1e9, output_db=1e9, floor_db=-1e9)
        with pytest.raises(AssertionError, match="finding QD301 mixed-range"):
            assert_no_regression(faulty, sound, lax)


def re_first(text: str) -> str:
    return text.splitlines()[0]
