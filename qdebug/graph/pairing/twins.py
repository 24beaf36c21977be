"""Operations that compute the same in one graph and not in the other.

Equal operations of equal operands are read as one. Where a converter has changed one of two such
twins, the other graph has two operations for what is one here, and one of them would be left over:
both stand for themselves then, and names, parameters and readers tell which is which.
"""

from __future__ import annotations

from collections.abc import Iterator

from qdebug.graph.pairing.logical import Op
from qdebug.graph.pairing.state import Matches


def split_twins(matches: Matches) -> tuple[set[int], set[int]]:
    """Nodes of the float and of the quant graph to be told from the nodes that they repeat."""
    lefts: set[int] = set()
    rights: set[int] = set()
    for right, left in matches.op_of_right.items():
        if left.repeats:
            over = list(_left_over(right, matches.op_of_right))
        elif right.repeats:
            over = list(_left_over(left, matches.op_of_left))
        else:
            continue
        if over:
            lefts |= left.nodes
            rights |= right.nodes
            (rights if left.repeats else lefts).update(n for op in over for n in op.nodes)
    return lefts, rights


def _left_over(op: Op, matched: dict[Op, Op]) -> Iterator[Op]:
    """Operations without a match that could be an operation's twin: its kind, of its operands."""
    operands = [value.root for value in op.values]
    for other in operands[0].consumer_ops() if operands else ():
        if other is op or other in matched or other.family != op.family:
            continue
        if [value.root for value in other.values] == operands:
            yield other
