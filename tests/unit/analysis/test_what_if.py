"""Changed quant graphs, against what direct runs say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from qdebug.analysis.what_if import Change, Part, WhatIf
from qdebug.analysis.what_if import simulation as simulation_module
from qdebug.analysis.what_if.changes import Alone
from qdebug.analysis.what_if.simulation import Simulation
from qdebug.errors import ModelError
from qdebug.graph.pairs import Quantizer
from qdebug.graph.rewrite import PartBuilder
from tests.support.flavours.quantizers import Desk, float16, static
from tests.support.nets import Array, conv_net, sample_inputs, twin_net
from tests.support.pairs_of_models import LoadedPair, detector, load_pair, what_if
from tests.support.running import direct_sqnr, run_tensors


@pytest.fixture(scope="module")
def pair() -> LoadedPair:
    return detector("int8_naive")


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


def written(
    folder: Path, model: onnx.ModelProto, quant: onnx.ModelProto, feeds: list[dict[str, Array]]
) -> LoadedPair:
    onnx.save(model, folder / "float.onnx")
    onnx.save(quant, folder / "quant.onnx")
    return load_pair(folder / "float.onnx", folder / "quant.onnx", feeds)


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


def test_what_is_kept_changes_no_number(pair: LoadedPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that begin at kept tensors against runs of the whole graph: every kind of change."""
    short, whole = what_if(pair), what_if(pair)
    assert short.simulation.kept_names
    monkeypatch.setattr(simulation_module, "KEPT_SHARE", 1 << 40)
    assert not whole.simulation.kept_names
    free = [at for at in range(len(pair.pairing.pairs)) if short.can_free(at)]
    nodes = [weight.node for weight in pair.pairing.weights]
    chosen = free[:: len(free) // 4]
    changes = [Change(), Change(weights=frozenset(nodes[-2:]))]
    for at in chosen:
        place = frozenset({at})
        changes += [Change(free=place), Change(given=place), Change(computed=place)]
    changes.append(Change(free=frozenset(chosen[:2]), weights=frozenset(nodes[-1:])))
    changes.append(changes[-1].on_top_of(Change(given=frozenset({chosen[-1]}))))
    possible = [change for change in changes if whole.outcome(change) is not None]
    assert len(possible) >= len(changes) - 2  # the input has no float layer
    for change in possible:
        expected = output_db(whole, pair, change)
        assert output_db(short, pair, change) == pytest.approx(expected, abs=1e-6)


def test_a_change_near_the_end_runs_little(
    pair: LoadedPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []
    build = PartBuilder.build

    def counted(builder: PartBuilder) -> onnx.ModelProto:
        model = build(builder)
        ran.append(len(model.graph.node))
        return model

    runs = what_if(pair)
    runs.outcome(Change())  # what is kept is kept now
    monkeypatch.setattr(PartBuilder, "build", counted)
    for change in last_layers(runs, pair, 2):
        runs.outcome(change)
    assert max(ran) < len(pair.quant_graph.nodes) / 5


def test_what_was_run_ahead_is_not_run_again(
    pair: LoadedPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = what_if(pair)
    changes = last_layers(runs, pair, 2)
    runs.run_ahead(changes)
    monkeypatch.setattr(Simulation, "runner", None)
    assert all(runs.outcome(change) is not None for change in changes)


def first_layers(runs: WhatIf, pair: LoadedPair, count: int) -> list[Change]:
    """Early layers in float, one by one, with their weights: each reaches nearly all nodes."""
    layers = [
        Change(frozenset({at}), frozenset({maker.index}))
        for at, p in enumerate(pair.pairing.pairs)
        if (maker := pair.float_graph.producer.get(p.float_tensor)) is not None
        and runs.can_free(at)
    ]
    return layers[:count]


def test_changes_in_one_session_are_those_in_sessions_of_their_own(
    pair: LoadedPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last bit, and any part of what the session can do."""
    together, alone = what_if(pair), what_if(pair)
    early = first_layers(alone, pair, 3)
    (late,) = last_layers(alone, pair, 1)
    both = early[0].on_top_of(early[2])
    opened: list[Change] = []
    real = Simulation._open

    def counted(runs: Simulation, change: Change, **options: Any) -> Any:
        opened.append(change)
        return real(runs, change, **options)

    monkeypatch.setattr(Simulation, "_open", counted)
    together.begin([*early, late], count=1)
    found = [output_db(together, pair, change) for change in (*early, both, late)]
    whole = early[0].on_top_of(early[1]).on_top_of(early[2])
    assert [c.key for c in opened if c != late] == [whole.key]
    assert [output_db(alone, pair, change) for change in (*early, both, late)] == found
    assert len(set(found)) == len(found)
    together.forget()


def test_changes_that_reach_alike_share_sessions_of_their_own(
    pair: LoadedPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Early ones with early ones, late ones with late ones; to the last bit as run alone."""
    together, alone = what_if(pair), what_if(pair)
    reached = alone.replacements.reached
    early = first_layers(alone, pair, 2)
    late = next(
        both
        for both in pairwise(last_layers(alone, pair, 80))
        if reached(early[0]) / 2 > reached(both[0]) and reached(both[1]) > reached(both[0]) * 0.9
    )
    changes = [early[0], late[0], early[1], late[1]]
    opened: list[Hashable] = []
    real = Simulation._open

    def counted(runs: Simulation, change: Change, **options: Any) -> Any:
        opened.append(change.key)
        return real(runs, change, **options)

    monkeypatch.setattr(Simulation, "_open", counted)
    together.begin(changes)
    found = [output_db(together, pair, change) for change in changes]
    assert Counter(opened) == Counter(a.on_top_of(b).key for a, b in (early, late))
    assert [output_db(alone, pair, change) for change in changes] == found
    assert len(set(found)) == len(found)
    together.forget()


def test_layers_that_share_a_weight(tmp_path: Path) -> None:
    """It is put in with either of them, with both, and where nothing reads what was put in."""
    model = twin_net()
    pair = written(tmp_path, model, static()(model, Desk(tmp_path)), sample_inputs(model))
    together, alone = what_if(pair), what_if(pair)
    tensors = [weight.quant_tensor for weight in pair.pairing.weights]
    first, second = (
        Change(weights=frozenset({weight.node}))
        for weight in pair.pairing.weights
        if tensors.count(weight.quant_tensor) == 2
    )
    both = first.on_top_of(second)
    together.begin([first, second])
    (shared,) = together.simulation._switched
    assert shared.opened is not None
    part = Part(pair.float_graph.outputs[0])
    for change in (first, second, both):
        found, expected = together.outcome(change), alone.outcome(change)
        assert found is not None
        assert expected is not None
        assert found.sqnr_db(part) == expected.sqnr_db(part)
    end = [p.float_tensor for p in pair.pairing.pairs].index(part.output)
    given = Change(given=frozenset({end}))
    last, more = alone.outcome(given), alone.outcome(given.on_top_of(both))
    assert last is not None
    assert more is not None
    assert last.sqnr_db(part) == more.sqnr_db(part)
    together.forget()


def test_what_cannot_be_opened_with_switches_is_opened_without(
    pair: LoadedPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, alone = what_if(pair), what_if(pair)
    changes = first_layers(alone, pair, 2)
    real = Simulation._open

    def refused(runs: Simulation, change: Change, **options: Any) -> Any:
        if options.get("switched"):
            raise ModelError("no switches")
        return real(runs, change, **options)

    monkeypatch.setattr(Simulation, "_open", refused)
    runs.begin(changes)
    for change in changes:
        assert output_db(runs, pair, change) == output_db(alone, pair, change)
    runs.forget()


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


def test_the_float_models_operator_undoes_another_one(pair: LoadedPair, tmp_path: Path) -> None:
    """The nodes of the float graph, on the twin's own tensors, in place of a Conv with other pads.

    They give what the sound twin's give, but for the weights, which are float.
    """
    model = onnx.load(str(pair.quant_graph.path))
    conv = [n for n in model.graph.node if n.op_type == "Conv" and n.name][8]
    pads = next(a for a in conv.attribute if a.name == "pads")
    pads.ints[:] = [0, 0, 2, 2]
    file = tmp_path / "quant.onnx"
    onnx.save(model, file)
    faulty = load_pair(pair.float_graph.path, file, pair.feeds)
    runs, sound = what_if(faulty), what_if(pair)
    maker = next(n for n in pair.float_graph.nodes if n.name == conv.name)
    at = next(
        i
        for i, p in enumerate(faulty.pairing.pairs)
        if pair.float_graph.producer.get(p.float_tensor) == maker
    )
    undone = Change(computed=frozenset({at}))
    assert runs.is_possible(undone)
    assert output_db(runs, faulty, Change()) < output_db(sound, pair, Change()) - 3
    expected = output_db(sound, pair, Change(weights=frozenset({maker.index})))
    assert output_db(runs, faulty, undone) == pytest.approx(expected, abs=1.5)
    assert maker.reads[0] in {faulty.pairing.pairs[i].float_tensor for i in runs.sources(at)}


def test_gains_on_top_of_a_change(pair: LoadedPair) -> None:
    runs = what_if(pair)
    first, second = last_layers(runs, pair, 2)
    (name,) = pair.float_graph.outputs
    above = runs.on_top_of(first)
    gain = above.gain(second, [Part(name)])
    assert gain is not None
    assert gain.before == output_db(runs, pair, first)
    assert gain.after == output_db(runs, pair, second.on_top_of(first))
    below = above.outcome(Change())
    assert below is not None
    assert below.sqnr_db(Part(name)) == gain.before


def test_a_change_on_top_has_its_way() -> None:
    own, other = (Quantizer("uint8", np.float32(s), np.int64(0), None, 0, 255) for s in (1.0, 2.0))
    below = Change(free=frozenset({1, 2}), quantizers={3: other, 4: other})
    above = Change(free=frozenset({3}), quantizers={1: own, 4: own})
    both = above.on_top_of(below)
    assert both.free == {2, 3}
    assert both.quantizers == {1: own, 4: own}
    assert not Change()
    assert both


@pytest.mark.parametrize(
    ("one", "other", "is_apart"),
    [
        (Change(computed=frozenset({1})), Change(free=frozenset({1})), True),
        (Change(weights=frozenset({1})), Change(free=frozenset({1})), True),
        (Change(free=frozenset({1, 2})), Change(free=frozenset({2})), False),
        (Change(given=frozenset({1})), Change(computed=frozenset({1})), False),
        (Change(weights=frozenset({1})), Change(weights=frozenset({1, 2})), False),
        (Change(computed=frozenset({1})), Change(weights=frozenset({4})), False),
    ],
)
def test_changes_of_one_layer_may_be_apart(one: Change, other: Change, is_apart: bool) -> None:
    assert one.is_apart_from(other) == other.is_apart_from(one) == is_apart


def test_a_gain_says_how_its_samples_differ(pair: LoadedPair) -> None:
    runs = what_if(pair)
    change = last_layers(runs, pair, 1)[0]
    gain = runs.gain(change)
    before, after = runs.outcome(Change()), runs.outcome(change)
    assert gain is not None and before is not None and after is not None
    assert gain.samples == len(runs.samples) == len(after.samples)
    alone = [
        after.sqnr_db(gain.part, at) - before.sqnr_db(gain.part, at) for at in range(gain.samples)
    ]
    if gain.samples > 1:
        assert gain.spread == pytest.approx(np.std(alone, ddof=1))
    else:
        assert gain.spread is None


def test_samples_that_a_change_was_run_on_are_not_run_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A first look at one sample, then at all: the first is taken from the look."""
    pair = detector("int8_naive", 3)
    runs, at_once = what_if(pair), what_if(pair)
    assert len(runs.samples) == 3
    changes = last_layers(runs, pair, 2)
    expected = [at_once.outcome(change) for change in changes]
    ran: list[int] = []
    one = Simulation._run_sample

    def counted(self: Simulation, number: int, *rest: Any) -> Any:
        ran.append(number)
        return one(self, number, *rest)

    monkeypatch.setattr(Simulation, "_run_sample", counted)
    runs.run_ahead(changes, count=1)
    assert ran == [0, 0]
    for change, outcome in zip(changes, expected, strict=True):
        found = runs.outcome(change)
        assert found is not None
        assert outcome is not None
        assert {n: m.table.tolist() for n, m in found.moments.items()} == {
            n: m.table.tolist() for n, m in outcome.moments.items()
        }
    assert sorted(ran) == sorted([*runs.samples] * 2)


def test_a_gain_is_hoped_for_on_the_samples_that_are_asked_for() -> None:
    """What a change leaves on others is no part of the error that it is held against."""
    pair = detector("int8_naive", 3)
    runs = what_if(pair)
    (change,) = last_layers(runs, pair, 1)
    expected = runs.gain(change, count=1)
    assert runs.outcome(change) is not None
    assert expected is not None
    assert runs.gain(change, count=1, matters=lambda gain: gain.db >= expected.db - 0.1) == expected
    runs.forget()


def test_known_outputs_of_the_float_model_are_not_run_for(
    pair: LoadedPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    (name,) = pair.float_graph.outputs
    session = Simulation._float_session.func(what_if(pair).simulation)  # type: ignore[attr-defined]
    references = {0: session.run(pair.feeds[0], [name])}
    runs = what_if(pair, references=references)
    monkeypatch.setattr(Simulation, "_float_session", None)
    (change,) = last_layers(runs, pair, 1)
    found = output_db(runs, pair, change)
    monkeypatch.undo()
    assert found == output_db(what_if(pair), pair, change)
    runs.forget()
    assert not references


def test_a_sample_that_cannot_be_run_leaves_what_others_gave(
    pair: LoadedPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = what_if(replace(pair, feeds=[*pair.feeds[:1], *pair.feeds[:1]]))
    (change,) = last_layers(runs, pair, 1)
    real = Simulation._run_sample

    def fails(self: Simulation, number: int, *given: Any) -> Alone:
        if number == 1:
            raise ValueError
        return real(self, number, *given)

    monkeypatch.setattr(Simulation, "_run_sample", fails)
    assert runs.outcome(change, count=2) is None
    alone = runs.outcome(change, count=1)
    assert alone is not None
    assert runs.outcome(change, count=2) is None
    monkeypatch.undo()
    expected = what_if(pair).outcome(change, count=1)
    assert expected is not None
    (name,) = pair.float_graph.outputs
    assert alone.sqnr_db(Part(name)) == expected.sqnr_db(Part(name))
    runs.forget()


def test_what_is_kept_of_a_float16_twin_changes_no_number(tmp_path: Path) -> None:
    """ONNX Runtime rounds to float16 where a run ends or begins, not between two nodes."""
    model, desk = conv_net(), Desk(tmp_path)
    quant = static(op_types_to_quantize=["Conv", "Gemm"])(model, desk)
    half = float16("QuantizeLinear", "DequantizeLinear")(quant, desk)
    pair = written(tmp_path, model, half, sample_inputs(model))
    short, whole = what_if(pair), what_if(pair, max_memory=0)
    assert short.simulation.kept_names
    assert not whole.simulation.kept_names
    part = Part(pair.float_graph.outputs[0])
    nodes = [weight.node for weight in pair.pairing.weights]
    for change in (Change(), Change(weights=frozenset(nodes[-2:]))):
        found, expected = short.outcome(change), whole.outcome(change)
        assert found is not None
        assert expected is not None
        assert found.sqnr_db(part) == pytest.approx(expected.sqnr_db(part), abs=1e-6)


def test_a_float_value_is_put_in_on_samples_of_other_shapes(tmp_path: Path) -> None:
    model = conv_net("batch")
    one, two = sample_inputs(model), sample_inputs(model, seed=1)
    feeds = [*one, {name: np.concatenate([one[0][name], two[0][name]]) for name in one[0]}]
    pair = written(tmp_path, model, static()(model, Desk(tmp_path)), feeds)
    runs = what_if(pair)
    for at in (3, len(pair.pairing.pairs) - 1):
        outcome = runs.outcome(Change(given=frozenset({at})))
        assert outcome is not None
        assert len(outcome.samples) == len(feeds)


def test_quantizers_of_many_channels_are_told_apart() -> None:
    """NumPy writes of a thousand numbers the first and the last ones only."""
    one = Quantizer("int8", np.ones(3000, np.float32), np.zeros(3000, np.int64), 1, -128, 127)
    coarser = replace(one, scale=np.array([1] * 1500 + [2] + [1] * 1499, np.float32))
    moved = replace(one, zero_point=np.array([0] * 1500 + [1] + [0] * 1499))
    alike = replace(one, scale=one.scale.copy())
    keys = [Change(quantizers={3: quantizer}).key for quantizer in (one, coarser, moved, alike)]
    assert len(set(keys[:3])) == 3
    assert keys[0] == keys[3]
