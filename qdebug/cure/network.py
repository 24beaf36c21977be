"""A pair of graphs as the cure sees it, and the one session that runs any configuration of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from qdebug.analysis.ceiling import ROUNDING
from qdebug.analysis.what_if import emit_activation
from qdebug.capture.session import Session, SessionSettings
from qdebug.capture.shapes import types_for
from qdebug.cure.setting import Setting
from qdebug.cure.sites import (
    Site,
    Unit,
    Weight,
    count_macs,
    find_sites,
    find_units,
    find_weights,
)
from qdebug.graph.model import Graph
from qdebug.graph.pairs import Pair, Pairing, TensorForm
from qdebug.graph.rewrite import PREFIX, PartBuilder
from qdebug.graph.twin_outputs import output_layouts

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]
Config = tuple[Setting, ...]
"""A setting for each site."""
Numbers = Mapping[str, Array]
"""Weights and biases by ``Weight.tensor``, float32, where they are not the given ones."""


class Network:
    """The float and the quant graph, with what can be tuned in the quant graph.

    Args:
        float_graph: the reference.
        quant_graph: a QDQ graph.
        pairing: of the two.
        outputs: float output name to quant output name.
    """

    def __init__(
        self,
        float_graph: Graph,
        quant_graph: Graph,
        pairing: Pairing,
        outputs: Mapping[str, str],
    ) -> None:
        self.float_graph, self.quant_graph, self.pairing = float_graph, quant_graph, pairing
        self.outputs = dict(outputs)
        self.sites = find_sites(float_graph, quant_graph, pairing)
        self.weights = find_weights(float_graph, quant_graph, pairing)
        self._pairs = {pair.float_tensor: pair for pair in pairing.pairs}
        self._layouts = output_layouts(outputs, quant_graph, pairing)

    @property
    def given(self) -> Config:
        """The configuration of the quant graph."""
        return tuple(site.given for site in self.sites)

    def units(self, feeds: Feeds) -> tuple[Unit, ...]:
        """What can only change together, with its share of the multiplications.

        Args:
            feeds: of the quant graph; shapes are taken for these.
        """
        types = types_for(self.quant_graph, feeds, SessionSettings(threads=1))
        shapes = {n: t.fixed_shape for n, t in types.items() if t.fixed_shape is not None}
        return find_units(self.quant_graph, self.sites, count_macs(self.quant_graph, shapes))

    @cached_property
    def refined_numbers(self) -> dict[str, Array]:
        """Weights, biases and constants with what rounding took from them given back.

        What differs by more than a step was not rounded: it stays as it is.
        """
        return {w.tensor: found for w in self.weights if (found := _refined(w)) is not None}

    def codes_of(self, site: Site) -> str:
        """Tensor of a site's codes: it keeps its name in a repaired model."""
        return self.quant_graph.nodes[site.nodes[0]].outputs[0]

    def can_read(self, float_tensor: str) -> bool:
        """Whether the quant graph has a tensor of the same value."""
        return float_tensor in self._pairs or float_tensor in self.outputs

    def build(
        self,
        tensors: Sequence[str],
        numbers: Numbers | None = None,
        fixed: Config | None = None,
        also: Sequence[str] = (),
    ) -> Built:
        """The quant graph with quantizers that can be set from outside.

        Args:
            tensors: float tensors whose counterparts are the outputs.
            numbers: weights and biases other than the given ones.
            fixed: settings that are built in instead.
            also: tensors of the quant graph that are outputs too, before any quantizer.
        """
        return _Assembly(self, numbers or {}, fixed).build(tensors, also)

    def reading_of(self, float_tensor: str) -> tuple[str, TensorForm | None]:
        """The quant graph's tensor of the same value, and how it is laid out there."""
        pair: Pair | None = self._pairs.get(float_tensor)
        if float_tensor in self.outputs:
            name = self.outputs[float_tensor]
            layout = self._layouts.get(float_tensor)
            return name, None if pair is None else replace(pair.read_form, perm=layout)
        assert pair is not None
        return pair.read, pair.read_form


def _refined(weight: Weight) -> Array | None:
    quantizer, reference = weight.quantizer, weight.reference
    if reference is None or quantizer is None or quantizer.block_size:
        return None
    step = np.asarray(quantizer.scale, np.float32)
    if step.ndim and quantizer.axis is not None:
        shape = [1] * weight.given.ndim
        shape[quantizer.axis] = -1
        step = step.reshape(shape)
    is_rounded = np.abs(reference - weight.given) <= ROUNDING * np.abs(step)
    return np.asarray(np.where(is_rounded, reference, weight.given), np.float32)


@dataclass(frozen=True)
class Built:
    """A graph made by ``Network.build``.

    Attributes:
        model: the model.
        outputs: float tensor to output of the model.
        inputs: by site, the scalar inputs: low end, high end, scale, zero point.
    """

    model: onnx.ModelProto = field(repr=False)
    outputs: Mapping[str, str]
    inputs: Mapping[int, tuple[str, str, str, str]]


