"""Why a tensor has no counterpart."""

from __future__ import annotations

from itertools import islice

from qdebug.graph.model import Graph, TensorType
from qdebug.graph.pairing.build import FLOAT_TYPES
from qdebug.graph.pairing.logical import Value
from qdebug.graph.pairing.result import choose_reading
from qdebug.graph.pairing.state import Matches, comparable, content_root, dtype_name
from qdebug.graph.pairs import Pair
from qdebug.graph.walk import walk
from qdebug.run.model import Unpaired

_SEARCHED = 200  # values looked at downstream for the next matched one; by judgement, for time


def unpaired_float(matches: Matches, pairs: list[Pair]) -> list[Unpaired]:
    """Tensors of the float graph without a pair, in execution order; stored constants left out."""
    paired = {pair.float_tensor for pair in pairs}
    found = []
    for tensor, op in _computed(matches.left.graph):
        if tensor not in paired:
            found.append(Unpaired(tensor, _float_reason(matches, tensor), op))
    return found


def unpaired_quant(matches: Matches, pairs: list[Pair]) -> list[Unpaired]:
    """Tensors only the quant graph has, in execution order.

    What lies between a pair's ``raw`` and ``read`` belongs to the pair and is not listed.
    """
    known = {name for pair in pairs for name in (pair.raw, pair.read, *pair.aliases)}
    found = []
    for tensor, op in _computed(matches.right.graph):
        reason = None if tensor in known else _quant_reason(matches, tensor)
        if reason is not None:
            found.append(Unpaired(tensor, reason, op))
    return found


def _computed(graph: Graph) -> list[tuple[str, str]]:
    """Inputs and computed tensors with the operator that makes them."""
    made = [(name, "") for name in graph.inputs]
    for node in graph.nodes:
        if node.op != "Constant":
            made.extend((name, node.op) for name in node.outputs if name)
    return made


def _type_reason(kind: TensorType) -> str | None:
    if not kind.elem_type or kind.elem_type in FLOAT_TYPES:
        return None
    return f"{kind.dtype}, not compared"


def _float_reason(matches: Matches, tensor: str) -> str:
    kind = _type_reason(matches.left.graph.type_of(tensor))
    if kind is not None:
        return kind
    if tensor in matches.left.constants:
        return "constant"
    value = matches.left.of_tensor.get(tensor)
    if value is None:
        return "serves quantization only"
    return _missing(matches, value.root)


def _missing(matches: Matches, value: Value) -> str:
    source = content_root(value)
    if source is not value and source in matches.of_left:
        return f"same values as {source.raw!r}, only laid out anew"
    end = _next_matched(matches, value)
    if end is None or end.op is None:
        return "no counterpart found"
    if _feeds(value, end):
        return f"folded into {end.op.node.label}"
    right = matches.of_left[end][0].right
    if right.op is not None and right.op.family != end.op.family:
        return f"inside {right.op.node.op} {right.op.node.label} of the quant graph"
    return "no counterpart found"


def _feeds(value: Value, end: Value) -> bool:
    """Whether the value leads to the other along single operands only."""
    current: Value = end
    while current.op is not None and len(current.op.values) == 1:
        current = current.op.values[0].root
        if current is value:
            return True
    return False


def _next_matched(matches: Matches, value: Value) -> Value | None:
    """Nearest value downstream that has a counterpart."""
    downstream = islice(walk([value], _results), 1, _SEARCHED)
    return next((reached for reached in downstream if reached in matches.of_left), None)


def _results(value: Value) -> list[Value]:
    """What is computed of a value."""
    outputs = (result for op in value.consumer_ops() for result in op.outputs)
    return [result.root for result in outputs if result is not None]


def _quant_reason(matches: Matches, tensor: str) -> str | None:
    logical = matches.right
    if tensor in logical.plumbing:
        return f"only in the quant graph: {logical.plumbing[tensor]}"
    if tensor in logical.constants:
        return None
    value = logical.of_tensor.get(tensor)
    if value is None:
        return None
    if tensor != value.raw:
        return _other_reading(matches, value, tensor)
    if not comparable(value.root):
        return f"{dtype_name(value)}, not compared"
    return f"only in the quant graph: {_extra(matches, value)}"


def _other_reading(matches: Matches, value: Value, tensor: str) -> str | None:
    """Members of a matched value that are neither its reading nor a copy of it."""
    if tensor in value.codes or not value.readers.get(tensor):
        return None
    match = matches.of_right.get(value.root)
    if match is None or tensor == choose_reading(value).tensor:
        return None
    return f"only in the quant graph: another quantization of {match.left.raw!r}"


def _extra(matches: Matches, value: Value) -> str:
    match = matches.of_right.get(value.root)
    if match is not None:
        return f"same values as {match.left.raw!r} of the float graph, laid out anew"
    ends = value.root.consumer_ops()
    if len(ends) == 1 and ends[0].result.root in matches.of_right:
        return f"an intermediate of {ends[0].node.label}"
    return "no counterpart found"
