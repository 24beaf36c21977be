"""``decomposed-norm`` and ``huge-constant``: operators that only make sense together.

A LayerNorm in pieces squares its input and divides by a root; a GELU or Softmax in pieces goes
through an error function or exponentials. Each piece has a range of its own kind, and an 8-bit step
on any of them costs more than the whole operator is worth. An attention mask adds a huge negative
number, and a range that includes it leaves the logits not a single step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qdebug.analysis.what_if import Gain
from qdebug.checks.check import Check, CheckContext
from qdebug.checks.effect import (
    float_layers,
    free,
    gain_evidence,
    gain_of,
    positions_by_tensor,
    rounded,
    status_of,
)
from qdebug.checks.mixed_range import MOVING
from qdebug.graph.model import Graph, Node
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding
from qdebug.vendors.advice import keep_in_float

HUGE = 1e4
"""A constant from here on is no number of the network's but a stand-in for infinity."""
TIMES = 1e3
"""... if it is so many times what it is added to."""
_KEEPING = MOVING | {"Add", "Where", "Softmax", "Clip", "Max"}
"""Operators behind which a mask is still a mask."""


@dataclass(frozen=True)
class NormGroup:
    """The nodes of one decomposed operator.

    Attributes:
        kind: ``LayerNorm``, ``RMSNorm``, ``GELU`` or ``Softmax``.
        nodes: in execution order.
    """

    kind: str
    nodes: tuple[Node, ...]


def norm_groups(graph: Graph) -> list[NormGroup]:
    """Decomposed norms, GELUs and Softmaxes of a graph."""
    found = []
    for node in graph.nodes:
        if node.op == "Sqrt":
            group = _norm(graph, node)
        elif node.op == "Erf":
            group = _gelu(graph, node)
        elif node.op == "ReduceSum":
            group = _softmax(graph, node)
        else:
            group = None
        if group is not None:
            found.append(group)
    return found


def _norm(graph: Graph, root: Node) -> NormGroup | None:
    """From the root up to what is squared, and down to the affine part."""
    add = graph.producer.get(root.inputs[0])
    mean = _made_by(graph, add, ("ReduceMean",))
    square = _made_by(graph, mean, ("Pow", "Mul"))
    if add is None or mean is None or square is None or add.op != "Add":
        return None
    nodes = [square, mean, add, root]
    centred = graph.producer.get(square.inputs[0])
    first_mean = _made_by(graph, centred, ("ReduceMean",))
    is_layer_norm = centred is not None and centred.op == "Sub" and first_mean is not None
    if is_layer_norm and centred is not None and first_mean is not None:
        nodes += [first_mean, centred]
    nodes += _followers(graph, root, ("Div", "Reciprocal", "Mul", "Add"), 3)
    return _group("LayerNorm" if is_layer_norm else "RMSNorm", nodes)


def _gelu(graph: Graph, erf: Node) -> NormGroup | None:
    nodes = [erf]
    before = graph.producer.get(erf.inputs[0])
    if before is not None and before.op in ("Div", "Mul"):
        nodes.append(before)
    nodes += _followers(graph, erf, ("Add", "Mul", "Mul"), 3)
    return _group("GELU", nodes) if len(nodes) > 3 else None


def _softmax(graph: Graph, total: Node) -> NormGroup | None:
    exp = graph.producer.get(total.inputs[0])
    divided = [n for n in graph.consumer_nodes(total.outputs[0]) if n.op == "Div"]
    if exp is None or exp.op != "Exp" or not divided:
        return None
    nodes = [exp, total, divided[0]]
    shifted = graph.producer.get(exp.inputs[0])
    if shifted is not None and shifted.op == "Sub":
        nodes.append(shifted)
    return _group("Softmax", nodes)


def _group(kind: str, nodes: Sequence[Node]) -> NormGroup:
    unique = {node.index: node for node in nodes}
    return NormGroup(kind, tuple(unique[index] for index in sorted(unique)))


