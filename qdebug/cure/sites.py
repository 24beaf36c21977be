"""Where a quantized graph can be tuned: its activation quantizers and its weights."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.what_if import dequantized, folded_activation, in_quant_layout
from qdebug.cure.setting import Setting, given
from qdebug.graph.constants import Constants
from qdebug.graph.model import Graph, Node
from qdebug.graph.multiplications import multiplications
from qdebug.graph.operators import KEEPS_CODES
from qdebug.graph.pairs import Pair, Pairing, Quantizer
from qdebug.graph.qparams import linear_quantizer

Array = npt.NDArray[Any]
_TYPES = ("uint8", "int8", "uint16", "int16")


@dataclass(frozen=True)
class Site:
    """An activation quantizer of one scale, which a plan may set.

    Attributes:
        index: its position among the sites.
        raw: tensor that it quantizes, in the quant graph.
        readings: outputs of its ``DequantizeLinear`` nodes.
        nodes: indices of its ``QuantizeLinear`` and ``DequantizeLinear`` nodes.
        quantizer: as given.
        float_tensor: the float graph's tensor of the same value; None where there is none.
        folded: float node (``Relu`` or ``Clip``) that the quantizer stands for, if any.
        label: name of the node that makes ``raw``, for people.
    """

    index: int
    raw: str
    readings: tuple[str, ...]
    nodes: tuple[int, ...]
    quantizer: Quantizer
    float_tensor: str | None
    folded: Node | None = field(repr=False)
    label: str

    @property
    def given(self) -> Setting:
        """Its setting in the quant graph."""
        return given(self.quantizer)


@dataclass(frozen=True)
class Weight:
    """A constant that the quant graph holds as codes.

    Attributes:
        tensor: of the codes.
        readings: outputs of its ``DequantizeLinear`` nodes; the constant itself where it was left
            in floating point.
        role: ``weight``, ``bias`` or ``constant``.
        quantizer: as given.
        given: its numbers, float32.
        reference: the float model's numbers in the same layout; None where they are not known.
        node: index of the float node that uses it; None for a constant.
    """

    tensor: str
    readings: tuple[str, ...]
    role: str
    quantizer: Quantizer | None
    given: Array = field(repr=False, compare=False)
    reference: Array | None = field(repr=False, compare=False)
    node: int | None = None


@dataclass(frozen=True)
class Unit:
    """Quantizers that can only change together: a source and those that pass its values on.

    Attributes:
        sites: their indices, in execution order.
        sources: those of them where values are rounded; at the others they are on the grid already.
        label: names of the nodes that make them.
        macs: share of the network's multiplications that read one of them, 0..1.
    """

    sites: tuple[int, ...]
    sources: tuple[int, ...]
    label: str
    macs: float


def find_sites(float_graph: Graph, quant_graph: Graph, pairing: Pairing) -> tuple[Site, ...]:
    """The activation quantizers that can be set, in execution order."""
    constants = Constants(quant_graph)
    pairs: dict[str, list[Pair]] = {}
    for pair in pairing.pairs:
        pairs.setdefault(pair.raw, []).append(pair)
    sites: list[Site] = []
    for node in quant_graph.nodes:
        found = _site(len(sites), node, (float_graph, quant_graph), constants, pairs)
        if found is not None:
            sites.append(found)
    return tuple(sites)


def _site(
    index: int,
    node: Node,
    graphs: tuple[Graph, Graph],
    constants: Constants,
    pairs: Mapping[str, Sequence[Pair]],
) -> Site | None:
    graph = graphs[1]
    if node.op != "QuantizeLinear" or node.inputs[0] in constants:
        return None
    quantizer = linear_quantizer(constants, node)
    readers = graph.consumer_nodes(node.outputs[0])
    if not _is_plain(quantizer) or node.outputs[0] in graph.outputs or not readers:
        return None
    assert quantizer is not None
    for reader in readers:
        other = linear_quantizer(constants, reader) if reader.op == "DequantizeLinear" else None
        if other is None or not _is_plain(other) or given(other) != given(quantizer):
            return None
    raw, readings = node.inputs[0], tuple(reader.outputs[0] for reader in readers)
    known = pairs.get(raw, ())
    pair = next((p for p in known if p.read in readings), next(iter(known), None))
    maker = graph.producer.get(raw)
    return Site(
        index,
        raw,
        readings,
        (node.index, *(reader.index for reader in readers)),
        quantizer,
        pair.float_tensor if pair is not None else None,
        folded_activation(*graphs, pair) if pair is not None else None,
        maker.label if maker is not None else raw,
    )


def _is_plain(quantizer: Quantizer | None) -> bool:
    if quantizer is None or quantizer.dtype not in _TYPES or quantizer.scale.ndim:
        return False
    return bool(np.isfinite(quantizer.scale)) and float(quantizer.scale) > 0


def left_alone(graph: Graph, sites: Iterable[Site]) -> list[str]:
    """Tensors that are quantized in a way that no plan here can set."""
    constants = Constants(graph)
    taken = {index for site in sites for index in site.nodes}
    return [
        node.inputs[0]
        for node in graph.nodes
        if node.op in _QUANTIZES and node.index not in taken and node.inputs[0] not in constants
    ]


_QUANTIZES = frozenset({"QuantizeLinear", "DynamicQuantizeLinear"})


def find_weights(float_graph: Graph, quant_graph: Graph, pairing: Pairing) -> tuple[Weight, ...]:
    """The quantized constants, each once."""
    constants = Constants(quant_graph)
    found: dict[str, Weight] = {}
    for pair in pairing.weights:
        readings = tuple(dequantized(quant_graph, pair.quant_tensor))
        if not readings and pair.quantizer is None and pair.quant_tensor in constants:
            readings = (pair.quant_tensor,)  # left in floating point
        value = constants.value(readings[0]) if readings else None
        if value is not None and pair.quant_tensor not in found:
            reference = in_quant_layout(pair, quant_graph)
            if reference is not None and reference.shape != value.shape:
                reference = None
            numbers = np.asarray(value, np.float32)
            found[pair.quant_tensor] = Weight(
                pair.quant_tensor,
                readings,
                pair.role,
                pair.quantizer,
                numbers,
                reference,
                pair.node,
            )
    taken = {reading for weight in found.values() for reading in weight.readings}
    for node in quant_graph.nodes:
        if node.op == "DequantizeLinear" and node.outputs[0] not in taken:
            other = _constant(float_graph, quant_graph, pairing, constants, node)
            if other is not None:
                found.setdefault(other.tensor, other)
    return tuple(found.values())


def _constant(
    float_graph: Graph, quant_graph: Graph, pairing: Pairing, constants: Constants, node: Node
) -> Weight | None:
    """A quantized number that an operator such as ``Mul`` reads, beside the float graph's own."""
    if node.inputs[0] not in constants:
        return None
    value = constants.value(node.outputs[0])
    if value is None:
        return None
    numbers = np.asarray(value, np.float32)
    reference = _twin(float_graph, quant_graph, pairing, node.outputs[0], numbers)
    quantizer = linear_quantizer(constants, node)
    return Weight(node.inputs[0], (node.outputs[0],), "constant", quantizer, numbers, reference)


