"""Spreading matches along the edges of both graphs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import product

import numpy as np

from qdebug.graph.operators import (
    COMMUTATIVE_FAMILIES,
    PADS_ITSELF_FAMILIES,
    RESHAPING_FAMILIES,
    VIEW_FAMILIES,
    WEIGHTED_FAMILIES,
)
from qdebug.graph.pairing.chains import align, chain_before
from qdebug.graph.pairing.fingerprint import Fingerprints
from qdebug.graph.pairing.fused import same_swish
from qdebug.graph.pairing.layout import Layouts
from qdebug.graph.pairing.logical import Logical, Op, Value
from qdebug.graph.pairing.rivals import Rivals, namesakes
from qdebug.graph.pairing.scaling import before_scaling
from qdebug.graph.pairing.score import Scorer, exchanged
from qdebug.graph.pairing.state import (
    Match,
    Matches,
    across_both,
    across_left_view,
    across_right_view,
    content_root,
    is_channels_last,
    same_content,
)
from qdebug.graph.pairing.tables import Table

_LEAD = 0.25
"""By how much the best candidate's score must lead. By judgement, a quarter of what a name is
worth; 0.05 or 1 move no row of `benchmarks.pairing` for the sample detector."""
_LONGEST = 8
"""Operations of a chain, as in `chains`."""
_MOST = 1 << 24
"""Pairs beyond which readers of one value are not held against each other: 4,096 without a name on
either side take 128 MiB a table. By judgement; more are left to what leads there otherwise."""


class Propagation:
    """Matches whatever follows from what is matched already."""

    def __init__(self, left: Logical, right: Logical) -> None:
        self.left, self.right = left, right
        self.fingerprints = Fingerprints()
        self.scorer = Scorer(self.fingerprints)
        self.matches = Matches(left, right, Layouts(_batches(left, right)))
        self.waiting: list[tuple[Op, Op]] = []

    def drain(self) -> None:
        """Look around every newly matched value."""
        while self.matches.queue:
            match = self.matches.queue.popleft()
            self._backward(match)
            self._forward(match)

    def match_ops(self, left: Op, right: Op, by: str) -> bool:
        """Record two operations as the same, and with them operands and results."""
        if not self.matches.free(left, right):
            return False
        self.matches.bind(left, right, by)
        if not self.match_operands(left, right):
            self.waiting.append((left, right))
        self._match_results(left, right, by)
        return True

    def match_operands(self, left: Op, right: Op) -> bool:
        """Match operands slot by slot; False while a commutative operation is undecided."""
        pairs = self._operand_pairs(left, right)
        reshape = left.family in RESHAPING_FAMILIES or self._is_reshaped(right.result)
        hint = self._hint_backward(left, right)
        for a, b in pairs:
            self.match_operand(*before_scaling(left, right, a, b), reshape, hint)
        return len(pairs) == len(right.values)

    def _operand_pairs(self, left: Op, right: Op) -> list[tuple[Value, Value]]:
        lefts, rights = left.values, right.values
        if len(lefts) != len(rights):
            return []
        if left.family not in COMMUTATIVE_FAMILIES or len(lefts) == 1:
            found = exchanged(lefts, rights)
            return list(zip(lefts, rights, strict=True)) if found is None else found
        pairs = []
        for right_value in list(rights):
            known = self.matches.of_right.get(right_value)
            partner = next((v for v in lefts if known and same_content(v, known.left)), None)
            if partner is not None:
                pairs.append((partner, right_value))
                lefts.remove(partner)
                rights.remove(right_value)
        if len(lefts) == 1:
            return [*pairs, (lefts[0], rights[0])]
        return pairs

    def match_operand(
        self, left: Value, right: Value, reshape: bool, hint: tuple[int, ...] | None = None
    ) -> None:
        """Match one operand, over padding and views if need be."""
        hint = hint or self._hint(left, right)
        if self.matches.commit(left, right, "structure", hint, reshape):
            return
        for a, b in self._skipped(left, right):
            if self.matches.commit(a, b, "structure", self._hint(a, b)):
                return

    def _hint(self, left: Value, right: Value) -> tuple[int, ...] | None:
        """Layout that the operands of what makes the two values suggest."""
        b = right.op
        for value in b.values if b is not None else ():
            known = self._layout_of(value.root)
            if b is not None and known is not None:
                return _carried(left, b, known)
        return None

    def _layout_of(self, right: Value) -> Match | None:
        """The value's match, or what its layout would be against the float value it came from."""
        known = self.matches.of_right.get(right)
        op = right.op
        if known is not None or op is None:
            return known
        partner = self.matches.op_of_right.get(op)
        if partner is not None and op.family == "Conv" and not is_channels_last(op):
            return Match(partner.result.root, right, None, "structure")
        if op.family not in VIEW_FAMILIES or len(op.values) != 1:
            return None
        before = self._layout_of(op.values[0].root)
        if before is None:
            return None
        found, perm = across_right_view(op, before, forward=True)
        return replace(before, right=right, perm=perm) if found else None

    def _hint_backward(self, left: Op, right: Op) -> tuple[int, ...] | None:
        """Layout of the operands that the results' layout suggests."""
        known = self.matches.of_right.get(right.result.root)
        if known is None or known.left is not left.result.root or left.family in WEIGHTED_FAMILIES:
            return None
        return across_both(left, right, known.perm, forward=False)[1]

    def _skipped(self, left: Value, right: Value) -> Iterable[tuple[Value, Value]]:
        """Operand pairs with padding or views of either side left out."""
        lefts, rights = _without_views(left), _without_views(right)
        both = sorted(product(range(len(lefts)), range(len(rights))), key=sum)
        return [(lefts[i], rights[j]) for i, j in both[1:]]

    def _match_results(self, left: Op, right: Op, by: str) -> None:
        for a, b in list(zip(left.outputs, right.outputs, strict=False))[1:]:
            if a is not None and b is not None:
                self.matches.commit(a, b, by, self._hint(a, b))
        if left.result.root in self.matches.of_left:
            hint = self._hint(left.result, right.result)
            self.matches.commit(left.result, right.result, by, hint, True)
            return
        if right.result.root in self.matches.of_right:
            self._name_views(self.matches.of_right[right.result.root], left.result.root)
            return
        alignment = align(left, right)
        if not alignment.certain:
            return
        reshape = left.family in RESHAPING_FAMILIES or any(map(self._is_reshaped, right.values))
        start = Match(
            left.result.root, right.result.root, self._hint(left.result, right.result), by
        )
        for a, b in alignment.pairs:
            self.matches.commit(a, b, by, self._hint_along(start, a, b), reshape)
        for a_op, b_op in alignment.steps:
            if self.matches.free(a_op, b_op):
                self.matches.bind(a_op, b_op, "structure")

    def _hint_along(self, start: Match, left: Value, right: Value) -> tuple[int, ...] | None:
        """Layout of two values further down: what every change of layout on the way makes of it."""
        lefts, rights = _between(start.left, left), _between(start.right, right)
        if lefts is None or rights is None or not any(o.family == "Transpose" for o in lefts):
            return self._hint(left, right)
        match = start
        for op, across in [(o, across_right_view) for o in rights] + [
            (o, across_left_view) for o in lefts
        ]:
            if op.family in VIEW_FAMILIES:
                known, perm = across(op, match, forward=True)
                if not known:
                    return self._hint(left, right)
                match = replace(match, perm=perm)
        return match.perm

    def _is_reshaped(self, right: Value) -> bool:
        """Whether a value and its counterpart differ in shape."""
        match = self.matches.of_right.get(right.root)
        if match is None:
            return False
        return not self.matches.layouts.fits(match.left.shape, right.shape, match.perm)

    def _name_views(self, match: Match, source: Value) -> None:
        """Match what a matched float value is a mere view of with the same quant value."""
        if not same_content(match.left, source):
            return
        while match.left is not source and match.left.op is not None:
            op = match.left.op
            known, perm = across_left_view(op, match, forward=False)
            if not known or not op.is_view:
                return
            self.matches.commit_left_view(match, op.values[0], perm)
            match = Match(op.values[0].root, match.right, perm, match.by, view=True)

    # Backwards: what made the value.

    def _backward(self, match: Match) -> None:
        lefts, rights = chain_before(match.left), chain_before(match.right)
        for i, j in sorted(product(range(len(lefts)), range(len(rights))), key=sum):
            a, b = lefts[i], rights[j]
            if a in self.matches.op_of_left or b in self.matches.op_of_right:
                if self.matches.op_of_left.get(a) is b:
                    return
                continue
            if self.consistent(a, b) and self._may_skip(lefts[:i], rights[:j]):
                self.match_ops(a, b, "structure")
                return
        self._back_over_views(match)

    def _may_skip(self, lefts: list[Op], rights: list[Op]) -> bool:
        free = all(op not in self.matches.op_of_left for op in lefts)
        return free and all(op not in self.matches.op_of_right for op in rights)

    def _back_over_views(self, match: Match) -> None:
        """Where only one side changes the layout, its other end holds the same values."""
        a, b = match.left.op, match.right.op
        left_view = a is not None and a.is_view and a not in self.matches.op_of_left
        right_view = b is not None and b.is_view and b not in self.matches.op_of_right
        if b is not None and right_view and not left_view:
            known, perm = across_right_view(b, match, forward=False)
            if known:
                self.matches.commit(match.left, b.values[0], match.by, perm, reshape=True)
        elif a is not None and left_view and not right_view:
            known, perm = across_left_view(a, match, forward=False)
            if known:
                self.matches.commit_left_view(match, a.values[0], perm)

    def consistent(self, left: Op, right: Op) -> bool:
        """Plausible, and no operand is already known to be something else."""
        if not self.scorer.plausible(left, right):
            return False
        roots = {content_root(source) for value in left.values for source in _sources(left, value)}
        for value in right.values:
            known = self.matches.of_right.get(value.root)
            if known is not None and content_root(known.left) not in roots:
                return False
        return True

    # Forwards: what reads the value.

    def _forward(self, match: Match) -> None:
        rights = [op for op in match.right.consumer_ops() if op not in self.matches.op_of_right]
        lefts = [op for op in match.left.consumer_ops() if op not in self.matches.op_of_left]
        for family in dict.fromkeys(op.family for op in rights):
            a = [op for op in lefts if op.family == family]
            b = [op for op in rights if op.family == family and self._ready(op)]
            self.assign(a, b, "structure")
        self._forward_over_fusion(match)
        self._forward_over_views(match)

    def _forward_over_fusion(self, match: Match) -> None:
        """Match the result of an activation that is one operator on one side only."""
        fused = same_swish(match.left, match.right)
        if fused is not None and self.matches.free(*fused):
            left, right = fused
            if self.matches.commit(left.result, right.result, "structure", match.perm):
                self.matches.bind(left, right, "structure")

    def _ready(self, right: Op) -> bool:
        return all(value.root in self.matches.of_right for value in right.values)

    def assign(self, lefts: list[Op], rights: list[Op], by: str) -> bool:
        """Match operations one to one, best agreement first; ambiguous ones are left alone.

        Args:
            lefts: of the float graph, of one family.
            rights: of the quant graph, of that family, every operand of theirs matched.
            by: evidence.
        """
        done = self._assign_namesakes(lefts, rights, by)
        ours = self._by_operands(self._free(lefts, True), self._roots)
        theirs = self._by_operands(self._free(rights, False), self._known_roots)
        for key in [key for key in ours if key in theirs]:
            if len(ours[key]) * len(theirs[key]) <= _MOST:
                done |= self._assign_best(ours[key], theirs[key], by)
        return done

    def _assign_best(self, lefts: list[Op], rights: list[Op], by: str) -> bool:
        done = False
        rivals = Rivals(self._scores(lefts, rights))
        while leaders := rivals.leaders(_LEAD):
            for row, column in leaders:
                rivals.take(row, column)
                done |= self.match_ops(lefts[row], rights[column], by)
        return done

    def _scores(self, lefts: list[Op], rights: list[Op]) -> Table:
        scores = self.scorer.table(lefts, rights)
        scores[~self.scorer.plausible_table(lefts, rights)] = -np.inf
        return scores

    def _by_operands(
        self, ops: list[Op], roots: Callable[[Op], list[Value]]
    ) -> dict[tuple[int, ...], list[Op]]:
        """Operations by their operands; by order too, unless they commute."""
        found: dict[tuple[int, ...], list[Op]] = {}
        for op in ops:
            key = [root.index for root in roots(op)]
            ordered = sorted(key) if op.family in COMMUTATIVE_FAMILIES else key
            found.setdefault(tuple(ordered), []).append(op)
        return found

    def _roots(self, left: Op) -> list[Value]:
        return [content_root(value) for value in left.values]

    def _known_roots(self, right: Op) -> list[Value]:
        """What the operands of a quant operation are in the float graph, where all are matched."""
        return [content_root(self.matches.of_right[value.root].left) for value in right.values]

    def _assign_namesakes(self, lefts: list[Op], rights: list[Op], by: str) -> bool:
        """Match those whose name no other has, and that no other can come near.

        Whatever the others score, they lack what the name is worth. So thousands of readers of one
        value need not be held against each other.
        """
        done = False
        for a, b in namesakes(lefts, rights):
            if not (self.matches.free(a, b) and self.same_operands(a, b)):
                continue
            if self.scorer.score(a, b) - self.scorer.most_without_name(a, b) >= _LEAD:
                done |= self.match_ops(a, b, by)
        return done

    def _free(self, ops: list[Op], left: bool) -> list[Op]:
        taken = self.matches.op_of_left if left else self.matches.op_of_right
        return [op for op in ops if op not in taken]

    def same_operands(self, left: Op, right: Op) -> bool:
        """Whether every operand of the quant operation is the float operation's, slot by slot."""
        if not self.scorer.plausible(left, right):
            return False
        mine = self._roots(left)
        theirs = [self.matches.of_right.get(value.root) for value in right.values]
        known = [None if match is None else content_root(match.left) for match in theirs]
        if left.family in COMMUTATIVE_FAMILIES:
            return Counter(root for root in known if root is not None) <= Counter(mine)
        return all(b is None or a is b for a, b in zip(mine, known, strict=True))

    def _forward_over_views(self, match: Match) -> None:
        """Follow a change of layout that only one side makes."""
        left_views = self._free_views(match.left, self.matches.op_of_left)
        right_views = self._free_views(match.right, self.matches.op_of_right)
        if left_views and right_views:
            return  # one may yet turn out to be the other
        for op in right_views:
            known, perm = across_right_view(op, match, forward=True)
            if known:
                self.matches.commit(match.left, op.result, match.by, perm, reshape=True)
        for op in left_views:
            known, perm = across_left_view(op, match, forward=True)
            if known:
                self.matches.commit_left_view(match, op.result, perm)

    def _free_views(self, value: Value, taken: dict[Op, Op]) -> list[Op]:
        return [op for op in value.consumer_ops() if op.is_view and op not in taken]