class _Assembly:
    """Emits the graph; see ``Network.build``."""

    def __init__(self, network: Network, numbers: Numbers, fixed: Config | None) -> None:
        self.network, self.numbers, self.fixed = network, numbers, fixed
        self.graph = network.quant_graph
        self.builder = PartBuilder(self.graph)
        self.renames: dict[str, str] = {}
        self.inputs: dict[int, tuple[str, str, str, str]] = {}
        self.after: dict[str, list[Site]] = {}

    def build(self, tensors: Sequence[str], also: Sequence[str]) -> Built:
        for number, weight in enumerate(self.network.weights):
            self._add_weight(number, weight)
        for site in self.network.sites:
            self.after.setdefault(site.raw, []).append(site)
            self.renames.update({r: f"{PREFIX}{_tag(site)}/dq" for r in site.readings})
        for name in self.graph.inputs:
            known = self.graph.type_of(name)
            self.builder.add_input(name, known.elem_type, known.shape)
            self._quantize(name)
        for node in self.graph.nodes:
            self.builder.add_nodes([node], self.renames)
            for name in node.outputs:
                self._quantize(name)
        outputs = {name: self._output(name) for name in tensors}
        for name in also:
            self.builder.add_output(name)
        return Built(self.builder.build(), outputs, self.inputs)

    def _add_weight(self, number: int, weight: Weight) -> None:
        value = self.numbers.get(weight.tensor, weight.given)
        name = self.builder.constant(f"{PREFIX}tune/weight/{number}", np.asarray(value, np.float32))
        self.renames.update(dict.fromkeys(weight.readings, name))

    def _quantize(self, tensor: str) -> None:
        for site in self.after.pop(tensor, ()):
            tag, value = _tag(site), self.renames.get(tensor, tensor)
            if site.folded is not None:
                graph = self.network.float_graph
                value = emit_activation(graph, site.folded, value, tag, self.builder)
            _, self.inputs[site.index] = self.builder.switchable(value, tag)
            if self.fixed is not None:
                self.builder.settle(
                    dict(zip(self.inputs[site.index], self._values(site), strict=True))
                )

    def _values(self, site: Site) -> tuple[Array, ...]:
        assert self.fixed is not None
        return scalars(self.fixed[site.index])

    def _output(self, float_tensor: str) -> str:
        name, form = self.network.reading_of(float_tensor)
        held = self.renames.get(name, name)
        if form is not None and (form.perm is not None or form.quantizer is not None):
            kind = self.graph.type_of(name).elem_type
            held = self.builder.decode(held, form, kind, f"tune/out/{float_tensor}")
        self.builder.add_output(held)
        return held


def _tag(site: Site) -> str:
    return f"tune/site/{site.index}"


def scalars(setting: Setting) -> tuple[Array, Array, Array, Array]:
    """A setting as the four inputs of a quantizer: low, high and scale float32, zero uint16."""
    return (
        np.asarray(setting.low, np.float32),
        np.asarray(setting.high, np.float32),
        np.asarray(setting.scale, np.float32),
        np.asarray(setting.zero, np.uint16),
    )


class Engine:
    """One session of the quant graph; every run may have another configuration.

    Args:
        network: what is run.
        tensors: float tensors whose counterparts are wanted.
        numbers: weights and biases other than the given ones; others need another session.
        settings: how to run it. As declared, an engine gives the given model's numbers bit by bit
            under the given configuration; ``reordered`` is faster and sums in another order.
    """

    def __init__(
        self,
        network: Network,
        tensors: Sequence[str],
        numbers: Numbers | None = None,
        settings: SessionSettings | None = None,
    ) -> None:
        self.network = network
        self._built = network.build(tensors, numbers)
        chosen = settings or SessionSettings(reordered=True)
        self._session = Session(self._built.model, network.quant_graph, chosen)
        self._known: dict[Setting, tuple[Any, ...]] = {}
        self.runs = 0

    def run(self, feeds: Feeds, config: Config) -> dict[str, Array]:
        """The tensors under a configuration, by float name, float32 in the float layout.

        Raises:
            ModelError: ONNX Runtime cannot run it.
        """
        values = dict(feeds)
        for index, names in self._built.inputs.items():
            values.update(zip(names, self._values(config[index]), strict=True))
        found = self._session.run(values)
        self.runs += 1
        return {
            name: np.array(found[output], np.float32)
            for name, output in self._built.outputs.items()
        }

    def _values(self, setting: Setting) -> tuple[Any, ...]:
        """ONNX Runtime's values of a setting, made once."""
        if setting not in self._known:
            self._known[setting] = tuple(self._session.value(v) for v in scalars(setting))
        return self._known[setting]
