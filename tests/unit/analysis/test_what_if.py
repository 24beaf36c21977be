"""Changed quant graphs, against what direct runs say."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from qdebug.analysis.what_if import Change, Part, WhatIf
from qdebug.capture.session import SessionSettings
from tests.support.pairs_of_models import LoadedPair, detector
from tests.support.running import direct_sqnr, run_tensors


@pytest.fixture(scope="module")
def pair() -> LoadedPair:
    return detector("int8_naive")


def what_if(pair: LoadedPair, **options: Any) -> WhatIf:
    return WhatIf(
        (pair.float_graph, pair.quant_graph),
        pair.pairing,
        dict(zip(pair.float_graph.outputs, pair.quant_graph.outputs, strict=True)),
        lambda number: (pair.feeds[number], pair.feeds[number]),
        len(pair.feeds),
        (SessionSettings(threads=2), SessionSettings(threads=2)),
        **options,
    )


def last_layers(runs: WhatIf, pair: LoadedPair, count: int) -> list[Change]:
    free = [at for at in range(len(pair.pairing.pairs)) if runs.can_free(at)]
    return [Change(frozenset({at})) for at in free[-count:]]


def output_db(runs: WhatIf, pair: LoadedPair, change: Change) -> float:
    (name,) = pair.float_graph.outputs
    outcome = runs.outcome(change)
    assert outcome is not None
    return outcome.sqnr_db(Part(name))


def direct_db(pair: LoadedPair, quant: onnx.ModelProto) -> float:
    (f,) = run_tensors(pair.float_graph.path, pair.feeds[0], pair.float_graph.outputs).values()
    (q,) = run_tensors(quant, pair.feeds[0], pair.quant_graph.outputs).values()
    return direct_sqnr(f, q)


def test_no_change_is_the_quant_model(pair: LoadedPair) -> None:
    expected = direct_db(pair, onnx.load(str(pair.quant_graph.path)))
    assert output_db(what_if(pair), pair, Change()) == pytest.approx(expected, abs=0.01)


def test_a_freed_tensor_is_read_before_its_quantizer(pair: LoadedPair) -> None:
    runs = what_if(pair)
    (change,) = last_layers(runs, pair, 1)
    (at,) = change.free
    quant = onnx.load(str(pair.quant_graph.path))
    for node in quant.graph.node:
        for slot, name in enumerate(node.input):
            if name == pair.pairing.pairs[at].read:
                node.input[slot] = pair.pairing.pairs[at].raw
    expected = direct_db(pair, quant)
    assert output_db(runs, pair, change) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("memory", [1 << 20, 1 << 30])
def test_side_by_side_is_one_by_one(pair: LoadedPair, memory: int) -> None:
    together, alone = what_if(pair, max_memory=memory), what_if(pair)
    changes = last_layers(alone, pair, 3)
    together.run_ahead(changes)
    for change in changes:
        assert output_db(together, pair, change) == output_db(alone, pair, change)


def test_what_was_run_ahead_is_not_run_again(
    pair: LoadedPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = what_if(pair)
    changes = last_layers(runs, pair, 2)
    runs.run_ahead(changes)
    monkeypatch.setattr(runs, "_run", None)
    assert all(runs.outcome(change) is not None for change in changes)


def test_the_float_value_in_place_of_a_layer_s_result(pair: LoadedPair) -> None:
    runs = what_if(pair)
    (name,) = pair.float_graph.outputs
    at = next(i for i, p in enumerate(pair.pairing.pairs) if p.float_tensor == name)
    given = output_db(runs, pair, Change(given=frozenset({at})))
    # what is left is the output's own quantizer
    quantizer = pair.pairing.pairs[at].quantizer
    assert quantizer is not None
    reference = run_tensors(pair.float_graph.path, pair.feeds[0], [name])[name]
    steps = reference / float(quantizer.scale) + int(quantizer.zero_point)
    codes = np.clip(np.rint(steps), quantizer.low, quantizer.high)
    rounded = (codes - int(quantizer.zero_point)) * float(quantizer.scale)
    assert given == pytest.approx(direct_sqnr(reference, rounded), abs=0.1)
    assert given > output_db(runs, pair, Change())
