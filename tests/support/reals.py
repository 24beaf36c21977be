"""Quantized graphs computed in real numbers: never rounded, and clipped only where that is meant.

A quantizer whose range begins at zero may have a Relu or Clip folded into it, and saturates; any
other saturation is a fault of calibration and left out. Every tensor keeps its name, and codes
are replaced by the numbers they stand for. What a graph computes so differs from the float network
by its weights alone: a tensor and its counterpart agree closely, and nothing else does. Operators
that no runtime here has (vendors' Q and DQ) become standard ones on the way.

Written apart from the package's own reading of quantized graphs, on purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.support.nets import Array

QUANTIZE = frozenset({"QuantizeLinear", "ExtendedQuantizeLinear", "VitisQuantizeLinear"})
DEQUANTIZE = frozenset({"DequantizeLinear", "ExtendedDequantizeLinear", "VitisDequantizeLinear"})
Attributes = dict[str, object]


def in_reals(model: onnx.ModelProto, weights: Iterable[Array] = ()) -> onnx.ModelProto:
    """The same graph with every quantizer a Clip and every operator on codes one on numbers.

    Args:
        model: quantized.
        weights: of the float network, as it is and as it was when it was quantized; codes that
            are one of them, rounded, become it again.
    """
    return _Writer(model, weights).run()


def ordered(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Nodes in execution order."""
    known = {i.name for i in graph.input} | {t.name for t in graph.initializer} | {""}
    waiting: list[onnx.NodeProto] = list(graph.node)
    done: list[onnx.NodeProto] = []
    while waiting:
        later = []
        for node in waiting:
            if all(name in known for name in node.input):
                known.update(node.output)
                done.append(node)
            else:
                later.append(node)
        if len(later) == len(waiting):
            raise ValueError(f"{later[0].name or later[0].op_type} reads what nothing makes")
        waiting = later
    return done


