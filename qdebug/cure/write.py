"""The repaired model: the given graph with a plan's quantizers and biases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from qdebug.analysis.what_if import clip_bounds
from qdebug.cure.grids import Rounded
from qdebug.cure.network import Config, Network, Numbers
from qdebug.cure.setting import FREE, Setting
from qdebug.cure.sites import Site, Weight
from qdebug.graph.marks import mark_of_corrected, without_corrected
from qdebug.graph.model import Graph
from qdebug.graph.rewrite import reads_of, renamed

Array = npt.NDArray[Any]
_MICROSOFT = "com.microsoft"
_FIRST_WIDE = 21
"""The operator set in which ONNX's own quantizers learn 16 bits."""
_INT32 = 2**31 - 1
TUNED = "_tuned"
"""Ends the name of a constant that replaces the given one."""


def tuned_model(
    network: Network,
    config: Config,
    numbers: Numbers,
    rounded: Mapping[str, Rounded] = MappingProxyType({}),
) -> onnx.ModelProto:
    """A QDQ model of a configuration.

    Folded activations are put back where a range no longer stands for them. A bias is quantized
    with the product of its input's and its weight's scale, as integer kernels expect; one that does
    not fit 32 bits so, or whose input is left in floating point, is stored in floating point.

    Args:
        network: the pair of graphs.
        config: a setting for each site.
        numbers: corrected biases by ``Weight.tensor``; others in it are not read.
        rounded: weights on another grid by ``Weight.tensor``.
    """
    return _Writer(network, config, numbers, rounded).build()


