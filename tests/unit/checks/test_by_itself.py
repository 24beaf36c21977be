"""Of two faults the larger comes first: the one that costs more where the other is not there."""

from __future__ import annotations

import functools
import re

import numpy as np
import onnx
import pytest

from qdebug.run.model import Finding, Run
from tests.support.checked import net_run
from tests.support.editor import Editor
from tests.support.nets import NetBuilder, sample_inputs
from tests.support.planting.families.family import Subject
from tests.support.planting.families.loss import loss_db
from tests.support.planting.families.subjects import random_quantizer
from tests.support.planting.planted import parts

TRUNK, BRANCH = "/Conv_1", "/Conv_3"
ALONE = re.compile(r"With the other faults undone, this one costs ([0-9.]+) dB")


@functools.cache
def two_outputs() -> Subject:
    """A trunk of two Convs, and two heads: a fault in the trunk ruins both outputs."""
    b = NetBuilder(11)
    x = b.input("image", [1, 3, 24, 24])
    for cin in (3, 8):
        x = str(b.op("Relu", b.conv(x, cin, 8)))
    heads = [b.conv(x, 8, 4, 1), b.conv(x, 8, 4, 1)]
    float_model = b.model(*heads)
    feeds = tuple(sample_inputs(float_model, 4, 11))
    quantize = random_quantizer(np.random.default_rng(0), feeds)
    return Subject("two outputs", float_model, quantize(float_model), feeds, quantize)


def with_faults(trunk: float, branch: float) -> onnx.ModelProto:
    """Shares of the bias that are lost at a Conv of the trunk, and of one head."""
    editor = Editor(two_outputs().quant_model)
    for label, share in ((TRUNK, trunk), (BRANCH, branch)):
        (node,) = [n for n in editor.graph.node if n.name == label]
        _, (_, weight, bias) = parts(editor, node.output[0])
        dq = bias if label == TRUNK else weight
        if share:
            name = editor.own(dq, 0)
            editor.set(name, np.roll(editor.value(name), int(share), axis=0))
    return editor.model


@functools.cache
def run_of(trunk: float, branch: float) -> Run:
    pair = two_outputs()
    return net_run(pair.float_model, with_faults(trunk, branch), *pair.feeds)


def named(run: Run) -> list[Finding]:
    return [f for f in run.findings if f.slug == "weight-mismatch" and f.status in ("fail", "warn")]


def test_the_larger_by_itself_is_first_though_the_other_hides_it() -> None:
    trunk, branch = (loss_db(two_outputs(), with_faults(*f)) for f in ((1, 0), (0, 1)))
    assert branch > trunk + 3  # what the test is about
    run = run_of(1, 1)
    first, second = named(run)
    assert (first.title.split(":")[0], second.title.split(":")[0]) == (BRANCH, TRUNK)
    assert first.status == second.status == "fail"
    assert first.gain_db is not None
    assert first is run.findings[0]


def test_what_a_fault_costs_by_itself_is_told_where_its_gain_hides_it() -> None:
    told = {f.title.split(":")[0]: ALONE.search(f.seen) for f in named(run_of(1, 1))}
    costs = {label: float(found[1]) for label, found in told.items() if found}
    for label, cost in costs.items():
        alone = loss_db(two_outputs(), with_faults(*((1, 0) if label == TRUNK else (0, 1))))
        assert cost == pytest.approx(alone, abs=1.0)
    assert costs


@pytest.mark.parametrize("fault", [(1, 0), (0, 1)])
def test_one_fault_costs_its_gain(fault: tuple[int, int]) -> None:
    (found,) = named(run_of(*fault))
    assert not ALONE.search(found.seen)


def test_a_sound_pair_has_neither() -> None:
    assert not named(run_of(0, 0))
