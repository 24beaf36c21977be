"""Grouped convolutions that a converter spells out as whole ones, soundly and not."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from qdebug.graph.pairing.weights import spelled_out
from qdebug.run.model import Run
from tests.support.checked import causes, finding, layer_names, net_run
from tests.support.editor import Editor
from tests.support.nets import NetBuilder, sample_inputs
from tests.support.planting.families.family import Subject
from tests.support.planting.families.strides import _dense
from tests.support.planting.families.subjects import random_quantizer


@functools.cache
def grouped(group: int) -> Subject:
    b = NetBuilder(7)
    x = b.op("Relu", b.conv(b.input("image", [1, 3, 24, 24]), 3, 8))
    x = b.op("Relu", b.conv(x, 8, 16, group=group))
    float_model = b.model(b.conv(x, 16, 4, 1))
    feeds = tuple(sample_inputs(float_model, 4, 7))
    quantize = random_quantizer(np.random.default_rng(0), feeds)
    return Subject("grouped", float_model, quantize(float_model), feeds, quantize)


@functools.cache
def run_of(group: int, shift: int) -> Run:
    """The Conv of groups as a whole one; ``shift`` groups on is what each of them reads."""
    pair = grouped(group)
    assert pair.quantize is not None
    editor = Editor(pair.float_model)
    (node,) = [n for n in editor.graph.node if n.name == "/Conv_1"]
    _dense(editor, node, shift)
    del editor.model.graph.value_info[:]
    return net_run(pair.float_model, pair.quantize(editor.model), *pair.feeds)


@pytest.mark.parametrize("group", [8, 4, 2])
def test_groups_that_read_each_others_channels(group: int) -> None:
    run = run_of(group, 1)
    found = run.findings[0]
    assert (found.slug, found.status) == ("operator-mismatch", "fail")
    assert f"its {group} groups are spelled out as 1" in found.title
    assert layer_names(run, found)[0] in ("/Conv_1", "/Relu_1")
    assert found.gain_db is not None
    assert found.gain_db > 10
    assert causes(run, "fail") == {"operator-mismatch"}


@pytest.mark.parametrize("group", [8, 4, 2])
def test_groups_spelled_out_soundly_are_compared_like_any_weight(group: int) -> None:
    run = run_of(group, 0)
    assert not causes(run, "fail", "warn")
    passed = finding(run, "weight-mismatch")
    assert passed.status == "pass"
    assert "3 of 3 weights and 3 of 3 biases were compared." in passed.seen


def test_spelled_out_groups_compute_the_same() -> None:
    rng = np.random.default_rng(1)
    weight = rng.normal(size=(12, 2, 1, 1)).astype(np.float32)  # six groups of two channels
    x = rng.normal(size=12)
    for times in (1, 2, 3, 6):
        whole = spelled_out(weight, 6, times)
        assert whole.shape == (12, 2 * times, 1, 1)
        wide, groups = whole.shape[1], 6 // times
        made = [
            whole[row, :, 0, 0] @ x[(group := row // (12 // groups)) * wide : (group + 1) * wide]
            for row in range(12)
        ]
        plain = [weight[row, :, 0, 0] @ x[row // 2 * 2 : row // 2 * 2 + 2] for row in range(12)]
        np.testing.assert_allclose(made, plain, rtol=1e-6)