class _Writer:
    def __init__(self, model: onnx.ModelProto, weights: Iterable[Array]) -> None:
        self.weights: dict[tuple[int, ...], list[Array]] = {}
        for weight in weights:
            known = self.weights.setdefault(weight.shape, [])
            if not any(np.array_equal(weight, other) for other in known):
                known.append(weight)
        self.source = model
        self.stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        inputs = {i.name for i in model.graph.input} - set(self.stored)
        self.real = {i.name for i in model.graph.input if is_float(i)} & inputs
        self.codes = inputs - self.real
        self.sums: set[str] = set()
        self.factors: dict[str, np.float32] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.added: list[onnx.TensorProto] = []
        self.node = onnx.NodeProto()

    def run(self) -> onnx.ModelProto:
        for node in ordered(self.source.graph):
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.stored[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
            self._write(node)
        made = onnx.ModelProto()
        made.CopyFrom(self.source)
        del made.graph.node[:], made.graph.value_info[:], made.graph.output[:]
        made.graph.node.extend(self.nodes)
        made.graph.initializer.extend(self.added)
        made.graph.output.extend(onnx.ValueInfoProto(name=o.name) for o in self.source.graph.output)
        known = {o.domain for o in made.opset_import}
        if "com.microsoft" not in known:
            made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
        return made

    def _write(self, node: onnx.NodeProto) -> None:
        self.node = node
        dynamic = any(name in self.real for name in node.input)
        if dynamic or (node.op_type in DEQUANTIZE and node.input[0] in self.codes):
            self.real.update(node.output)
        elif any(name in self.codes for name in node.input):
            self.codes.update(node.output)
        rule = _RULES.get(node.op_type)
        if rule is not None and dynamic:
            rule(self)
            return
        if node.op_type in DEQUANTIZE and node.input[0] in self.stored and self._restore():
            return
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        if node.op_type in QUANTIZE | DEQUANTIZE and node.domain:
            copy.domain = ""
            copy.op_type = node.op_type.replace("Extended", "").replace("Vitis", "")
        self.nodes.append(copy)

    def _restore(self) -> bool:
        """Put a weight of the float network in the place of its stored codes."""
        codes = self.value(0)
        axis = self.attribute("axis", 1)
        assert codes is not None and isinstance(axis, int)
        if codes.dtype.kind not in "iu" or self.attribute("block_size", 0):
            return False
        name = self.operand(0, 1, 2, axis)
        self.emit("Identity", [name], self.node.output[0], {})
        return True

    def original(self, real: Array, step: Array) -> Array:
        """The weight that was rounded to these numbers; themselves where that is not certain."""
        near = [
            weight
            for weight in self.weights.get(real.shape, ())
            if bool(np.all(np.abs(weight - real) <= 0.51 * step + 1e-7))
        ]
        return near[0] if len(near) == 1 else real

    def later_scale(self) -> Array | None:
        """Weight scale that the sum of a dynamically quantized product is multiplied by later."""
        names, nodes = set(self.node.output), self.source.graph.node
        for op in ("Cast", "Mul"):
            found = [n for n in nodes if n.op_type == op and names & set(n.input)]
            if not found:
                return None
            others = [name for name in found[0].input if name not in names]
            names = set(found[0].output)
        product = next((n for n in nodes if n.op_type == "Mul" and others[0] in n.output), None)
        scales = [self.stored[n] for n in product.input if n in self.stored] if product else []
        return scales[0] if scales else None

    # What rules are made of.

    def input(self, slot: int) -> str:
        return self.node.input[slot] if slot < len(self.node.input) else ""

    def value(self, slot: int) -> Array | None:
        return self.stored.get(self.input(slot))

    def attribute(self, name: str, default: object) -> object:
        for item in self.node.attribute:
            if item.name == name:
                return helper.get_attribute_value(item)
        return default

    def attributes(self, *names: str) -> Attributes:
        """Those of the node's attributes that are named."""
        given = {a.name: helper.get_attribute_value(a) for a in self.node.attribute}
        return {k: v for k, v in given.items() if k in names}

    def constant(self, value: Array, tag: str) -> str:
        name = f"{self.node.output[0]}:{tag}"
        self.added.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def emit(self, op: str, inputs: Sequence[str], output: str, attributes: Attributes) -> str:
        node = helper.make_node(op, list(inputs), [output])
        node.attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items())
        self.nodes.append(node)
        return output

    def operand(self, slot: int, scale: int, zero: int, axis: int | None = None) -> str:
        """What an operator reads: a computed tensor as it is, stored codes as real numbers."""
        codes = self.value(slot)
        if codes is None:
            return self.input(slot)
        step, offset = self.value(scale) if scale >= 0 else None, self.value(zero)
        real = codes.astype(np.float32)
        if offset is not None:
            real = real - _spread(offset.astype(np.float32), real.ndim, axis)
        if step is not None:
            step = np.abs(_spread(step.astype(np.float32), real.ndim, axis))
            real = self.original(real * step, step)
        return self.constant(np.float32(real), f"real{slot}")

    def clipped(self, name: str, scale: int, zero: int) -> None:
        """End with the saturation of the output's codes."""
        step, offset = self.value(scale), self.value(zero)
        out = self.node.output[0]
        if step is None or step.size != 1:
            self.emit("Identity", [name], out, {})
            return
        offset = np.zeros((), np.uint8) if offset is None else offset
        low, high = _code_range(offset)
        start = 0.0 if np.isnan(float(offset.reshape(()))) else float(offset.reshape(()))
        if start != low:
            self.emit("Identity", [name], out, {})
            return
        bounds = [
            self.constant(np.float32((code - start) * float(step.reshape(()))), tag)
            for code, tag in ((low, "low"), (high, "high"))
        ]
        self.emit("Clip", [name, *bounds], out, {})

    def result(
        self, op: str, inputs: Sequence[str], attributes: Attributes, scale: int, zero: int
    ) -> None:
        """One operator on numbers, then the saturation of its codes."""
        self.clipped(self.emit(op, inputs, f"{self.node.output[0]}:raw", attributes), scale, zero)


def is_float(info: onnx.ValueInfoProto) -> bool:
    """Whether an input takes real numbers."""
    return info.type.tensor_type.elem_type in (TensorProto.FLOAT, TensorProto.FLOAT16)


def _spread(parameter: Array, rank: int, axis: int | None) -> Array:
    if parameter.size == 1 or axis is None:
        return parameter.reshape(()) if parameter.size == 1 else parameter
    return parameter.reshape([-1 if i == axis % rank else 1 for i in range(rank)])


_SMALL_CODES = {
    "int4": (-8.0, 7.0),
    "uint4": (0.0, 15.0),
    "float8_e4m3fn": (-448.0, 448.0),
    "float8_e5m2": (-57344.0, 57344.0),
}


def _code_range(codes: Array) -> tuple[float, float]:
    if codes.dtype.name in _SMALL_CODES:
        return _SMALL_CODES[codes.dtype.name]
    info = np.iinfo(codes.dtype)
    return float(info.min), float(info.max)