def _twin(
    float_graph: Graph, quant_graph: Graph, pairing: Pairing, reading: str, value: Array
) -> Array | None:
    """The float model's constant in the same slot of the same operator."""
    by_raw = {pair.raw: pair.float_tensor for pair in pairing.pairs}
    for node, slot in quant_graph.consumers.get(reading, ()):
        maker = float_graph.producer.get(by_raw.get(node.outputs[0], ""))
        if maker is None or maker.op != node.op or len(maker.inputs) <= slot:
            continue
        found = float_graph.constant(maker.inputs[slot])
        if found is not None and found.size == value.size:
            return np.asarray(found, np.float32).reshape(value.shape)
    return None


def find_units(graph: Graph, sites: Sequence[Site], macs: Mapping[int, float]) -> tuple[Unit, ...]:
    """Sites joined by operators that pass values on at an unchanged scale.

    Args:
        graph: the quant graph.
        sites: of it.
        macs: by node index, share of all multiplications.
    """
    above = list(range(len(sites)))

    def root(at: int) -> int:
        while above[at] != at:
            at = above[at]
        return at

    carried, whole = _carried(graph, sites)
    for site in sites:
        for other in carried.get(site.raw, ()):
            if sites[other].given == site.given:
                first, second = sorted((root(other), root(site.index)))
                above[second] = first
    groups: dict[int, list[int]] = {}
    for site in sites:
        groups.setdefault(root(site.index), []).append(site.index)
    found = []
    for members in (groups[first] for first in sorted(groups)):
        passing = {
            m for m in members if sites[m].raw in whole and carried[sites[m].raw] <= set(members)
        }
        share = _read_by(graph, {t for t, held in carried.items() if held & set(members)}, macs)
        sources = tuple(m for m in members if m not in passing)
        found.append(Unit(tuple(members), sources, _label([sites[m] for m in members]), share))
    return tuple(found)