def _made_by(graph: Graph, node: Node | None, ops: Sequence[str]) -> Node | None:
    """The node of one of these operators that makes an input of a node."""
    for name in node.inputs if node is not None else ():
        maker = graph.producer.get(name)
        if maker is not None and maker.op in ops:
            return maker
    return None


def _followers(graph: Graph, node: Node, ops: Sequence[str], most: int) -> list[Node]:
    """The chain of single consumers, while they are of these operators."""
    found: list[Node] = []
    for _ in range(most):
        users = graph.consumer_nodes(node.outputs[0])
        if len(users) != 1 or users[0].op not in ops:
            break
        node = users[0]
        found.append(node)
    return found


def _quantized(context: CheckContext, nodes: Sequence[Node]) -> list[int]:
    """Positions of the layers of these nodes, where any of them is quantized."""
    known = context.once(positions_by_tensor)
    at = [known[n.outputs[0]] for n in nodes if n.outputs[0] in known]
    inner = [known[n.outputs[0]] for n in nodes[:-1] if n.outputs[0] in known]
    return at if any(context.stats[i].range is not None for i in inner) else []


def _quantized_groups(context: CheckContext) -> list[tuple[NormGroup, list[int]]]:
    groups = [(g, _quantized(context, g.nodes)) for g in norm_groups(context.float_graph)]
    return [(group, at) for group, at in groups if at]


def _layers_of_groups(groups: Sequence[tuple[NormGroup, list[int]]]) -> list[int]:
    return sorted({at for _, positions in groups for at in positions})


def _decomposed_norm(context: CheckContext) -> Iterator[Finding]:
    groups = _quantized_groups(context)
    if not groups:
        return
    layers = _layers_of_groups(groups)
    gain = _gain_beside(context, layers, _layers_of_masks(context, _masked(context)))
    status = status_of(context, gain)
    kinds = sorted({group.kind for group, _ in groups})
    rows = [[g.kind, g.nodes[0].label, g.nodes[-1].label, len(g.nodes)] for g, _ in groups]
    columns = ["it is a", "from", "to", "nodes"]
    first = groups[0][0]
    yield DECOMPOSED_NORM.found(
        status,
        f"{len(groups)} {' and '.join(kinds)} in pieces, and the pieces are quantized",
        f"{first.kind} from {first.nodes[0].label} to {first.nodes[-1].label} is computed by "
        f"{len(first.nodes)} nodes with 8-bit values in between.",
        "Export with a higher opset (LayerNormalization from 17, Gelu from 20), or fuse them "
        "before quantization (`quant_pre_process`), or keep the listed nodes in float.",
        layers=layers,
        evidence=[
            Evidence("table", "Operators in pieces", {"columns": columns, "rows": rows}),
            *gain_evidence(context, gain),
            *keep_in_float(float_layers(context, layers), context.vendor),
        ],
        gain_db=rounded(gain),
        confidence="high",
    )


@dataclass(frozen=True)
class _Masked:
    at: int
    constant: str
    value: float
    logits: float
    step: float


def _masked(context: CheckContext) -> list[_Masked]:
    """Layers where a huge constant leaves ordinary values no code to speak of."""
    return [m for m in context.once(_all_masked) if m.step > m.logits / 16]


def masked_layers(context: CheckContext) -> frozenset[int]:
    """Quantized layers whose greatest values stand in for infinity: no range has to hold them."""
    return frozenset(m.at for m in context.once(_all_masked))


def group_layers(context: CheckContext) -> frozenset[int]:
    """Layers of the operators in pieces and of the masks that leave values no code."""
    norms = _layers_of_groups(_quantized_groups(context))
    return frozenset([*norms, *_layers_of_masks(context, _masked(context))])


