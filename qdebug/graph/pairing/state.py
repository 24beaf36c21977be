"""What has been matched so far."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import onnx

from qdebug.graph.pairing.build import FLOAT_TYPES
from qdebug.graph.pairing.layout import (
    Layouts,
    Perm,
    after_float_transpose,
    after_moved_ones,
    after_quant_transpose,
    before_float_transpose,
    before_quant_transpose,
)
from qdebug.graph.pairing.logical import Logical, Op, Value


@dataclass(frozen=True)
class Match:
    """A value of the quant graph and the value of the float graph that it stands for.

    Attributes:
        perm: from the quant layout to the float one.
        by: evidence, as in ``Pair.paired_by``.
        view: whether ``left`` has a match without this change of layout as well.
    """

    left: Value
    right: Value
    perm: Perm | None
    by: str
    view: bool = False


class Matches:
    """Matched values and operations; values wait in ``queue`` until their surroundings are seen."""

    def __init__(self, left: Logical, right: Logical, layouts: Layouts) -> None:
        self.left, self.right, self.layouts = left, right, layouts
        self.of_right: dict[Value, Match] = {}
        self.of_left: dict[Value, list[Match]] = {}
        self.op_of_right: dict[Op, Op] = {}
        self.op_of_left: dict[Op, Op] = {}
        self.by: dict[Op, str] = {}
        self.folded: dict[Value, Op] = {}
        self.queue: deque[Match] = deque()

    def free(self, left: Op, right: Op) -> bool:
        """Whether neither operation is matched yet."""
        return left not in self.op_of_left and right not in self.op_of_right

    def bind(self, left: Op, right: Op, by: str) -> None:
        """Record that two operations are the same."""
        self.op_of_left[left] = right
        self.op_of_right[right] = left
        self.by[right] = by

    def commit(
        self, left: Value, right: Value, by: str, hint: Perm | None = None, reshape: bool = False
    ) -> bool:
        """Record that two values are the same, unless that contradicts what is known.

        Args:
            left: in the float graph.
            right: in the quant graph.
            by: evidence.
            hint: layout to try first.
            reshape: whether the shapes may differ.

        Returns:
            Whether the two are matched now.
        """
        left, right = left.root, right.root
        known = self.of_right.get(right)
        if known is not None:
            return known.left is left or self._commit_view_of(known, left, hint)
        found, perm = self.layouts.find(left.shape, right.shape, hint)
        if not found and not (reshape and self.layouts.reshapes(left.shape, right.shape)):
            return False
        if comparable(left) != comparable(right):
            return False
        others = self.of_left.get(left, [])
        if others and not any(same_content(match.right, right) for match in others):
            return False
        match = Match(left, right, perm, by, bool(others))
        self.of_right[right] = match
        self.of_left.setdefault(left, []).append(match)
        self.queue.append(match)
        return True

    def _commit_view_of(self, known: Match, left: Value, hint: Perm | None) -> bool:
        """Whether ``left`` holds the matched value too; recorded where its layout is certain."""
        if not same_content(known.left, left):
            return False
        found, perm = self.layouts.find(left.shape, known.right.shape, hint)
        if found and (hint is not None or self.layouts.is_telling(known.right.shape)):
            self.commit_left_view(known, left, perm)
        return True

    def forget(self, left: Value, right: Value) -> None:
        """Take back a pair and the operations that make it."""
        self.of_right.pop(right, None)
        others = [match for match in self.of_left.get(left, []) if match.right is not right]
        if others:
            self.of_left[left] = others
        else:
            self.of_left.pop(left, None)
        if right.op is not None and right.op in self.op_of_right:
            self.op_of_left.pop(self.op_of_right.pop(right.op), None)

    def commit_left_view(self, match: Match, left: Value, perm: Perm | None) -> bool:
        """Record that a view which only the float graph has holds a matched value too."""
        left = left.root
        shapes = left.shape, match.right.shape
        if left in self.of_left:
            return False
        if not (self.layouts.fits(*shapes, perm) or self.layouts.reshapes(*shapes)):
            return False
        self.of_left[left] = [Match(left, match.right, perm, match.by, view=True)]
        self.queue.append(self.of_left[left][0])
        return True


def comparable(value: Value) -> bool:
    """Whether the value is made of real numbers (or of codes that stand for them)."""
    return value.type.elem_type in FLOAT_TYPES or bool(value.codes) or not value.type.elem_type


def same_content(left: Value, right: Value) -> bool:
    """Whether two values of one graph differ in layout only."""
    return left is right or content_root(left) is content_root(right)


def content_root(value: Value) -> Value:
    """The value that this one is a mere view of."""
    current = value.root
    while current.op is not None and current.op.is_view:
        current = current.op.values[0].root
    return current


def across_left_view(op: Op, match: Match, *, forward: bool) -> tuple[bool, Perm | None]:
    """Layout on the other side of a view of the float graph: ``(known, perm)``."""
    return _across(op, match, after_float_transpose if forward else before_float_transpose)


def across_right_view(op: Op, match: Match, *, forward: bool) -> tuple[bool, Perm | None]:
    """Layout on the other side of a view of the quant graph: ``(known, perm)``."""
    return _across(op, match, after_quant_transpose if forward else before_quant_transpose)


def across_both(
    left: Op, right: Op, perm: Perm | None, *, forward: bool
) -> tuple[bool, Perm | None]:
    """Layout on the other side of two operations that match: ``(known, perm)``."""
    if left.family == "Transpose":
        mine, theirs = _axes(left), _axes(right)
        if not mine or not theirs:
            return False, None
        if forward:
            return True, after_float_transpose(after_quant_transpose(perm, theirs), mine)
        return True, before_float_transpose(before_quant_transpose(perm, theirs), mine)
    if left.family == "Reshape":
        shapes = [v.shape for v in (right.values[0], right.result)]
        end = (left.result if forward else left.values[0]).shape
        first, last = shapes if forward else shapes[::-1]
        if first is None or last is None or end is None:
            return False, None
        return after_moved_ones(perm, (first, last), end)
    return True, perm


def is_channels_last(op: Op) -> bool:
    """Whether a convolution computes on NHWC, as ONNX Runtime's own variants may."""
    return "Nhwc" in op.node.op or bool(op.node.attributes.get("channels_last", 0))


def _axes(op: Op) -> Perm:
    return tuple(op.params.get("perm") or range(len(op.result.shape or ()))[::-1])


def _across(
    op: Op, match: Match, carry: Callable[[Perm | None, Perm], Perm | None]
) -> tuple[bool, Perm | None]:
    if op.family == "Transpose":
        axes = _axes(op)
        return bool(axes), carry(match.perm, axes) if axes else None
    if op.family != "Reshape":
        return True, match.perm
    return match.perm is None or _moves_ones(match), None


def _moves_ones(match: Match) -> bool:
    """Whether the permutation keeps the order of all axes longer than one."""
    shape = match.right.shape or ()
    moved = [axis for axis in match.perm or () if axis < len(shape) and shape[axis] != 1]
    return bool(shape) and moved == sorted(moved)


def dtype_name(value: Value) -> str:
    """Element type, for instance ``int64``."""
    return str(onnx.TensorProto.DataType.Name(value.type.elem_type)).lower()
