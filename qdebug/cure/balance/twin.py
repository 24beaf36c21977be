"""The quantized twin of a float model whose channels were balanced, on the given twin's scheme."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from qdebug.cure.balance.links import Link
from qdebug.cure.grids import has_form, requantized
from qdebug.cure.network import Network
from qdebug.cure.setting import Scheme, Setting
from qdebug.cure.sites import Unit, Weight
from qdebug.cure.write import tuned_model
from qdebug.graph.marks import without_corrected
from qdebug.graph.model import Graph

Array = npt.NDArray[Any]
Reach = Mapping[str, tuple[float, float]]
"""Smallest and largest value by float tensor."""


@dataclass(frozen=True)
class Places:
    """Where the twin holds constants of the float model.

    Attributes:
        weights: those that are codes, by initializer of the float graph.
        plain: those that it holds as they are, under the same name.
        folded: by the gain of a BatchNormalization, the weight and the bias that it is folded into.
    """

    weights: Mapping[str, Weight]
    plain: frozenset[str]
    folded: Mapping[str, tuple[Weight, ...]]

    def hold(self, link: Link) -> bool:
        """Whether the twin has all constants of a link."""
        is_folded = link.makers[0].tensor in self.folded
        parts = link.readers if is_folded else link.parts
        return {part.tensor for part in parts} <= self.weights.keys() | self.plain


def places_of(network: Network, links: Sequence[Link]) -> Places:
    """Find the constants of links in the twin; what was laid out anew is not there."""
    by_node: dict[int, list[Weight]] = {}
    for weight in network.weights:
        for node in _float_nodes(network, weight):
            by_node.setdefault(node, []).append(weight)
    weights: dict[str, Weight] = {}
    plain: set[str] = set()
    for part in dict.fromkeys(part for link in links for part in link.parts):
        value = network.float_graph.constant(part.tensor)
        assert value is not None
        same = [w for w in by_node.get(part.node, ()) if _is_of(w, value)]
        if same:
            weights[part.tensor] = same[0]
        elif _is_plain(network.quant_graph, part.tensor, value):
            plain.add(part.tensor)
    folded = {}
    for link in links:
        held = by_node.get(link.before.node, ()) if link.before is not None else ()
        known = [w for w in held if _is_folded(network, w, link)]
        known.sort(key=lambda weight: weight.role)
        if [weight.role for weight in known] == ["bias", "weight"]:
            folded[link.makers[0].tensor] = tuple(known)
    return Places(weights, frozenset(plain), folded)


def _is_folded(network: Network, weight: Weight, link: Link) -> bool:
    """Whether a Conv's weight has a BatchNormalization's gain in it, or which bias it has."""
    reference = weight.reference
    if reference is None or weight.quantizer is None or reference.shape[:1] != (link.channels,):
        return False
    if weight.role == "bias":
        return True
    assert link.before is not None
    parts = link.before.tensor, link.makers[0].tensor
    own, gain = (network.float_graph.constant(name) for name in parts)
    if own is None or gain is None or own.shape != reference.shape or not has_form(weight):
        return False
    share = (gain / np.array(link.deviation)).reshape(-1, *[1] * (own.ndim - 1))
    return bool(np.allclose(reference, own * share, rtol=1e-4, atol=1e-6))


def _float_nodes(network: Network, weight: Weight) -> set[int]:
    """Float nodes that use a weight; for a constant, those that make what its readers make."""
    if weight.node is not None:
        return {weight.node}
    makers = {pair.raw: pair.float_tensor for pair in network.pairing.pairs}
    named = (
        makers.get(name, "")
        for reading in weight.readings
        for node, _ in network.quant_graph.consumers.get(reading, ())
        for name in node.outputs
    )
    producer = network.float_graph.producer
    return {producer[name].index for name in named if name in producer}


def _is_of(weight: Weight, value: Array) -> bool:
    """Whether a weight stands for a constant, in the same layout.

    What is folded into it may multiply each output channel by a number.
    """
    reference = weight.reference
    if weight.quantizer is None or reference is None or reference.size != value.size:
        return False
    if weight.role == "bias":
        return bool(np.allclose(reference.ravel(), value.ravel()))
    if not has_form(weight) or reference.shape != value.shape:
        return False
    if weight.role != "weight":
        return bool(np.allclose(reference, value))
    rows, wanted = (v.reshape(len(v), -1).astype(np.float64) for v in (reference, value))
    power = (wanted * wanted).sum(axis=1)
    share = (rows * wanted).sum(axis=1) / np.where(power > 0, power, 1)
    return bool(np.allclose(rows, share[:, None] * wanted))


def _is_plain(graph: Graph, name: str, value: Array) -> bool:
    tensor = graph.initializers.get(name)
    if tensor is None or tensor.data_type != onnx.TensorProto.FLOAT:
        return False
    held = graph.constant(name)
    return held is not None and np.array_equal(held, value)


def can_follow(network: Network, units: Sequence[Unit], link: Link) -> bool:
    """Whether the ranges of what lies between can be set without touching anything else."""
    inside = set(link.tensors)
    return all(
        network.sites[site].float_tensor in inside
        for unit in _touched(network, units, inside)
        for site in unit.sites
    )


def _touched(network: Network, units: Sequence[Unit], tensors: Collection[str]) -> list[Unit]:
    return [u for u in units if any(network.sites[s].float_tensor in tensors for s in u.sites)]


def balanced_twin(
    network: Network,
    units: Sequence[Unit],
    values: Mapping[str, Array],
    places: Places,
    reach: tuple[Reach, Reach],
    scheme: Scheme,
) -> onnx.ModelProto:
    """The twin with new constants: codes by quantizers of the given form, ranges moved along.

    Args:
        network: the given pair.
        units: of it.
        values: new constants by initializer of the float graph.
        places: of them in the twin.
        reach: of the tensors in between, before and after.
        scheme: what the target can express.
    """
    references = _new_references(network, values, places)
    roles = {weight.tensor: weight.role for weight in network.weights}
    biases = {name: value for name, value in references.items() if roles[name] == "bias"}
    others = {name: value for name, value in references.items() if roles[name] != "bias"}
    config = list(network.given)
    for unit in _touched(network, units, reach[0].keys()):
        setting = _moved(network, unit, reach, scheme)
        for site in unit.sites:
            config[site] = setting
    model = tuned_model(network, tuple(config), biases, requantized(network, others))
    for tensor in model.graph.initializer:
        if tensor.name in places.plain and tensor.name in values:
            tensor.CopyFrom(numpy_helper.from_array(values[tensor.name], tensor.name))
    return without_corrected(model)


def _new_references(
    network: Network, values: Mapping[str, Array], places: Places
) -> dict[str, Array]:
    """What the twin's weights are to stand for, by ``Weight.tensor``, float32.

    By as much as a constant of the float model changes, what holds it does. One weight may hold
    two: its own, scaled along what it reads, and the gain behind it, along what it makes.
    """
    found: dict[str, Array] = {}

    def scale(weight: Weight, ratio: Array) -> None:
        value = found.get(weight.tensor, weight.reference)
        assert value is not None
        shape = (*ratio.shape, *[1] * (value.ndim - ratio.ndim))
        found[weight.tensor] = (value * ratio.reshape(shape)).astype(np.float32)

    for name in sorted(values.keys() & places.weights.keys()):
        weight = places.weights[name]
        scale(weight, _change(network, name, values).reshape(weight.given.shape))
    for gain in sorted(values.keys() & places.folded.keys()):
        for weight in places.folded[gain]:
            scale(weight, _change(network, gain, values))
    return found


def _change(network: Network, name: str, values: Mapping[str, Array]) -> Array:
    """By what each number of a constant is multiplied; 1 where it is zero and stays so."""
    given = network.float_graph.constant(name)
    assert given is not None
    alive = given != 0
    return np.where(alive, values[name] / np.where(alive, given, 1), 1)


def _moved(network: Network, unit: Unit, reach: tuple[Reach, Reach], scheme: Scheme) -> Setting:
    """The given range, longer or shorter by as much as the values reach now."""
    first = network.sites[unit.sources[0] if unit.sources else unit.sites[0]]
    given, tensor = first.given, first.float_tensor
    assert tensor is not None
    before, after = reach[0][tensor], reach[1][tensor]
    low = given.low * _ratio(min(before[0], 0.0), min(after[0], 0.0))
    high = given.high * _ratio(max(before[1], 0.0), max(after[1], 0.0))
    return scheme.over(low, high, given.bits)


def _ratio(before: float, after: float) -> float:
    return after / before if before else 1.0
