"""Runs that begin late, or at what another change left, against runs of the whole graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from qdebug.analysis.what_if import Change, Outcome, WhatIf
from qdebug.analysis.what_if import simulation as simulation_module
from qdebug.analysis.what_if.building import Built, Span
from qdebug.analysis.what_if.tails import Tail, Tails
from qdebug.capture.once import Once
from qdebug.graph.expand import expand
from qdebug.graph.load import load_graph
from qdebug.graph.pairing import pair_graphs
from tests.support.pairs_of_models import LoadedPair, what_if
from tests.support.planting.families.subjects import random_subject
from tests.support.random_nets import random_net
from tests.support.unusual_nets import unusual_net

MEMORY = 1 << 30
SEEDS = range(8)
PAIRS = 6
"""Pairs of changes that are tried on each network."""


def _with_a_body(model: onnx.ModelProto, inside: str) -> onnx.ModelProto:
    """The last output goes through an ``If`` whose bodies read it and a tensor from far before."""
    graph, made = model.graph, model.graph.output[-1].name
    for node in graph.node:
        for slot, name in enumerate(node.output):
            node.output[slot] = "before/if" if name == made else name
        for slot, name in enumerate(node.input):
            node.input[slot] = "before/if" if name == made else name
    first = graph.input[0].name
    peak = helper.make_node("ReduceMax", [first], ["if/peak"], keepdims=0)
    graph.initializer.append(helper.make_tensor("if/limit", TensorProto.FLOAT, [], [0.0]))
    condition = helper.make_node("Greater", ["if/peak", "if/limit"], ["if/condition"])
    mean = helper.make_node("ReduceMean", [inside], ["if/mean"], keepdims=0)
    added = helper.make_node("Add", ["before/if", "if/mean"], ["if/then"])
    passed = helper.make_node("Identity", ["before/if"], ["if/else"])
    branches = {
        f"{slot}_branch": helper.make_graph(
            nodes, slot, [], [onnx.ValueInfoProto(name=f"if/{slot}")]
        )
        for slot, nodes in (("then", [mean, added]), ("else", [passed]))
    }
    chosen = helper.make_node("If", ["if/condition"], [made], **branches)
    graph.node.extend([peak, condition, chosen])
    return model


class _Case:
    """A network with its twin, and its runs: from the start, and from where they may begin."""

    def __init__(self, seed: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rng = np.random.default_rng(seed)
        subject = random_subject(self.rng, random_net if seed % 2 else unusual_net)
        models = [onnx.ModelProto(), onnx.ModelProto()]
        for copy, model in zip(models, (subject.float_model, subject.quant_model), strict=True):
            copy.CopyFrom(model)
        if seed % 4 == 1:
            made = {name for node in models[1].graph.node for name in node.output}
            floats = [n.output[0] for n in models[0].graph.node[:-1]]
            inside = next(name for name in floats if f"{name}_DequantizeLinear_Output" in made)
            twin = f"{inside}_DequantizeLinear_Output"
            models = [_with_a_body(models[0], inside), _with_a_body(models[1], twin)]
        files = [folder / "float.onnx", folder / "quant.onnx"]
        for model, file in zip(models, files, strict=True):
            onnx.save(model, str(file))
        self.feeds = subject.feeds
        self.float_graph, quant_graph = map(load_graph, files)
        expansion = expand(quant_graph)
        paired = pair_graphs(self.float_graph, quant_graph, None)
        self.quant_graph, self.pairing = expansion.graph, expansion.pairing(paired)
        monkeypatch.setattr(simulation_module, "KEPT_SHARE", MEMORY)
        self.whole = self._runs()
        assert not self.whole.simulation.kept_names
        budget = int(self.rng.choice([20_000, 100_000, 1 << 28]))
        monkeypatch.setattr(simulation_module, "KEPT_SHARE", MEMORY // budget)
        self.begun = self._runs()

    def _runs(self) -> WhatIf:
        pair = LoadedPair(self.float_graph, self.quant_graph, self.pairing, list(self.feeds))
        runs = what_if(pair, max_memory=MEMORY)
        _ = runs.simulation.kept_names
        return runs

    def change(self, places: range) -> Change:
        """One or two things done otherwise at some of the pairs."""
        made = Change()
        for _ in range(int(self.rng.integers(1, 3))):
            at = int(self.rng.choice(places))
            pair = self.pairing.pairs[at]
            place, ways = frozenset({at}), [Change(given=frozenset({at}))]
            ways += [Change(computed=place), Change(free=place)]
            others = [p.quantizer for p in self.pairing.pairs if p.quantizer is not None]
            if pair.quantizer is not None and self.begun.can_free(at):
                ways.append(Change(quantizers={at: others[int(self.rng.integers(len(others)))]}))
            maker = self.float_graph.producer.get(pair.float_tensor)
            if maker is not None:
                ways.append(Change(weights=frozenset({maker.index})))
            made = ways[int(self.rng.integers(len(ways)))].on_top_of(made)
        return made


def _sums(outcome: Outcome | None) -> Any:
    """All that was measured; None where the change cannot be made."""
    if outcome is None:
        return None
    return [{n: m.table.tolist() for n, m in parts.items()} for parts in outcome.samples]


@pytest.fixture
def composed(monkeypatch: pytest.MonkeyPatch) -> list[Change]:
    """Changes that were run in two parts."""
    found: list[Change] = []
    real = Tails.composed

    def noted(self: Tails, change: Change, number: int) -> Any:
        made = real(self, change, number)
        if made is not None:
            found.append(change)
        return made

    monkeypatch.setattr(Tails, "composed", noted)
    return found


def test_whatever_the_network_and_the_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, composed: list[Change]
) -> None:
    """To the last bit: changes alone, and late ones on top of any others."""
    for seed in SEEDS:
        folder = tmp_path / str(seed)
        folder.mkdir()
        with monkeypatch.context() as patch:
            case = _Case(seed, folder, patch)
            count = len(case.pairing.pairs)
            for _ in range(PAIRS):
                late = case.change(range(count * 2 // 3, count))
                other = case.change(range(count))
                case.begun.expect(late)
                for change in (other, late, late.on_top_of(other)):
                    expected = _sums(case.whole.outcome(change))
                    assert _sums(case.begun.outcome(change)) == expected, (seed, change)
            for runs in (case.begun, case.whole):
                runs.forget()
    assert len(set(map(str, composed))) > len(SEEDS)


def _span(**tensors: str) -> Span:
    names = ("begins", "reads", "needs", "replaced", "changed")
    return Span(**{name: frozenset(tensors.get(name, "")) for name in names})


@pytest.mark.parametrize(
    ("earlier", "needed"),
    [
        ({"changed": "abx"}, {"a", "b"}),
        ({"changed": "x"}, set()),
        ({"changed": "a", "replaced": "x"}, {"a"}),
        ({"changed": "a", "replaced": "r"}, None),  # the late part would read what is replaced
        ({"changed": "a", "needs": "c"}, None),  # it is made of what the late part changes
    ],
)
def test_changes_that_touch_each_other_are_not_run_one_after_the_other(
    earlier: dict[str, str], needed: set[str] | None
) -> None:
    span = _span(begins="ab", reads="abr", replaced="r", changed="cr")
    opened: Once[Any] = Once(lambda: None)
    tail = Tail(Built(Change(), 3, {}, span, ()), opened)
    assert tail.before(_span(**earlier)) == needed