class _Writer:
    def __init__(
        self,
        network: Network,
        config: Config,
        numbers: Numbers,
        rounded: Mapping[str, Rounded],
    ) -> None:
        self.network, self.config, self.numbers = network, config, numbers
        self.rounded = rounded
        self.graph: Graph = network.quant_graph
        self.model = onnx.ModelProto()
        self.model.CopyFrom(self.graph.proto)
        onnx.load_external_data_for_model(self.model, str(self.graph.folder.resolve()))
        self.by_output = {o: n for n in self.model.graph.node for o in n.output}
        self.before: dict[str, list[onnx.NodeProto]] = {}
        self.gone: set[str] = set()
        self.renames: dict[str, str] = {}
        self.stale: set[str] = set()
        self.corrected: list[str] = []
        self._taken = {n for node in self.model.graph.node for n in (*node.input, *node.output)}
        self._taken |= {t.name for t in self.model.graph.initializer}

    def build(self) -> onnx.ModelProto:
        """The model, with nothing left over that no node reads."""
        for site in self.network.sites:
            if self.config[site.index] != site.given:
                self._set(site, self.config[site.index])
        for weight in self.network.weights:
            if weight.role == "bias":
                self._bias(weight)
            elif weight.tensor in self.rounded:
                self._round(weight, self.rounded[weight.tensor])
        self._assemble()
        if self.corrected:
            key, value = mark_of_corrected(self.corrected)
            without_corrected(self.model).metadata_props.add(key=key, value=value)
        return self.model

    def _set(self, site: Site, setting: Setting) -> None:
        quantize = self.by_output[self.graph.nodes[site.nodes[0]].outputs[0]]
        source = self._activated(site, setting, quantize)
        if setting.bits == FREE:
            for reading in site.readings:
                self._free(reading, source)
            return
        quantize.input[0] = source
        signed = site.quantizer.dtype.startswith("int")
        scale, zero = self._parameters(site.raw, setting, signed)
        nodes = [quantize, *(self.by_output[reading] for reading in site.readings)]
        for node in nodes:
            del node.input[1:]
            node.input.extend([scale, zero])
            self._of_width(node, setting.bits)
        self.stale.add(quantize.output[0])

    def _of_width(self, node: onnx.NodeProto, bits: int) -> None:
        kept = [a for a in node.attribute if a.name == "axis"]
        del node.attribute[:]
        node.attribute.extend(kept)
        node.domain = _MICROSOFT if bits > 8 and self.graph.opset < _FIRST_WIDE else ""

    def _parameters(self, name: str, setting: Setting, signed: bool) -> tuple[str, str]:
        kinds = {8: (np.uint8, np.int8), 16: (np.uint16, np.int16)}[setting.bits]
        lowest = -(2 ** (setting.bits - 1)) if signed else 0
        zero = np.asarray(setting.zero + lowest, kinds[int(signed)])
        return (
            self._constant(f"{name}_tuned_scale", np.asarray(setting.scale, np.float32)),
            self._constant(f"{name}_tuned_zero_point", zero),
        )

    def _activated(self, site: Site, setting: Setting, before: onnx.NodeProto) -> str:
        """The quantizer's input, behind the activation it no longer stands for."""
        if site.folded is None:
            return site.raw
        low, high = (
            (0.0, float("inf"))
            if site.folded.op == "Relu"
            else clip_bounds(self.network.float_graph, site.folded)
        )
        if setting.bits != FREE and setting.low >= low and setting.high <= high:
            return site.raw
        name = self._name(f"{site.raw}_tuned_activation")
        if site.folded.op == "Relu":
            node = helper.make_node("Relu", [site.raw], [name], name=name)
        elif self.graph.opset < 11:
            node = helper.make_node("Clip", [site.raw], [name], name=name, min=low, max=high)
        else:
            ends = [
                self._constant(f"{name}_{end}", np.asarray(value, np.float32))
                for end, value in (("low", low), ("high", high))
            ]
            node = helper.make_node("Clip", [site.raw, *ends], [name], name=name)
        self.before.setdefault(before.output[0], []).append(node)
        return name

    def _free(self, reading: str, source: str) -> None:
        """Let readers read the float value; an output of the model keeps its name."""
        if reading in self.graph.outputs:
            node = helper.make_node("Identity", [source], [reading], name=f"{reading}_tuned_copy")
            self.before.setdefault(reading, []).append(node)
        else:
            self.renames[reading] = source
        self.gone.add(reading)

    def _round(self, weight: Weight, rounded: Rounded) -> None:
        """Let a weight's readers read codes on another grid."""
        quantizer, codes = rounded.quantizer, rounded.codes
        names = [
            self._constant(f"{weight.tensor}{TUNED}", codes),
            self._constant(f"{weight.tensor}_tuned_scale", quantizer.scale),
            self._constant(
                f"{weight.tensor}_tuned_zero_point", quantizer.zero_point.astype(codes.dtype)
            ),
        ]
        for reading in weight.readings:
            node = self.by_output[reading]
            del node.input[:]
            node.input.extend(names)
            _along(node, quantizer.axis)

    def _bias(self, bias: Weight) -> None:
        value = np.asarray(self.numbers.get(bias.tensor, bias.given), np.float32)
        if bias.quantizer is None:
            if bias.tensor in self.numbers:
                self._replace(bias, value)
            return
        scale = self._bias_scale(bias)
        given = np.asarray(bias.quantizer.scale, np.float32)
        if scale is not None and bias.tensor not in self.numbers and np.array_equal(scale, given):
            return
        if scale is None:
            self._replace(bias, value)
            return
        codes = np.rint(value.astype(np.float64) / scale.astype(np.float64))
        if not np.abs(codes).max(initial=0) <= _INT32:
            self._replace(bias, value)
            return
        stored = self._constant(f"{bias.tensor}{TUNED}", codes.astype(np.int32))
        if bias.tensor in self.numbers:
            self.corrected.append(stored)
        step = self._constant(f"{bias.tensor}_tuned_scale", scale)
        zero = self._constant(f"{bias.tensor}_tuned_zero", np.zeros(scale.shape, np.int32))
        for reading in bias.readings:
            node = self.by_output[reading]
            del node.input[:]
            node.input.extend([stored, step, zero])
            _along(node, 0 if scale.ndim else None)

    def _bias_scale(self, bias: Weight) -> Array | None:
        """Input scale times weight scale; None where the input is not quantized any more."""
        assert bias.quantizer is not None
        given = np.asarray(bias.quantizer.scale, np.float32)
        sites = {reading: site for site in self.network.sites for reading in site.readings}
        weights = {r: w for w in self.network.weights if w.role == "weight" for r in w.readings}
        for node, _ in self.graph.consumers.get(bias.readings[0], ()):
            site, weight = sites.get(node.inputs[0]), weights.get(node.inputs[1])
            if site is None or weight is None or weight.quantizer is None:
                return given
            setting, rounded = self.config[site.index], self.rounded.get(weight.tensor)
            if setting == site.given and rounded is None:
                return given
            if setting.bits == FREE:
                return None
            of_weight = weight.quantizer if rounded is None else rounded.quantizer
            product = np.float32(setting.scale) * np.asarray(of_weight.scale, np.float32)
            shape = np.broadcast_shapes(product.shape, given.shape)
            return np.asarray(np.broadcast_to(product, shape), np.float32)
        return given

    def _replace(self, bias: Weight, value: Array) -> None:
        """Let the readers of a bias read it in floating point."""
        readings = bias.readings
        name = self._constant(f"{readings[0]}{TUNED}", value)
        if bias.tensor in self.numbers:
            self.corrected.append(name)
        self.renames.update(dict.fromkeys(readings, name))
        self.gone.update(readings)

    def _settled(self) -> dict[str, str]:
        """What is read instead of each tensor, at the end of any chain."""
        found = {}
        for name in self.renames:
            end = name
            while end in self.renames:
                end = self.renames[end]
            found[name] = end
        return found

    def _constant(self, name: str, value: Array) -> str:
        made = self._name(name)
        self.model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), made))
        return made

    def _name(self, name: str) -> str:
        made, number = name, 2
        while made in self._taken:
            made, number = f"{name}_{number}", number + 1
        self._taken.add(made)
        return made

    def _assemble(self) -> None:
        graph = self.model.graph
        nodes: list[onnx.NodeProto] = []
        for node in graph.node:
            for output in node.output:
                nodes.extend(self.before.get(output, ()))
            if not (set(node.output) & self.gone):
                nodes.append(node)
        nodes = [renamed(node, self._settled()) for node in nodes]
        nodes = _needed(nodes, [o.name for o in graph.output])
        del graph.node[:]
        graph.node.extend(nodes)
        read = {name for node in nodes for name in reads_of(node)} | {o.name for o in graph.output}
        _keep(graph.initializer, lambda t: t.name in read)
        made = {name for node in nodes for name in node.output}
        _keep(graph.value_info, lambda v: v.name in made and v.name not in self.stale)
        wide = any(node.domain == _MICROSOFT for node in nodes)
        if wide and all(o.domain != _MICROSOFT for o in self.model.opset_import):
            self.model.opset_import.append(helper.make_opsetid(_MICROSOFT, 1))


def _along(node: onnx.NodeProto, axis: int | None) -> None:
    """Give a quantizer its channel axis, or none."""
    kept = [a for a in node.attribute if a.name != "axis"]
    del node.attribute[:]
    node.attribute.extend(kept)
    if axis is not None:
        node.attribute.append(helper.make_attribute("axis", axis))


def _needed(nodes: Sequence[onnx.NodeProto], outputs: Sequence[str]) -> list[onnx.NodeProto]:
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted & set(node.output):
            kept.append(node)
            wanted.update(reads_of(node))
    return kept[::-1]


def _keep(items: Any, wanted: Any) -> None:
    kept = [item for item in items if wanted(item)]
    del items[:]
    items.extend(kept)
