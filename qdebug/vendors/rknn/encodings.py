"""RKNN-Toolkit2: the cfg of hybrid quantization.

Source: cfgs that RKNN-Toolkit2 2.5.0 wrote; its arithmetic was held against its simulator's
tensors. Weights have no entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from qdebug.encodings.model import Encoding, Encodings, Entry
from qdebug.encodings.rules import Rules
from qdebug.encodings.source import Source
from qdebug.encodings.weights import Coded
from qdebug.graph.model import Graph, Node
from qdebug.graph.operators import WEIGHTED
from qdebug.graph.validity import name_of
from qdebug.vendors.encodings import Beside, Format, Target, ToolchainEncodings, Writer
from qdebug.vendors.readers import without_ranges
from qdebug.vendors.rknn.analysis import FUSED, Analysis, is_analysis, read_analysis
from qdebug.vendors.rknn.cfg import Cfg, Parameters, is_cfg, read_cfg
from qdebug.vendors.rknn.names import SWAPPED, WHY_SWAPPED
from qdebug.vendors.rknn.writing import write_cfg
from qdebug.vocabulary.numbers import plural

_ACTIVATIONS = frozenset({"Relu", "Clip", "HardSwish"})
"""Computed together with the product before them. Sigmoid and HardSigmoid are not."""
_STEPS = frozenset({"Add", "Sub", "Mul", "Div"})
"""What an activation may be written out in, with constants, as HardSwish may."""
_FEW = 8
"""Operators of an activation that is written out, at most (by judgement: HardSwish has four)."""
_ZERO_STEP = np.float32(2.0**-20)
"""Scale of a channel of zeros. RKNN keeps its bias exactly: small enough a step, and a bias of
``2 ** 11`` steps of the input still fits 32 bits."""


def read(source: Source, beside: Beside) -> Encodings:
    """Read a cfg; layers that shall be float16 are so in the twin.

    An ``error_analysis.txt`` beside it (``--qtable``) says which tensors are parts of others.
    """
    cfg = read_cfg(source)
    analysis = read_analysis(beside.second) if beside.second is not None else None
    entries = [*_tensors(source, cfg), *_kept(cfg)]
    plain = sum(not item.scale for item in cfg.parameters.values())
    notes = []
    if analysis is not None:
        entries = [_fused(entry, analysis) for entry in entries]
        notes.append(analysis.note)
    if plain:
        count = plural(plain, "tensor is", "tensors are")
        notes.append(f"{count} float32 in the cfg")
    return Encodings(source.checked(entries), notes=tuple(notes))


def _fused(entry: Entry, analysis: Analysis) -> Entry:
    if entry.kind == "tensor" and entry.name in analysis.fused:
        return replace(entry, unused=FUSED)
    return entry


def _tensors(source: Source, cfg: Cfg) -> Iterator[Entry]:
    for name, item in cfg.parameters.items():
        if not item.scale:
            continue
        wanted, _ = cfg.custom.get(name, ("", 0))
        if wanted == "int16" and item.low and item.high:
            like = Encoding.linear("int16", 1.0, 1)
            yield Entry(name, like.over(item.low[0], item.high[0]), line=item.line)
        else:
            yield Entry(name, _encoding(source, name, item), line=item.line)


def _encoding(source: Source, name: str, item: Parameters) -> Encoding:
    zeros = item.zero_point or (0.0,)
    if item.dtype not in ("int8", "int16", "int32", "uint8"):
        raise source.fault(f"{name_of(name)} has the type {name_of(item.dtype)}", item.line)
    if len(zeros) not in (1, len(item.scale)) or any(zero != int(zero) for zero in zeros):
        raise source.fault(f"the zero points of {name_of(name)} do not fit its scales", item.line)
    return Encoding.linear(item.dtype, item.scale, [int(zero) for zero in zeros])


def _kept(cfg: Cfg) -> Iterator[Entry]:
    for name, (kind, line) in cfg.custom.items():
        if kind == "float16":
            yield Entry(name, Encoding("float16"), "node", line=line)


def quantize_weight(weight: npt.NDArray[np.float32], node: Node, axis: int) -> Coded:
    """RKNN's codes of a weight: asymmetric int8, one scale an output channel."""
    del node
    others = tuple(at for at in range(weight.ndim) if at != axis)
    low = np.minimum(weight.min(axis=others), 0).astype(np.float64)
    high = np.maximum(weight.max(axis=others), 0).astype(np.float64)
    scale = ((high - low) / 255).astype(np.float32)
    scale = np.where(scale > 0, scale, _ZERO_STEP)
    zero = np.rint(-128 - low / scale).astype(np.int64)
    shape = [-1 if at == axis else 1 for at in range(weight.ndim)]
    steps = np.rint(weight.astype(np.float32) / scale.reshape(shape))
    codes = np.clip(steps.astype(np.int64) + zero.reshape(shape), -128, 127)
    return Coded(codes, Encoding.linear("int8", scale, zero, axis))