def _label(sites: Sequence[Site]) -> str:
    """Names of the nodes that make the tensors of a unit; many are cut short."""
    names = list(dict.fromkeys(site.label for site in sites))
    shown = " + ".join(names[:_MOST_NAMES])
    return shown if len(names) <= _MOST_NAMES else f"{shown} + {len(names) - _MOST_NAMES} more"


_MOST_NAMES = 4


def _carried(graph: Graph, sites: Sequence[Site]) -> tuple[dict[str, frozenset[int]], set[str]]:
    """By tensor: the sites whose values it holds, moved at most; and which hold nothing else."""
    found = {reading: frozenset({site.index}) for site in sites for reading in site.readings}
    whole = set(found)
    constants = Constants(graph)
    for node in graph.nodes:
        if not _passes_on(node):
            continue
        moved = [name for name in node.inputs if name and name not in constants]
        from_where = frozenset().union(*(found.get(name, frozenset()) for name in moved))
        for name in node.outputs if from_where else ():
            found.setdefault(name, from_where)
            if all(source in whole for source in moved):
                whole.add(name)
    return found, whole


def _passes_on(node: Node) -> bool:
    if node.op in ("Resize", "Upsample"):
        return str(node.attributes.get("mode", "nearest")) == "nearest"
    return node.op in KEEPS_CODES


def _read_by(graph: Graph, tensors: Iterable[str], macs: Mapping[int, float]) -> float:
    nodes = {node.index for tensor in tensors for node in graph.consumer_nodes(tensor)}
    return float(sum(macs.get(index, 0.0) for index in nodes))


def find_links(
    graph: Graph, sites: Sequence[Site], units: Sequence[Unit]
) -> frozenset[tuple[int, int]]:
    """Pairs of units, by position, of which one is computed from the other by one operator.

    Where one of the two has more bits, the values between them have to be converted.
    """
    owner = {site: at for at, unit in enumerate(units) for site in unit.sites}
    makes = {site.raw: owner[site.index] for site in sites}
    carried, _ = _carried(graph, sites)
    found: set[tuple[int, int]] = set()
    for tensor, held in carried.items():
        for node in graph.consumer_nodes(tensor):
            ends = {makes[name] for name in node.outputs if name in makes}
            found.update((owner[site], end) for site in held for end in ends)
    return frozenset((a, b) for a, b in found if a != b)


def count_converts(links: Iterable[tuple[int, int]], wide: Collection[int]) -> int:
    """Tensors that are needed at another width than they have, for some units of more bits."""
    return len({(a, b in wide) for a, b in links if (a in wide) != (b in wide)})


def expanded(units: Sequence[Unit], settings: Sequence[Setting]) -> tuple[Setting, ...]:
    """The setting of each site, from that of each unit."""
    found = {
        index: setting
        for unit, setting in zip(units, settings, strict=True)
        for index in unit.sites
    }
    return tuple(found[index] for index in sorted(found))


def count_macs(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> dict[int, float]:
    """Share of the network's multiplications by node index, for products."""
    found = multiplications(graph, shapes)
    total = sum(found.values())
    return {index: count / total for index, count in found.items()} if total else {}
