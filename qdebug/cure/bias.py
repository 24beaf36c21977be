"""Bias correction: what rounding the weights does to the mean of each channel, taken back.

``b += mean(float) - mean(quant)`` per output channel, layer after layer, so that later layers see
the corrected input ("Data-free quantization through weight equalization and bias correction",
Nagel et al. 2019, section 4.2, with measured means). Activations have 16 bits meanwhile: through
8-bit ones the correction would absorb errors that depend on the picture (clipping above all), and a
detector was seen to lose all its boxes by that.

What pictures do not agree on is corrected less: see `shrunk`.

All pictures go through the graph together, part by part, so no session is opened twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from qdebug.capture.session import Session, SessionSettings
from qdebug.cure.network import Config, Network, Numbers
from qdebug.graph.rewrite import PREFIX

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]

_CORRECTED = frozenset({"Conv", "ConvTranspose", "Gemm"})
_WITH_BIAS = 3
"""Inputs of such a node that has a bias."""


@dataclass(frozen=True)
class _Layer:
    """A product whose bias is corrected.

    Attributes:
        output: what it computes, in the quant graph.
        bias: ``Weight.tensor`` of its bias.
        axis: of the output channels.
    """

    output: str
    bias: str
    axis: int


def correct_biases(
    network: Network,
    wide: Config,
    feeds: Sequence[Feeds],
    settings: SessionSettings,
    check: Callable[[], None],
    numbers: Numbers | None = None,
) -> dict[str, Array]:
    """Corrected biases by ``Weight.tensor``, float32; empty where there is nothing to correct.

    Args:
        network: the pair of graphs.
        wide: a configuration of 16-bit activations.
        feeds: of the quant graph, for each picture.
        settings: how to run it.
        check: raises where the work is to stop.
        numbers: weights other than the given ones.

    Raises:
        ModelError: ONNX Runtime cannot run a part.
    """
    layers = {layer.output: layer for layer in _layers(network)}
    model = network.build(list(network.outputs), numbers, fixed=wide).model
    if not layers or any(_has_body(node) for node in model.graph.node):
        return {}
    means = _float_means(network, wide, list(layers.values()), feeds, settings, check)
    stream = _Stream(network, model, [dict(picture) for picture in feeds], settings)
    given = {weight.tensor: weight.given for weight in network.weights}
    found: dict[str, Array] = {}
    for output in stream.parts(list(layers)):
        check()
        layer = layers[output]
        apart = means[output] - stream.means(output, layer.axis)
        if not np.isfinite(apart).all() or apart.shape[1] != given[layer.bias].size:
            continue
        change = shrunk(apart)
        stream.shift(output, layer.axis, change)
        before = found.get(layer.bias, given[layer.bias])
        found[layer.bias] = np.asarray(before + change.reshape(before.shape), np.float32)
    return found


def shrunk(apart: Array) -> Array:
    """The mean of what each picture asks for, less where the pictures do not agree.

    The estimate that errs least of a number of which a mean m with the standard error s is known is
    m (1 - s^2 / m^2), or zero where that is negative (James and Stein 1961, its positive part).

    Args:
        apart: float64 ``[pictures, channels]``.
    """
    mean = apart.mean(axis=0)
    if len(apart) < 2:
        return np.asarray(mean)
    error = apart.var(axis=0, ddof=1) / len(apart)
    share = np.maximum(1 - error / np.maximum(mean * mean, _TINY), 0)
    return np.asarray(mean * share)


_TINY = 1e-300


def _has_body(node: onnx.NodeProto) -> bool:
    return any(a.type in (a.GRAPH, a.GRAPHS) for a in node.attribute)


def _layers(network: Network) -> list[_Layer]:
    """Products of the quant graph that have a bias of their own, in execution order."""
    biases = {r: w.tensor for w in network.weights if w.role == "bias" for r in w.readings}
    weights = {r for w in network.weights if w.role == "weight" for r in w.readings}
    found = []
    for node in network.quant_graph.nodes:
        if node.op not in _CORRECTED or node.inputs[1] not in weights:
            continue
        if len(node.inputs) < _WITH_BIAS or node.inputs[2] not in biases:
            continue
        if len(network.quant_graph.consumers[node.inputs[2]]) > 1:
            continue  # another layer adds it as well
        axis = -1 if node.op == "Gemm" else 1
        found.append(_Layer(node.outputs[0], biases[node.inputs[2]], axis))
    return found


def _float_means(
    network: Network,
    wide: Config,
    layers: Sequence[_Layer],
    feeds: Sequence[Feeds],
    settings: SessionSettings,
    check: Callable[[], None],
) -> dict[str, Array]:
    """Means per channel without rounding, ``[pictures, channels]``, by output, float64.

    The quant graph with the float model's weights gives them: whatever was folded into a layer
    there, both sides have it. They are taken inside the graph: the tensors themselves of a whole
    network would be too many to hold.
    """
    names = [layer.output for layer in layers]
    model = network.build([], network.refined_numbers, wide, also=names).model
    outputs = [_add_mean(model, layer) for layer in layers]
    session = Session(model, network.quant_graph, settings)
    rows: dict[str, list[Array]] = {name: [] for name in names}
    for picture in feeds:
        check()
        values = session.run(picture, outputs)
        for name, output in zip(names, outputs, strict=True):
            value = np.asarray(values[output], np.float64)
            rows[name].append(value.reshape(*value.shape[:2], -1).mean(axis=(0, 2)))
    return {name: np.array(found) for name, found in rows.items()}


def _add_mean(model: onnx.ModelProto, layer: _Layer) -> str:
    """Make the mean over a layer's positions an output of a model."""
    if layer.axis != 1:
        return layer.output  # a matrix has none
    name = f"{PREFIX}mean/{layer.output}"
    node = helper.make_node("GlobalAveragePool", [layer.output], [name], name)
    model.graph.node.append(node)
    model.graph.output.append(onnx.ValueInfoProto(name=name))
    kept = [output for output in model.graph.output if output.name != layer.output]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    return name