def ignored(
    graph: Graph, with_entry: frozenset[str], in_float: frozenset[str]
) -> Mapping[str, str]:
    """Products that are computed together with what is behind them: their entries do not count.

    Where one of the two is in float and the other is not, they are computed apart.
    """
    found = {}
    for tensor in with_entry:
        if tensor in graph.outputs or not _is_product(graph, tensor):
            continue
        beside = [graph.producer[tensor], *graph.readers.get(tensor, [])]
        if len({node.label in in_float for node in beside}) > 1:
            continue
        if _feeds_activation(graph, tensor, with_entry):
            found[tensor] = "the activation behind it is computed with it"
        elif _feeds_sum(graph, tensor):
            found[tensor] = "the Add behind it is computed with it"
    return found


def _is_product(graph: Graph, tensor: str) -> bool:
    """Whether a tensor is a product, but for factors and summands that are constant."""
    node = graph.producer.get(tensor)
    for _ in range(_FEW):
        if node is None or node.op in WEIGHTED:
            return node is not None
        computed = [name for name in node.inputs if name and not graph.is_constant(name)]
        if node.op not in _STEPS or len(computed) != 1:
            return False
        if len(graph.readers.get(computed[0], [])) != 1:
            return False
        node = graph.producer.get(computed[0])
    return False


def _feeds_activation(graph: Graph, tensor: str, with_entry: frozenset[str]) -> bool:
    """Whether everything made of a tensor, up to the next one with an entry, is an activation."""
    inside, ends = {tensor}, set[str]()
    ops = set[str]()
    waiting = [tensor]
    while waiting:
        for node in graph.readers.get(waiting.pop(), []):
            others = [x for x in node.inputs if x and not graph.is_constant(x) and x not in inside]
            if node.op not in _STEPS | _ACTIVATIONS or len(ops) > _FEW:
                return False
            ops.add(node.op)
            made = node.outputs[0]
            if others and made not in with_entry and len(inside) > _FEW:
                return False
            if made in with_entry or made in graph.outputs:
                ends.add(made)
            elif made not in inside:
                inside.add(made)
                waiting.append(made)
    return len(ends) == 1 and bool(ops & _ACTIVATIONS) and _is_closed(graph, inside, ends)


def _is_closed(graph: Graph, inside: set[str], ends: set[str]) -> bool:
    """Whether the end, and all before it, is made of these tensors and constants only."""
    made = [graph.producer[name] for name in [*inside, *ends] if name in graph.producer]
    behind = [node for node in made if any(name in inside for name in node.inputs)]
    return all(
        name in inside or graph.is_constant(name)
        for node in behind
        for name in filter(None, node.inputs)
    )


def _feeds_sum(graph: Graph, tensor: str) -> bool:
    """Whether one Add of two computed tensors alone reads a product."""
    readers = graph.readers.get(tensor, [])
    if len(readers) != 1 or readers[0].op != "Add":
        return False
    return not any(graph.is_constant(name) for name in readers[0].inputs)


RULES = Rules(
    simplify=True,
    weights=quantize_weight,
    integer_bias=True,
    suffixes=(
        r"_to_(?:int8|float16)",
        r"_(?:mm|rs|expand|int8|float16)",
        r"-rs",
        r"__?\d+",
    ),
    drop=ignored,
    made={
        r".+_2conv\d+(?:[-_]\w+)*": "RKNN computes a global average with Convs of its own",
        r".+_dup\d+(?:[-_]\w+)*": "RKNN copies a constant for each of its readers",
        SWAPPED: WHY_SWAPPED,
        r".+(?:_to_\w+|_expand|_mm|-rs)": "RKNN makes this tensor when it rewrites the graph",
    },
    rest="stays float, or is a part of what RKNN computes as one layer",
    notes=(
        "RKNN rewrites the graph (a global average becomes a Conv): what it adds has no place in "
        "the float model; for all of it give the .model of step 1 with --names",
    ),
)

ENCODINGS = ToolchainEncodings(
    formats=(
        Format("rknn-cfg", "RKNN quantization.cfg", is_cfg, read),
        Format(
            "rknn-analysis",
            "RKNN error analysis",
            is_analysis,
            without_ranges(
                "says how far each layer is off",
                "give the cfg of hybrid_quantization_step1 as QUANT, and this file as --qtable",
            ),
        ),
    ),
    writers=(Writer("cfg", "RKNN quantization.cfg", (".cfg",), write_cfg),),
    rules=RULES,
    target=Target(wide=("float", "16"), ranges=False),
)
