"""Two faults at once: the larger first, and the one that it hides as well."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import onnx
import pytest

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
from tests.support.planting.ranges import rescale_input

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


def test_a_layer_that_a_range_names_beside_its_first_is_not_known_for_another_fault() -> None:
    ranges = KINDS["activation-clipping"].found("fail", "", "", layers=(1, 2, 3))
    context = check_context()
    for slug in ("operator-mismatch", "weight-mismatch"):
        at_first, behind = (KINDS[slug].found("fail", "", "", layers=(at,)) for at in (1, 3))
        assert _is_known(context, at_first, [ranges])
        assert not _is_known(context, behind, [ranges])
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
