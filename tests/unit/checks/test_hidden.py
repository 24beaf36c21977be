"""Two faults at once: the larger first, and the one that it hides as well."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import onnx
import pytest

from qdebug.analysis.what_if.changes import Change
from qdebug.checks import hidden
from qdebug.checks.hidden import _is_known
from qdebug.run.kinds import KINDS
from qdebug.run.model import Finding, Run
from tests.support.checked import net_run
from tests.support.contexts import check_context
from tests.support.editor import Editor
from tests.support.nets import NetBuilder, sample_inputs
from tests.support.planting.families.family import Subject
from tests.support.planting.families.subjects import random_quantizer
from tests.support.planting.planted import parts
from tests.support.planting.ranges import last_range_cut, rescale_input

FAULTS = ("bias", "roll", "cut", "scale", "pads")
HIDDEN = "Hidden behind"


@functools.cache
def chain() -> Subject:
    """Five Convs, one after the other."""
    b = NetBuilder(5)
    x = b.input("image", [1, 3, 24, 24])
    for cin in (3, 8, 8, 8, 8):
        x = str(b.op("Relu", b.conv(x, cin, 8)))
    float_model = b.model(x)
    feeds = tuple(sample_inputs(float_model, 4, 5))
    quantize = random_quantizer(np.random.default_rng(0), feeds)
    return Subject("chain", float_model, quantize(float_model), feeds[:2], quantize)


def with_faults(faults: Sequence[tuple[str, int]]) -> onnx.ModelProto:
    """The chain's twin with faults, each at the Conv of a number."""
    pair = chain()
    model = pair.quant_model
    for fault, number in faults:
        editor = Editor(model)
        node = [n for n in editor.graph.node if n.op_type == "Conv"][number]
        _, (data, weight, bias) = parts(editor, node.output[0])
        if fault == "cut":
            model = rescale_input(editor, pair.float_model, node, 0.1, "").quant_model
            continue
        if fault == "bias":
            name = editor.own(bias, 0)
            editor.set(name, -editor.value(name))
        elif fault == "roll":
            name = editor.own(weight, 0)
            editor.set(name, np.roll(editor.value(name), 1, axis=0))
        elif fault == "scale":
            name = editor.own(data, 1)
            editor.set(name, editor.value(name) * np.float32(1.5))
        else:
            pads = next(a for a in node.attribute if a.name == "pads")
            pads.ints[:] = [0, 0, 2, 2]
        model = editor.model
    return model


@functools.cache
def run_of(*faults: tuple[str, int]) -> Run:
    pair = chain()
    return net_run(pair.float_model, with_faults(faults), *pair.feeds)


SLUGS = {
    "bias": "weight-mismatch",
    "roll": "weight-mismatch",
    "cut": "activation-clipping",
    "scale": "qdq-mismatch",
    "pads": "operator-mismatch",
}


def named(run: Run, fault: str, number: int) -> list[Finding]:
    """Failures and warnings of a fault at the layer of a Conv or before it."""
    places = {f"/Conv_{number}_output_0", f"/Relu_{number}_output_0"}
    places |= {f"/Relu_{number - 1}_output_0"} if fault in ("cut", "scale") else set()
    return [
        f
        for f in run.findings
        if f.slug == SLUGS[fault]
        and f.status in ("fail", "warn")
        and places & {run.layers[at].float_tensor for at in f.layers}
    ]


@pytest.mark.parametrize("second", FAULTS)
@pytest.mark.parametrize("first", FAULTS)
def test_both_of_two_faults_are_named(first: str, second: str) -> None:
    run = run_of((first, 1), (second, 3))
    assert named(run, first, 1)
    assert named(run, second, 3)


@pytest.mark.parametrize(
    ("first", "second"),
    [(("pads", 2), ("cut", 3)), (("pads", 2), ("scale", 3)), (("roll", 3), ("scale", 3))],
)
def test_two_faults_in_one_layer_are_both_named(
    first: tuple[str, int], second: tuple[str, int]
) -> None:
    run = run_of(first, second)
    assert named(run, *first)
    assert named(run, *second)
    hidden = [f for f in run.findings if HIDDEN in f.seen or "With the other faults" in f.seen]
    assert hidden  # what each of them costs is told