def _all_masked(context: CheckContext) -> list[_Masked]:
    """Layers where a huge constant meets ordinary values in one quantized range."""
    known = context.once(positions_by_tensor)
    found = []
    for layer in context.layers:
        node = context.float_graph.producer.get(layer.float_tensor)
        limits = context.stats[layer.index].range
        if (
            node is None
            or limits is None
            or node.op not in ("Add", "Sub", "Mul", "Where", "Min", "Max")
        ):
            continue
        masks = [(n, size) for n in node.inputs if (size := _size(context, known, n)) >= HUGE]
        others = [_size(context, known, n) for n in node.inputs if n not in dict(masks)]
        logits = max(others, default=0.0)
        if masks and masks[0][1] >= TIMES * max(logits, 1e-30):
            found.append(_Masked(layer.index, *masks[0], logits, limits.step))
    return found


def _size(context: CheckContext, known: dict[str, int], tensor: str) -> float:
    """Largest finite magnitude of a tensor, zero where it is not known."""
    value = context.float_graph.constant(tensor) if tensor else None
    if value is not None and value.dtype.kind == "f" and value.size:
        return float(abs(value).max())
    layer = context.layers[known[tensor]] if tensor in known else None
    if layer is None or layer.range_float is None:
        return 0.0
    return max(abs(layer.range_float.min), abs(layer.range_float.max))


def _until_softmax(context: CheckContext, at: int) -> list[int]:
    """The layer, what only moves or masks its values, and the Softmax they end in."""
    known = context.once(positions_by_tensor)
    found, todo = [at], [context.layers[at].float_tensor]
    while todo:
        for node in context.float_graph.consumer_nodes(todo.pop()):
            position = known.get(node.outputs[0])
            if node.op not in _KEEPING or position is None or position in found:
                continue
            found.append(position)
            if node.op != "Softmax":
                todo.append(node.outputs[0])
    return found


def _layers_of_masks(context: CheckContext, masked: Sequence[_Masked]) -> list[int]:
    known = context.once(positions_by_tensor)
    masks = {known[item.constant] for item in masked if item.constant in known}
    return sorted({i for item in masked for i in _until_softmax(context, item.at)} | masks)


def _gain_beside(
    context: CheckContext, layers: Sequence[int], others: Sequence[int]
) -> Gain | None:
    """Gain of freeing layers, alone or after the other group: one may hide the other's."""
    alone = gain_of(context, free(context, layers))
    if not others:
        return alone
    both = free(context, [*layers, *others])
    last = gain_of(context, both, base=free(context, others))
    return max((g for g in (alone, last) if g is not None), key=lambda g: g.db, default=None)


def _huge_constant(context: CheckContext) -> Iterator[Finding]:
    masked = _masked(context)
    if not masked:
        return
    layers = _layers_of_masks(context, masked)
    gain = _gain_beside(context, layers, _layers_of_groups(_quantized_groups(context)))
    first = masked[0]
    rows = [
        [context.layers[m.at].name, m.constant, m.value, float(f"{m.logits:.4g}"), m.step]
        for m in masked
    ]
    columns = ["layer", "constant", "its size", "size of the other values", "step"]
    yield HUGE_CONSTANT.found(
        status_of(context, gain),
        f"{context.layers[first.at].name}: a constant of {first.value:.3g} in a quantized range",
        f"{first.constant} reaches {first.value:.3g} where the other values stay within "
        f"{first.logits:.3g}; the step of {first.step:.3g} that follows leaves them no code "
        f"({len(masked)} layers).",
        "Keep the mask's Add (or Where) and the Softmax after it in float, or replace the constant "
        "by a number just below the logits, for instance -30, before quantization.",
        layers=layers,
        evidence=[
            Evidence(
                "table", "Constants against what they meet", {"columns": columns, "rows": rows}
            ),
            *gain_evidence(context, gain),
            *keep_in_float(float_layers(context, layers), context.vendor),
        ],
        gain_db=rounded(gain),
        confidence="high",
    )


DECOMPOSED_NORM = Check(
    KINDS["decomposed-norm"],
    _decomposed_norm,
)
HUGE_CONSTANT = Check(KINDS["huge-constant"], _huge_constant)
