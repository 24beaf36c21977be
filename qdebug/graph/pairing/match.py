"""Matching two graphs: from anchors outwards, and on by weaker evidence where that is stuck."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from qdebug.graph.pairing.chains import chain_before, foldable
from qdebug.graph.pairing.logical import Logical, Op, Value
from qdebug.graph.pairing.propagate import Propagation
from qdebug.graph.pairing.score import base_name, params_agreement
from qdebug.graph.pairing.state import Matches
from qdebug.graph.pairing.values import Probe, ValueJudge

_MIN_AGREEMENT = 0.5
"""Share of the parameters that must agree for a name to be believed. By judgement; 0.2 or 0.9 move
no row of `benchmarks.pairing` for the sample classifier and detector."""


class Matcher(Propagation):
    """Matches the operations and values of two graphs."""

    def __init__(self, left: Logical, right: Logical, probe: Probe | None = None) -> None:
        super().__init__(left, right)
        self.judge = ValueJudge(probe, self.matches.layouts) if probe is not None else None
        self.dismissed: set[tuple[Value, Value]] = set()

    def run(self) -> Matches:
        """Match as much as structure, weights and names allow."""
        for left, right in self.fingerprints.anchors(self.left.ops, self.right.ops):
            self.match_ops(left, right, "weights")
        self.drain()
        self._seed_inputs()
        self.drain()
        for _ in range(len(self.right.ops) + 1):
            if not any(step() for step in self._relaxations()):
                break
            self._dismiss_unrelated()
        return self.matches

    def _relaxations(self) -> list[Callable[[], bool]]:
        """Ways to go on where strict propagation is stuck, most trustworthy first."""
        return [
            self._by_waiting_operands,
            self._by_name,
            self._by_partial_operands,
            self._by_values,
            self._break_commutative_tie,
            self._by_output,
        ]

    # Anchors.

    def _seed_inputs(self) -> None:
        lefts = [self.left.of_tensor[name] for name in self.left.graph.inputs]
        rights = [self.right.of_tensor[name] for name in self.right.graph.inputs]
        self._seed(lefts, rights, "input")

    def _seed(self, lefts: list[Value], rights: list[Value], by: str) -> bool:
        """Pair inputs (or outputs) by name, then by order where as many are left on both sides."""
        done = False
        named = {value.raw: value for value in lefts}
        for right in rights:
            if right.raw in named:
                done |= self._new(named[right.raw], right, by)
        lefts = [v for v in lefts if v.root not in self.matches.of_left]
        rights = [v for v in rights if v.root not in self.matches.of_right]
        if len(lefts) == len(rights):
            for left, right in zip(lefts, rights, strict=True):
                done |= self._new(left, right, by)
        return done

    def _new(self, left: Value, right: Value, by: str) -> bool:
        if right.root in self.matches.of_right or left.root in self.matches.of_left:
            return False
        if (left.root, right.root) in self.dismissed:
            return False
        return self.matches.commit(left, right, by)

    # Relaxations.

    def _by_waiting_operands(self) -> bool:
        """Operands of commutative operations whose order has become clear, or never will."""
        waiting, self.waiting = self.waiting, []
        before = len(self.matches.of_right)
        for left, right in waiting:
            if not self.match_operands(left, right):
                self.waiting.append((left, right))
        self.drain()
        return len(self.matches.of_right) > before

    def _break_commutative_tie(self) -> bool:
        for left, right in list(self.waiting):
            self.waiting.remove((left, right))
            lefts = [v for v in left.values if v.root not in self.matches.of_left]
            rights = [v for v in right.values if v.root not in self.matches.of_right]
            for a, b in zip(lefts, rights, strict=False):
                if _same_maker(a, b):
                    self.match_operand(a, b, reshape=False)
            if self.matches.queue:
                self.drain()
                return True
        return False

    def _by_name(self) -> bool:
        by_name = {op.node.name: op for op in self.left.ops if op.node.name}
        by_output = {name: op for op in self.left.ops for name in op.node.outputs if name}
        done = False
        for right in self.right.ops:
            if right in self.matches.op_of_right:
                continue
            names = [base_name(name) for name in right.node.outputs if name]
            candidates = [by_name.get(right.node.name), *map(by_output.get, names)]
            for left in candidates:
                if left is not None and self._may_be(left, right):
                    done |= self.match_ops(left, right, "name")
                    self.drain()
        return done

    def _may_be(self, left: Op, right: Op) -> bool:
        if not self.matches.free(left, right) or not self.consistent(left, right):
            return False
        if (left.result.root, right.result.root) in self.dismissed:
            return False
        known = any(value.root in self.matches.of_right for value in right.values)
        if params_agreement(left, right) < (_MIN_AGREEMENT if known else 1.0):
            return False  # a name handed on to another node
        return self._results_consistent(left, right)

    def _results_consistent(self, left: Op, right: Op) -> bool:
        known = self.matches.of_right.get(right.result.root)
        if known is None:
            return True
        return left in chain_before(known.left)

    def _by_partial_operands(self) -> bool:
        """Only candidates: some operands are known, the others do not contradict."""
        done = False
        for match in list(self.matches.of_right.values()):
            rights = [o for o in match.right.consumer_ops() if o not in self.matches.op_of_right]
            lefts = [o for o in match.left.consumer_ops() if o not in self.matches.op_of_left]
            families = Counter(op.family for op in rights)
            for right in rights:
                if families[right.family] > 1 or foldable(right):
                    continue
                same = [op for op in lefts if self.same_operands(op, right)]
                if len(same) == 1:
                    done |= self.match_ops(same[0], right, "structure")
                    self.drain()
        return done

    def _by_values(self) -> bool:
        """What is left and agrees on a sample."""
        if self.judge is None:
            return False
        done = False
        for left, right, perm in self.judge.clear_pairs(self.matches):
            done |= self.matches.commit(left, right, "values", perm, reshape=True)
        self.drain()
        return done

    def _dismiss_unrelated(self) -> None:
        """Take back pairs that rest on a name or a position where values clearly say otherwise."""
        if self.judge is None:
            return
        weak = [m for m in self.matches.of_right.values() if m.by in ("name", "output")]
        for left, right in self.judge.unrelated([(m.left, m.right) for m in weak]):
            self.matches.forget(left, right)
            self.dismissed.add((left, right))

    def _by_output(self) -> bool:
        lefts = [self.left.of_tensor.get(name) for name in self.left.graph.outputs]
        rights = [self.right.of_tensor.get(name) for name in self.right.graph.outputs]
        done = self._seed(
            [v for v in lefts if v is not None], [v for v in rights if v is not None], "output"
        )
        self.drain()
        return done


def _same_maker(left: Value, right: Value) -> bool:
    a = left.op.family if left.op else "input"
    b = right.op.family if right.op else "input"
    return a == b