def test_two_faults_that_hide_each_other_are_no_remarks() -> None:
    """What a slope of 0.6 for 0.1 makes of negative values, the range cuts off."""
    b = NetBuilder(6)
    x = b.op("LeakyRelu", b.conv(b.input("image", [1, 3, 24, 24]), 3, 8), alpha=0.1)
    float_model = b.model(b.conv(x, 8, 8))
    feeds = tuple(sample_inputs(float_model, 4, 6))
    sound = random_quantizer(np.random.default_rng(0), feeds)(float_model)
    editor = Editor(last_range_cut(float_model, sound, 0.3))
    (leaky,) = [n for n in editor.graph.node if n.op_type == "LeakyRelu"]
    leaky.attribute[0].f = 0.6
    run = net_run(float_model, editor.model, *feeds[:2])
    bad = {f.slug for f in run.findings if f.status == "fail" and HIDDEN in f.seen}
    assert bad == {"operator-mismatch", "activation-clipping"}


def test_remarks_of_different_layers_cost_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    context = check_context()
    made = [KINDS["activation-clipping"].found("info", "", "", layers=(at,)) for at in (1, 2)]
    for finding in made:
        context.cured_by(finding, Change(free=frozenset(finding.layers)))
    asked: list[Finding] = []
    monkeypatch.setattr(hidden, "_is_certain", lambda _, finding: asked.append(finding))
    assert not hidden._hidden_by_each_other(context, (), made)
    assert not asked
    beside = KINDS["operator-mismatch"].found("info", "", "", layers=(1,))
    context.cured_by(beside, Change(given=frozenset({1})))
    assert not hidden._hidden_by_each_other(context, (), [*made, beside])
    assert asked == [made[0], beside]


def test_a_range_that_fits_what_a_wrong_operator_makes_is_no_fault_of_its_own() -> None:
    pair = chain()
    assert pair.quantize is not None
    editor = Editor(pair.float_model)
    node = [n for n in editor.graph.node if n.op_type == "Relu"][2]
    node.op_type = "Abs"
    run = net_run(pair.float_model, pair.quantize(editor.model), *pair.feeds)
    bad = [f.slug for f in run.findings if f.status in ("fail", "warn") and f.layers]
    assert set(bad) - {"task-effect", "output-error"} == {"operator-mismatch"}


def test_what_says_why_is_not_known_by_what_says_less() -> None:
    ranges = KINDS["activation-clipping"].found("fail", "", "", layers=(1, 2, 3))
    context = check_context()
    for slug in ("operator-mismatch", "weight-mismatch"):
        at_first, behind = (KINDS[slug].found("fail", "", "", layers=(at,)) for at in (1, 3))
        assert not _is_known(context, at_first, [ranges])
        assert not _is_known(context, behind, [ranges])
    less = KINDS["outlier-channel"].found("fail", "", "", layers=(1,))
    assert _is_known(context, less, [KINDS["weight-mismatch"].found("fail", "", "", layers=(1,))])
    again = KINDS["activation-clipping"].found("fail", "", "", layers=(3,))
    assert _is_known(context, again, [ranges])


@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_hides_none(fault: str) -> None:
    run = run_of((fault, 2))
    assert named(run, fault, 2)
    assert not [f for f in run.findings if HIDDEN in f.seen]
    slugs = {f.slug for f in run.findings if f.status == "fail"} - {"output-error", "task-effect"}
    assert slugs <= {SLUGS[fault]}


def test_what_is_hidden_says_so_and_what_it_wins() -> None:
    run = run_of(("pads", 1), ("cut", 3))
    (hidden,) = [f for f in run.findings if HIDDEN in f.seen]
    assert hidden.slug == SLUGS["cut"]
    assert hidden.gain_db is not None


def test_no_finding_is_told_twice() -> None:
    run = run_of(("roll", 1), ("scale", 3))
    told = [(f.slug, f.layers) for f in run.findings if f.layers]
    assert len(told) == len(set(told))
    slugs = [f.slug for f in run.findings if f.status == "pass"]
    assert not set(slugs) & {f.slug for f in run.findings if f.status in ("fail", "warn")}