# One rule for every operator on codes.

_CONV = ("auto_pad", "dilations", "group", "kernel_shape", "output_padding", "pads", "strides")


def _quantize(w: _Writer) -> None:
    w.clipped(w.input(0), 1, 2)


def _identity(w: _Writer) -> None:
    w.emit("Identity", [w.input(0)], w.node.output[0], {})


def _clip(w: _Writer) -> None:
    low = w.value(1)
    if low is not None and low.dtype.kind in "iu":
        _identity(w)  # on codes; narrower than the quantizer by one code at most
    else:
        w.nodes.append(w.node)


def _cast(w: _Writer) -> None:
    _identity(w) if w.input(0) in w.sums else w.nodes.append(w.node)


def _dynamic_quantize(w: _Writer) -> None:
    _identity(w)
    for name in w.node.output[1:]:
        w.added.append(numpy_helper.from_array(np.ones((), np.float32), name))
    w.real.difference_update(w.node.output[1:])


def _qlinear_conv(w: _Writer, op: str = "Conv") -> None:
    axis = 1 if op == "ConvTranspose" else 0
    last = bool(w.attribute("channels_last", 0))
    data = w.input(0)
    inputs = [_first(w, data) if last else data, w.operand(3, 4, 5, axis)]
    bias, steps = w.value(8), [w.value(slot) for slot in (1, 4)]
    if bias is not None and steps[0] is not None and steps[1] is not None:
        real = bias.astype(np.float64) * (steps[0] * steps[1]).reshape(-1)
        inputs.append(w.constant(np.float32(real), "bias"))
    kept = w.attributes(*_CONV)
    if not last:
        w.result(op, inputs, kept, 6, 7)
        return
    made = w.emit(op, inputs, f"{w.node.output[0]}:first", kept)
    w.clipped(w.emit("Transpose", [made], made + ":last", {"perm": [0, 2, 3, 1]}), 6, 7)


def _first(w: _Writer, name: str) -> str:
    return w.emit("Transpose", [name], f"{w.node.output[0]}:in", {"perm": [0, 3, 1, 2]})


def _qlinear_conv_transpose(w: _Writer) -> None:
    _qlinear_conv(w, "ConvTranspose")


def _two(op: str) -> Callable[[_Writer], None]:
    return lambda w: w.result(op, [w.operand(0, 1, 2), w.operand(3, 4, 5, -1)], {}, 6, 7)


def _one(op: str, *kept: str) -> Callable[[_Writer], None]:
    return lambda w: w.result(op, [w.input(0)], w.attributes(*kept), 3, 4)


def _qgemm(w: _Writer) -> None:
    axis = 0 if w.attribute("transB", 0) else 1
    inputs = [w.operand(0, 1, 2), w.operand(3, 4, 5, axis)]
    bias, steps = w.value(6), [w.value(slot) for slot in (1, 4)]
    if bias is not None and steps[0] is not None and steps[1] is not None:
        real = bias.astype(np.float64) * (steps[0] * steps[1]).reshape(-1)
        inputs.append(w.constant(np.float32(real), "bias"))
    w.result("Gemm", inputs, w.attributes("alpha", "transA", "transB"), 7, 8)


def _qlinear_concat(w: _Writer) -> None:
    slots = range(2, len(w.node.input), 3)
    inputs = [w.operand(slot, slot + 1, slot + 2) for slot in slots]
    w.result("Concat", inputs, w.attributes("axis"), 0, 1)


def _qlinear_where(w: _Writer) -> None:
    w.result("Where", [w.input(0), w.operand(1, 2, 3), w.operand(4, 5, 6)], {}, 7, 8)


def _integer_product(op: str) -> Callable[[_Writer], None]:
    def rule(w: _Writer) -> None:
        weight = _restored(w, w.operand(1, -1, 3, 0 if op == "Conv" else -1), op)
        w.emit(op, [w.input(0), weight], w.node.output[0], w.attributes(*_CONV))
        w.sums.update(w.node.output)

    return rule


def _restored(w: _Writer, weight: str, op: str) -> str:
    """The integer weight as steps of the float one, not rounded."""
    step = w.later_scale()
    if step is None or not w.added or w.added[-1].name != weight:
        return weight
    codes = numpy_helper.to_array(w.added[-1])
    step = np.abs(_spread(step.astype(np.float32), codes.ndim, 0 if op == "Conv" else -1))
    return w.constant(w.original(codes * step, step) / step, "restored")