def _mean(value: Array, axis: int) -> Array:
    others = tuple(a for a in range(value.ndim) if a != axis % value.ndim)
    return np.asarray(value.mean(axis=others, dtype=np.float64))


class _Stream:
    """Pushes all pictures through a graph, part by part.

    Args:
        network: whose quant graph it comes from.
        model: the graph.
        values: what is known of each picture, the inputs at first.
        settings: how to run it.
    """

    def __init__(
        self,
        network: Network,
        model: onnx.ModelProto,
        values: list[dict[str, Array]],
        settings: SessionSettings,
    ) -> None:
        self.network, self.model, self.values, self.settings = network, model, values, settings
        self._fixed = {t.name: t for t in model.graph.initializer}
        self._constants = {n.output[0]: n for n in model.graph.node if n.op_type == "Constant"}

    def parts(self, stops: Sequence[str]) -> Any:
        """Run up to each of the tensors in turn, yielding its name once all pictures are there."""
        nodes = [n for n in self.model.graph.node if n.op_type != "Constant"]
        last = {name: at for at, node in enumerate(nodes) for name in node.input}
        start, wanted = 0, set(stops)
        for at, node in enumerate(nodes):
            here = [name for name in node.output if name in wanted]
            if here:
                self._run(
                    nodes[start : at + 1], {n for n, end in last.items() if end > at}, here[0]
                )
                start = at + 1
                yield here[0]

    def means(self, tensor: str, axis: int) -> Array:
        """Means per channel over positions, ``[pictures, channels]``."""
        return np.array([_mean(v[tensor], axis) for v in self.values])

    def shift(self, tensor: str, axis: int, change: Array) -> None:
        """Add a number to each channel."""
        for values in self.values:
            value = values[tensor]
            shape = [1] * value.ndim
            shape[axis % value.ndim] = -1
            values[tensor] = value + change.astype(np.float32).reshape(shape)

    def _run(self, nodes: Sequence[onnx.NodeProto], later: set[str], stop: str) -> None:
        made = {name for node in nodes for name in node.output if name}
        outputs = sorted(made & (later | {stop}))
        session = self._session(nodes, made, outputs)
        for values in self.values:
            values.update({n: np.array(v) for n, v in session.run(values, outputs).items()})
            for name in [n for n in values if n not in later and n != stop]:
                del values[name]

    def _session(
        self, nodes: Sequence[onnx.NodeProto], made: set[str], outputs: Sequence[str]
    ) -> Session:
        read = list(dict.fromkeys(n for node in nodes for n in node.input if n and n not in made))
        constants = [self._constants[n] for n in read if n in self._constants]
        inputs = [
            helper.make_tensor_value_info(
                n, helper.np_dtype_to_tensor_dtype(self.values[0][n].dtype), None
            )
            for n in read
            if n in self.values[0]
        ]
        graph = helper.make_graph(
            [*constants, *nodes],
            "qdebug",
            inputs,
            [onnx.ValueInfoProto(name=name) for name in outputs],
            [self._fixed[n] for n in read if n in self._fixed],
        )
        part = helper.make_model(graph, opset_imports=self.model.opset_import)
        part.ir_version = self.model.ir_version
        return Session(part, self.network.quant_graph, self.settings)
