"""A layer under suspicion of computing something else, and the words for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qdebug.analysis.operators import OperatorError
from qdebug.graph.model import Node
from qdebug.graph.operators import LAYOUT
from qdebug.graph.regions import Comparison, Region


@dataclass(frozen=True)
class Suspect:
    """A layer that computes something else.

    Attributes:
        at: its position.
        node: the float node that differs, as far as that can be told.
        what: what differs, as a phrase.
        error: what is left of its local error without quantization; None where parameters or
            constants tell and numbers were not needed.
        float_ops: operators that make it in the float graph.
        quant_ops: and in the quant graph.
        along: further layers that show it.
        ranges: layers of which the range holds what the node does, whatever values they get.
        is_range: whether these ranges are all that differs.
        turned: layer of a Transpose that permutes otherwise; the tensors behind it are paired in
            the layout that it makes.
    """

    at: int
    node: Node
    what: str
    error: OperatorError | None
    float_ops: tuple[str, ...]
    quant_ops: tuple[str, ...]
    along: tuple[int, ...] = ()
    ranges: tuple[int, ...] = ()
    is_range: bool = False
    turned: int | None = None


def says_why(compared: Comparison) -> bool:
    """Whether the operators of a region, by themselves, say what differs."""
    changes = [n for n in (*compared.missing, *compared.added) if n.op not in LAYOUT]
    return bool(compared.differences or changes)


def suspect_of(region: Region, compared: Comparison, error: OperatorError | None) -> Suspect:
    """A suspect whose node and words are the first that differs between the sides of a region."""
    missing = [n for n in compared.missing if n.op not in LAYOUT] or list(compared.missing)
    added = [n for n in compared.added if n.op not in LAYOUT]
    if compared.differences:
        node = compared.differences[0][0]
        what = "; ".join(str(d) for n, d in compared.differences if n is node)
    elif missing:
        node = missing[0]
        what = _exchange([n.op for n in missing], [n.op for n in added])
    else:
        node = region.float_nodes[-1]
        what = _exchange([], [n.op for n in added])
    return made(region, node, what, error)


def made(region: Region, node: Node, what: str, error: OperatorError | None = None) -> Suspect:
    """A suspect at a region's layer, for a float node and in words of one's own."""
    floats, quants = (
        tuple(n.op for n in nodes) for nodes in (region.float_nodes, region.quant_nodes)
    )
    return Suspect(region.at, node, what, error, floats, quants)


def _exchange(gone: Sequence[str], new: Sequence[str]) -> str:
    if gone and new:
        return f"{', '.join(new)} instead of {', '.join(gone)}"
    if gone:
        return f"{', '.join(gone)} {'is' if len(gone) == 1 else 'are'} missing"
    if new:
        return f"{', '.join(new)} {'is' if len(new) == 1 else 'are'} added"
    return "other values from the same inputs and weights"