def _carried(left: Value, right_op: Op, known: Match) -> tuple[int, ...] | None:
    """Layout of an operation's result against ``left``, given its operand's."""
    left_op = left.op
    family = left_op.family if left_op is not None and known.left is not left else ""
    if right_op.family in VIEW_FAMILIES and family != right_op.family:
        return across_right_view(right_op, known, forward=True)[1]
    if left_op is None or family not in VIEW_FAMILIES:
        return known.perm
    if family != right_op.family:
        return across_left_view(left_op, known, forward=True)[1]
    if left_op.values[0].root is not known.left:
        return None
    return across_both(left_op, right_op, known.perm, forward=True)[1]


def _between(start: Value, end: Value) -> list[Op] | None:
    """The operations of one operand each that lead from one value to another."""
    found: list[Op] = []
    current = end.root
    while current is not start:
        op = current.op
        if op is None or len(op.values) != 1 or len(found) > _LONGEST:
            return None
        found.append(op)
        current = op.values[0].root
    return found[::-1]


def _sources(op: Op, value: Value) -> list[Value]:
    """An operand, and for operators that can pad themselves what it is before padding."""
    return _without_views(value) if op.family in PADS_ITSELF_FAMILIES else [value]


def _without_views(value: Value) -> list[Value]:
    """The value, and what it was before padding and changes of layout."""
    found = [value]
    while value.op is not None and value.op.values and len(found) < 4:
        if not value.op.is_view and value.op.family != "Pad":
            break
        value = value.op.values[0].root
        found.append(value)
    return found


def _batches(left: Logical, right: Logical) -> tuple[int, int]:
    """Batch sizes of the two graphs, where both are fixed and differ."""
    sizes = []
    for logical in (left, right):
        shapes = [logical.of_tensor[name].shape for name in logical.graph.inputs]
        firsts = {shape[0] for shape in shapes if shape and len(shape) > 1}
        sizes.append(firsts.pop() if len(firsts) == 1 else None)
    a, b = sizes
    return (a, b) if isinstance(a, int) and isinstance(b, int) and a != b else (1, 1)
