"""Gradients of a reverse pass against central differences of the forward graph in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from qdebug.cure.reverse import Reverse, reverse_graph

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]
Forward = Callable[[Feeds], Mapping[str, Array]]

STEP = 1e-6
"""Of the differences, in float64."""
RUNTIME_STEP = 0.25
"""In float32, for what is linear: the wider, the less rounding counts."""
TOLERANCE = 2e-5
"""Of a directional derivative, relative to the sum of its terms' magnitudes: float32 rounding of
the gradient."""


@dataclass(frozen=True)
class Case:
    """One operator with random inputs.

    Attributes:
        op: the operator.
        shapes: of its inputs that move; a gradient is checked for each.
        constants: further inputs, by their slot; None for an absent one.
        attributes: of the node.
        opset: of the default domain.
        domain: of the operator.
        low: end of the range that inputs are drawn from.
        high: its other end.
        outputs: how many the node has.
        seen: which of them the loss is a function of.
        runtime: differences are taken of ONNX Runtime in float32 instead, with a large step: for
            operators that are linear, and whose reference implementation differs.
        formula: the operator in float64, where ONNX's reference implementation is wrong or
            computes in float32; of the first input.
    """

    op: str
    shapes: Sequence[tuple[int, ...]]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    constants: Mapping[int, Any] = field(default_factory=dict)
    opset: int = 17
    domain: str = ""
    low: float = -2.0
    high: float = 2.0
    outputs: int = 1
    seen: tuple[int, ...] = (0,)
    runtime: bool = False
    formula: Callable[[Array], Array] | None = None

    def __str__(self) -> str:
        more = [f"{key}={value}" for key, value in self.attributes.items()]
        return " ".join([f"{self.op}-{self.opset}", *map(str, self.shapes), *more])

    @property
    def moving(self) -> list[str]:
        """Names of the inputs that move."""
        return [f"x{k}" for k in range(len(self.shapes))]

    def model(self) -> onnx.ModelProto:
        """The one-node model."""
        names: list[str] = []
        initializers = []
        moving = list(self.moving)
        for slot in range(len(self.shapes) + len(self.constants)):
            if slot not in self.constants:
                names.append(moving.pop(0))
            elif self.constants[slot] is None:
                names.append("")
            else:
                names.append(f"c{slot}")
                value = np.asarray(self.constants[slot])
                initializers.append(numpy_helper.from_array(value, names[-1]))
        made = [f"y{k}" for k in range(self.outputs)]
        node = helper.make_node(self.op, names, made, "node", domain=self.domain, **self.attributes)
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in zip(self.moving, self.shapes, strict=True)
        ]
        results = [onnx.ValueInfoProto(name=f"y{k}") for k in self.seen]
        graph = helper.make_graph([node], "case", inputs, results, initializers)
        opsets = [helper.make_opsetid("", self.opset)]
        if self.domain:
            opsets.append(helper.make_opsetid(self.domain, 1))
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def feeds(self, seed: int) -> dict[str, Array]:
        """Random inputs, float32."""
        rng = np.random.default_rng(seed)
        ends = self.low, self.high
        return {
            name: rng.uniform(*ends, shape).astype(np.float32)
            for name, shape in zip(self.moving, self.shapes, strict=True)
        }


def check_case(case: Case, seed: int = 0) -> None:
    """Every gradient of a one-node model against differences."""
    feeds = case.feeds(seed)
    model = case.model()
    if case.runtime:
        run, exact = _runtime_forward(model), False
    elif case.formula is not None:
        formula = case.formula
        run, exact = (lambda fed: {"y0": formula(fed["x0"].astype(np.float64))}), True
    else:
        run, exact = _double_forward(model), True
    _check(model, feeds, list(feeds), run, exact=exact, seed=seed)


def check_model(model: onnx.ModelProto, feeds: Feeds, at: Sequence[str], *, seed: int = 0) -> None:
    """Gradients at graph inputs against differences in two random directions.

    Raises:
        AssertionError: a tensor was not reached, or a directional derivative is off.
    """
    _check(model, feeds, at, _double_forward(model), exact=True, seed=seed)


def _check(
    model: onnx.ModelProto,
    feeds: Feeds,
    at: Sequence[str],
    run: Forward,
    *,
    exact: bool,
    seed: int,
) -> None:
    reverse = reverse_of(model, feeds, at)
    assert not reverse.unreached
    outputs = forward(model, feeds)
    for name, value in run(feeds).items():  # what is differentiated is what ONNX Runtime computes
        np.testing.assert_allclose(value, outputs[name], rtol=1e-3, atol=1e-4)
    rng = np.random.default_rng(seed + 1)
    weights = {name: rng.standard_normal(np.shape(value)) for name, value in outputs.items()}
    gradients = run_reverse(reverse, feeds, weights)
    step, tolerance = (STEP, TOLERANCE) if exact else (RUNTIME_STEP, 10 * TOLERANCE)
    for name in at:
        assert gradients[name].shape == feeds[name].shape
        for _ in range(2):
            direction = rng.standard_normal(feeds[name].shape)
            up, down = (
                _dot(weights, run({**feeds, name: feeds[name] + way * step * direction}))
                for way in (1, -1)
            )
            terms = gradients[name].astype(np.float64) * direction
            scale = np.abs(terms).sum() + 1e-3 * abs(up) + 1e-6
            assert abs((up - down) / (2 * step) - terms.sum()) < tolerance * scale, name


def check_inside(model: onnx.ModelProto, feeds: Feeds, tensors: Sequence[str], seed: int) -> None:
    """Gradients at tensors inside the network: those by what is added to them there."""
    for tensor in tensors:
        changed, added = _with_an_input(model, tensor)
        shape = all_tensors(model, feeds)[tensor].shape
        # Off zero, where many values lie exactly at the bend of a Relu.
        moved = np.random.default_rng(seed).normal(0, 0.01, shape).astype(np.float32)
        check_model(changed, {**feeds, added: moved}, [added], seed=seed)
        more = {**feeds, added: np.zeros(shape, np.float32)}
        weights = {n: np.ones(np.shape(v)) for n, v in forward(model, feeds).items()}
        inside = run_reverse(reverse_of(model, feeds, [tensor]), feeds, weights)[tensor]
        by_input = run_reverse(reverse_of(changed, more, [added]), more, weights)[added]
        np.testing.assert_allclose(inside, by_input, rtol=1e-3, atol=1e-6 * np.abs(inside).max())


def _with_an_input(model: onnx.ModelProto, tensor: str) -> tuple[onnx.ModelProto, str]:
    """The model with something added to one of its tensors."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    added, raw = f"{tensor}/added", f"{tensor}/raw"
    changed.graph.input.append(helper.make_tensor_value_info(added, TensorProto.FLOAT, None))
    nodes = list(changed.graph.node)
    at = next(k for k, node in enumerate(nodes) if tensor in node.output)
    slot = list(nodes[at].output).index(tensor)
    nodes[at].output[slot] = raw
    nodes.insert(at + 1, helper.make_node("Add", [raw, added], [tensor], f"{tensor}/switch"))
    del changed.graph.node[:]
    changed.graph.node.extend(nodes)
    return changed, added


