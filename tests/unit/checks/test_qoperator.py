"""Findings in QOperator graphs, with the gains that a QDQ graph would have."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from qdebug.run.model import Run
from tests.support.checked import causes, net_run
from tests.support.editor import Editor
from tests.support.planting.families.family import Subject, Truth, UnsuitableError
from tests.support.planting.families.loss import loss_db
from tests.support.planting.families.qoperator import KINDS, subject
from tests.support.planting.families.subjects import random_subject

COSTLY_DB = 6.0
SEEDS = (1, 3, 5, 7, 9, 11)


@functools.cache
def twin(seed: int) -> Subject | None:
    rng = np.random.default_rng(seed)
    try:
        return subject(random_subject(rng), rng)
    except UnsuitableError:
        return None


@functools.cache
def planted(kind: str) -> tuple[Subject, Run, Truth]:
    """A fault in the first twin that has a place where it costs something."""
    for seed in SEEDS:
        pair = twin(seed)
        for place in range(6):
            try:
                assert pair is not None
                editor = Editor(pair.quant_model)
                truth = KINDS[kind](editor, np.random.default_rng(place))
            except (UnsuitableError, AssertionError):
                continue
            if loss_db(pair, editor.model) > COSTLY_DB:
                run = net_run(pair.float_model, editor.model, *pair.feeds)
                return pair, run, truth
    raise AssertionError(f"no place for {kind}")


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_is_named_with_its_gain(kind: str) -> None:
    _, run, truth = planted(kind)
    assert run.models.quant.format in ("qoperator", "mixed")
    found = [f for f in run.findings if f.slug in truth.slugs and f.status in ("fail", "warn")]
    assert found
    assert found[0].gain_db is not None
    assert found[0].gain_db > 3
    assert causes(run, "fail") <= set(truth.slugs)


def test_a_dead_sigmoid_fails_with_a_gain() -> None:
    _, run, _ = planted("dead sigmoid")
    assert run.verdict.status == "fail"
    failed = [f for f in run.findings if f.status == "fail" and f.gain_db is not None]
    assert failed[0].slug in ("range-too-wide", "dead-output")
    assert failed[0].gain_db is not None
    assert failed[0].gain_db > 6


@pytest.mark.parametrize("seed", SEEDS)
def test_a_sound_twin_has_no_fault(seed: int) -> None:
    pair = twin(seed)
    if pair is None:
        pytest.skip("ONNX Runtime's quantizer breaks this network")
    run = net_run(pair.float_model, pair.quant_model, *pair.feeds)
    assert not causes(run, "fail")