def _product_to_float(scale: int, zero: int, bias: int) -> Callable[[_Writer], None]:
    def rule(w: _Writer) -> None:
        out = w.node.output[0]
        inputs = [w.input(0), w.operand(1, scale, zero, -1)]
        if w.input(bias):
            w.emit("Add", [w.emit("MatMul", inputs, out + ":raw", {}), w.input(bias)], out, {})
        else:
            w.emit("MatMul", inputs, out, {})

    return rule


def _fake_quantize(w: _Writer) -> None:
    """QONNX's ``Quant``: scale, zero point and width are inputs."""
    step, zero, width = (w.value(slot) for slot in (1, 2, 3))
    if step is None or zero is None or width is None or step.size != 1:
        _identity(w)
        return
    bits, signed = int(width.reshape(-1)[0]), bool(w.attribute("signed", 1))
    codes = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    if codes[0] != float(zero.reshape(())):
        _identity(w)
        return
    bounds = [
        w.constant(np.float32((code - float(zero.reshape(()))) * float(step.reshape(()))), tag)
        for code, tag in zip(codes, ("low", "high"), strict=True)
    ]
    w.emit("Clip", [w.input(0), *bounds], w.node.output[0], {})


def _ascend_quantize(w: _Writer) -> None:
    """AMCT: codes are ``x * scale + offset``; the next operator's bias takes the offset back."""
    w.factors[w.node.output[0]] = np.float32(w.attribute("scale", 1.0))  # type: ignore[arg-type]
    _identity(w)


def _ascend_dequantize(w: _Writer) -> None:
    packed = w.value(1)
    if packed is None:
        raise ValueError("AscendDequant without constant scales")
    product: Array = packed.reshape(-1).astype(np.uint32).view(np.float32)
    sums = next(n for n in w.source.graph.node if w.input(0) in n.output)
    wide = sums.op_type == "Conv" and product.size > 1
    product = product.reshape([1, -1, 1, 1]) if wide else product
    w.emit("Mul", [w.input(0), w.constant(product, "p")], w.node.output[0], {})


def _on_stored_codes(w: _Writer) -> None:
    """A standard operator whose stored operands are integers (AMCT)."""
    copy = onnx.NodeProto()
    copy.CopyFrom(w.node)
    for slot in range(1, len(copy.input)):
        value = w.value(slot)
        if value is not None and value.dtype.kind in "iu":
            factor = w.factors.get(w.input(0), np.float32(1)) if slot == 1 else np.float32(1)
            copy.input[slot] = w.constant(value.astype(np.float32) * factor, f"real{slot}")
    w.nodes.append(copy)


_RULES: dict[str, Callable[[_Writer], None]] = {
    **dict.fromkeys(QUANTIZE, _quantize),
    **dict.fromkeys(DEQUANTIZE, _identity),
    "AscendDequant": _ascend_dequantize,
    "AscendQuant": _ascend_quantize,
    "Cast": _cast,
    "Clip": _clip,
    "Conv": _on_stored_codes,
    "ConvInteger": _integer_product("Conv"),
    "DynamicQuantizeLinear": _dynamic_quantize,
    "DynamicQuantizeMatMul": _product_to_float(2, 3, 4),
    "Gemm": _on_stored_codes,
    "MatMulInteger": _integer_product("MatMul"),
    "MatMulIntegerToFloat": _product_to_float(3, 5, 6),
    "QGemm": _qgemm,
    "QLinearAdd": _two("Add"),
    "QLinearAveragePool": _one(
        "AveragePool",
        "auto_pad",
        "ceil_mode",
        "count_include_pad",
        "kernel_shape",
        "pads",
        "strides",
    ),
    "QLinearConcat": _qlinear_concat,
    "QLinearConv": _qlinear_conv,
    "QLinearConvTranspose": _qlinear_conv_transpose,
    "QLinearGlobalAveragePool": _one("GlobalAveragePool"),
    "QLinearLeakyRelu": _one("LeakyRelu", "alpha"),
    "QLinearMatMul": _two("MatMul"),
    "QLinearMul": _two("Mul"),
    "QLinearReduceMean": _one("ReduceMean", "axes", "keepdims"),
    "QLinearSigmoid": _one("Sigmoid"),
    "QLinearSoftmax": _one("Softmax", "axis"),
    "QLinearWhere": _qlinear_where,
    "Quant": _fake_quantize,
}