def reverse_of(
    model: onnx.ModelProto, feeds: Feeds, at: Sequence[str], outputs: Sequence[str] | None = None
) -> Reverse:
    """The reverse graph, with shapes of a run."""
    shapes = {name: tuple(np.shape(value)) for name, value in all_tensors(model, feeds).items()}
    return reverse_graph(model, shapes, at, outputs or [o.name for o in model.graph.output])


def run_reverse(reverse: Reverse, feeds: Feeds, weights: Feeds) -> dict[str, Array]:
    """Gradient of the weighted sum of the outputs by each tensor."""
    given = {reverse.cotangents[n]: np.asarray(w, np.float32) for n, w in weights.items()}
    session = _session(reverse.model)
    known = {item.name for item in session.get_inputs()}
    fed = {name: value for name, value in {**feeds, **given}.items() if name in known}
    names = list(reverse.gradients.values())
    values = dict(zip(names, session.run(names, fed), strict=True))
    return {tensor: values[name] for tensor, name in reverse.gradients.items()}


def forward(model: onnx.ModelProto, feeds: Feeds) -> dict[str, Array]:
    """The model's outputs, by ONNX Runtime."""
    session = _session(model)
    names = [item.name for item in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def all_tensors(model: onnx.ModelProto, feeds: Feeds) -> dict[str, Array]:
    """Every tensor of the model, its inputs included."""
    tapped = onnx.ModelProto()
    tapped.CopyFrom(model)
    names = dict.fromkeys(o for node in model.graph.node for o in node.output if o)
    del tapped.graph.output[:]
    tapped.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return {**feeds, **forward(tapped, feeds)}


def _session(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(model.SerializeToString(), options)


def _dot(weights: Feeds, values: Mapping[str, Array]) -> float:
    return sum(float((weights[n] * values[n].astype(np.float64)).sum()) for n in weights)


def _runtime_forward(model: onnx.ModelProto) -> Forward:
    session = _session(model)
    names = [item.name for item in session.get_outputs()]

    def run(feeds: Feeds) -> dict[str, Array]:
        cast = {name: np.asarray(value, np.float32) for name, value in feeds.items()}
        return dict(zip(names, session.run(names, cast), strict=True))

    return run


class BatchNormalization(OpRun):
    """The reference implementation leaves out epsilon in older operator sets."""

    def _run(self, x: Array, *lines: Array, epsilon: float = 1e-5, **_: Any) -> tuple[Array]:
        shape = (-1, *[1] * (x.ndim - 2))
        scale, bias, mean, variance = (line.reshape(shape) for line in lines)
        return ((x - mean) / np.sqrt(variance + epsilon) * scale + bias,)


class Erf(OpRun):
    """The reference implementation computes in float32."""

    def _run(self, x: Array) -> tuple[Array]:
        return (np.vectorize(math.erf, otypes=[float])(x),)


def _double_forward(model: onnx.ModelProto) -> Forward:
    """The model in float64, by ONNX's reference implementation."""
    evaluator = ReferenceEvaluator(_in_double(model), new_ops=[BatchNormalization, Erf])

    def run(feeds: Feeds) -> dict[str, Array]:
        wide = {
            name: value.astype(np.float64) if value.dtype == np.float32 else value
            for name, value in feeds.items()
        }
        return dict(zip(evaluator.output_names, evaluator.run(None, wide), strict=True))

    return run


def _in_double(model: onnx.ModelProto) -> onnx.ModelProto:
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    for tensor in wide.graph.initializer:
        _widen(tensor)
    for value in wide.graph.input:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for node in wide.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                _widen(attribute.t)
            if node.op_type == "Cast" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.DOUBLE
    return wide


def _widen(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT:
        value = numpy_helper.to_array(tensor).astype(np.float64)
        tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
