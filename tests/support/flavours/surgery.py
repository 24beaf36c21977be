"""Rewriting graphs into the forms that other exporters give them."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.support.feeds import NORMALIZATION
from tests.support.flavours.quantizers import Desk, Model, Step, copied
from tests.support.nets import Array


def n_bits(model: Model, desk: Desk) -> Model:
    """4-bit weights in blocks of 16 (``MatMulNBits``), as weight-only quantizers write them."""
    made = copied(model)
    stored = {t.name: t for t in made.graph.initializer}
    for node in made.graph.node:
        weight = stored.get(node.input[1]) if node.op_type == "MatMul" else None
        if weight is not None and len(weight.dims) == 2:
            _pack(made, node, numpy_helper.to_array(weight))
    made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return made


def _pack(model: Model, node: onnx.NodeProto, weight: Array, block: int = 16) -> None:
    rows, columns = weight.shape
    filled = np.pad(weight, ((0, -rows % block), (0, 0)))
    blocks = filled.T.reshape(columns, -1, block)
    scale = np.maximum(np.abs(blocks).max(axis=2, keepdims=True) / 7, np.finfo(np.float32).tiny)
    codes = np.clip(np.rint(blocks / scale) + 8, 0, 15).astype(np.uint8)
    packed = codes[..., 0::2] | codes[..., 1::2] << 4
    parts = {"packed": packed, "scales": scale.reshape(-1).astype(np.float32)}
    for name, value in parts.items():
        model.graph.initializer.append(numpy_helper.from_array(value, f"{node.name}_{name}"))
    node.op_type, node.domain = "MatMulNBits", "com.microsoft"
    node.input[:] = [node.input[0], *(f"{node.name}_{name}" for name in parts)]
    sizes = {"K": rows, "N": columns, "bits": 4, "block_size": block}
    node.attribute.extend(helper.make_attribute(k, v) for k, v in sizes.items())


def renamed(model: Model, desk: Desk) -> Model:
    """No name survives but those of inputs; initializers in another order; no value_info."""
    made = copied(model)
    inputs = {i.name for i in made.graph.input}
    names: dict[str, str] = {"": ""}
    for node in made.graph.node:
        for name in (*node.input, *node.output):
            if name not in names:
                names[name] = name if name in inputs else f"v{len(names)}"
    for index, node in enumerate(made.graph.node):
        node.name = f"n{len(made.graph.node) - index}"
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    for item in (*made.graph.initializer, *made.graph.output):
        item.name = names.get(item.name, item.name)
    shuffled = sorted(made.graph.initializer, key=lambda t: t.name[::-1])
    del made.graph.initializer[:], made.graph.value_info[:]
    made.graph.initializer.extend(shuffled)
    return made


def misnamed(model: Model, desk: Desk) -> Model:
    """Node and tensor names handed on from one node to the next of the same operator."""
    made = copied(model)
    by_op: dict[str, list[onnx.NodeProto]] = {}
    outputs = {o.name for o in made.graph.output}
    for node in made.graph.node:
        by_op.setdefault(node.op_type, []).append(node)
    names: dict[str, str] = {}
    for nodes in by_op.values():
        old = [node.name for node in nodes]
        for node, name in zip(nodes, old[1:] + old[:1], strict=True):
            node.name = name
        inner = [n.output[0] for n in nodes if n.output[0] not in outputs]
        names.update(zip(inner, inner[1:] + inner[:1], strict=True))
    for node in made.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    del made.graph.value_info[:]
    return made


def swapped(model: Model, desk: Desk) -> Model:
    """Operands of Add and Mul in the other order."""
    made = copied(model)
    for node in made.graph.node:
        if node.op_type in ("Add", "Mul"):
            node.input[:] = list(node.input)[::-1]
    return made


def with_clips(model: Model, desk: Desk) -> Model:
    """QCDQ: a Clip to -127..127 between every QuantizeLinear and what reads it."""
    made = copied(model)
    nodes = list(made.graph.node)
    del made.graph.node[:]
    low = numpy_helper.from_array(np.asarray(-127, np.int8), "narrow_low")
    high = numpy_helper.from_array(np.asarray(127, np.int8), "narrow_high")
    made.graph.initializer.extend([low, high])
    for node in nodes:
        clipped = node.output[0]
        codes = clipped + "_unclipped"
        if node.op_type == "QuantizeLinear":
            node.output[0] = codes
        made.graph.node.append(node)
        if node.op_type == "QuantizeLinear":
            made.graph.node.append(
                helper.make_node("Clip", [codes, low.name, high.name], [clipped], node.name + "_c")
            )
    del made.graph.value_info[:]
    return made


def float_weights(model: Model, desk: Desk) -> Model:
    """Weights stored in float behind a Q/DQ pair of their own, as ESP-PPQ exports them."""
    made = copied(model)
    stored = {t.name: t for t in made.graph.initializer}
    nodes = []
    for node in list(made.graph.node):
        codes = stored.get(node.input[0])
        small = codes is not None and codes.data_type in (TensorProto.INT8, TensorProto.UINT8)
        if node.op_type == "DequantizeLinear" and codes is not None and small:
            scale, zero = (numpy_helper.to_array(stored[name]) for name in node.input[1:3])
            axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
            spread = [-1 if i == axis else 1 for i in range(len(codes.dims))]
            if scale.size > 1:
                scale, zero = scale.reshape(spread), zero.reshape(spread)
            real = (numpy_helper.to_array(codes).astype(np.float32) - zero) * scale
            name = codes.name + "_real"
            made.graph.initializer.append(numpy_helper.from_array(np.float32(real), name))
            quantize = helper.make_node(
                "QuantizeLinear", [name, *node.input[1:]], [codes.name + "_q"], node.name + "_w"
            )
            quantize.attribute.extend(node.attribute)
            node.input[0] = codes.name + "_q"
            nodes.append(quantize)
        nodes.append(node)
    del made.graph.node[:], made.graph.value_info[:]
    made.graph.node.extend(nodes)
    return made


def half_rounded(model: Model, desk: Desk) -> Model:
    """Every operation's result through bfloat16 and back, as a bfloat16 graph computes."""
    made = copied(model)
    nodes = []
    outputs = {o.name for o in made.graph.output}
    floats = {v.name for v in made.graph.value_info if _elem(v) == TensorProto.FLOAT} - outputs
    for node in list(made.graph.node):
        nodes.append(node)
        for slot, name in enumerate(list(node.output)):
            if name in floats:
                node.output[slot] = name + "_wide"
                narrow = [name + "_wide"], [name + "_bf16"]
                nodes.append(helper.make_node("Cast", *narrow, to=TensorProto.BFLOAT16))
                nodes.append(helper.make_node("Cast", [name + "_bf16"], [name], to=1))
    del made.graph.node[:], made.graph.value_info[:]
    made.graph.node.extend(nodes)
    return made


def _elem(info: onnx.ValueInfoProto) -> int:
    return int(info.type.tensor_type.elem_type)


def in_domain(domain: str, names: dict[str, str]) -> Step:
    """Operators renamed into a vendor's domain, which no runtime here knows."""

    def step(model: Model, desk: Desk) -> Model:
        made = copied(model)
        for node in made.graph.node:
            if node.op_type in names:
                node.op_type, node.domain = names[node.op_type], domain
        made.opset_import.append(helper.make_opsetid(domain, 1))
        return made

    return step


def channels_last_input(model: Model, desk: Desk) -> Model:
    """Images come as NHWC; a Transpose brings them to NCHW."""
    made = copied(model)
    for info in made.graph.input:
        dims = [max(d.dim_value, 1) for d in info.type.tensor_type.shape.dim]
        if len(dims) != 4:
            continue
        for node in made.graph.node:
            node.input[:] = [i + "_nchw" if i == info.name else i for i in node.input]
        transpose = helper.make_node(
            "Transpose", [info.name], [info.name + "_nchw"], info.name + "_t", perm=[0, 3, 1, 2]
        )
        made.graph.node.insert(0, transpose)
        new = [dims[0], dims[2], dims[3], dims[1]]
        info.CopyFrom(helper.make_tensor_value_info(info.name, TensorProto.FLOAT, new))
    return made


def channels_last(model: Model, desk: Desk) -> Model:
    """Images and element-wise operations in NHWC, convolutions between Transposes."""
    made = channels_last_input(model, desk)
    images = {v.name for v in made.graph.value_info if len(v.type.tensor_type.shape.dim) == 4}
    nodes: list[onnx.NodeProto] = []
    for node in list(made.graph.node):
        flat = node.op_type not in ("Conv", "Relu", "Sigmoid", "Clip", "LeakyRelu")
        if flat or node.output[0] not in images:
            nodes.append(node)
            continue
        source, out = node.input[0], node.output[0]
        if node.op_type == "Conv":
            node.output[0] = out + "_nchw"
            nodes.append(node)
            nodes.append(
                helper.make_node("Transpose", [out + "_nchw"], [out + "_nhwc"], perm=[0, 2, 3, 1])
            )
            nodes.append(helper.make_node("Transpose", [out + "_nhwc"], [out], perm=[0, 3, 1, 2]))
        else:
            node.input[0] = source + f"_last{len(nodes)}"
            node.output[0] = out + "_last"
            nodes.append(
                helper.make_node("Transpose", [source], [node.input[0]], perm=[0, 2, 3, 1])
            )
            nodes.append(node)
            nodes.append(helper.make_node("Transpose", [out + "_last"], [out], perm=[0, 3, 1, 2]))
    del made.graph.node[:], made.graph.value_info[:]
    made.graph.node.extend(nodes)
    return made


def other_training(model: Model, desk: Desk) -> Model:
    """The same architecture and names with other weights."""
    made = copied(model)
    rng = np.random.default_rng(99)
    for tensor in made.graph.initializer:
        value = numpy_helper.to_array(tensor)
        if value.dtype == np.float32 and value.ndim > 1:
            other = rng.permutation(value.reshape(-1)).reshape(value.shape)
            tensor.CopyFrom(numpy_helper.from_array(other, tensor.name))
    return made


def broken(model: Model, desk: Desk) -> Model:
    """Every second quantized weight zeroed: values tell nothing any more."""
    made = copied(model)
    weights = [t for t in made.graph.initializer if len(t.dims) > 1 and t.data_type in (2, 3)]
    for tensor in weights[::2]:
        value = np.zeros_like(numpy_helper.to_array(tensor))
        tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    return made


def fake_quantized(model: Model, desk: Desk) -> Model:
    """QONNX: one ``Quant`` node in place of every Q/DQ pair on an activation."""
    made = copied(model)
    stored = {t.name: numpy_helper.to_array(t) for t in made.graph.initializer}
    sources = {n.output[0]: n for n in made.graph.node if n.op_type == "QuantizeLinear"}
    nodes = []
    for node in made.graph.node:
        if node.op_type == "QuantizeLinear":
            continue
        if node.op_type == "DequantizeLinear" and node.input[0] in sources:
            source = sources[node.input[0]]
            zero = np.float32(stored[source.input[2]])
            signed = stored[source.input[2]].dtype.kind == "i"
            for name, value in (("zero", zero), ("bits", np.float32(8))):
                tensor = numpy_helper.from_array(value, f"{node.output[0]}_{name}")
                made.graph.initializer.append(tensor)
            parameters = [source.input[1], *(f"{node.output[0]}_{n}" for n in ("zero", "bits"))]
            inputs = [source.input[0], *parameters]
            replacement = helper.make_node(
                "Quant",
                inputs,
                list(node.output),
                node.name,
                domain="qonnx.custom_op.general",
                signed=int(signed),
                narrow=0,
                rounding_mode="ROUND",
            )
            nodes.append(replacement)
            continue
        nodes.append(node)
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    made.opset_import.append(helper.make_opsetid("qonnx.custom_op.general", 1))
    return made


def rebatched(size: int) -> Step:
    """Another batch size."""

    def step(model: Model, desk: Desk) -> Model:
        made = copied(model)
        for info in made.graph.input:
            info.type.tensor_type.shape.dim[0].dim_value = size
        shapes = {n.input[1] for n in made.graph.node if n.op_type == "Reshape"}
        for tensor in made.graph.initializer:
            if tensor.name in shapes:
                value = numpy_helper.to_array(tensor).copy()
                value[0] = size
                tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
        for info in made.graph.output:
            info.type.tensor_type.ClearField("shape")
        del made.graph.value_info[:]
        return onnx.shape_inference.infer_shapes(made)

    return step


def free_batch(model: Model, desk: Desk) -> Model:
    """A batch size that is not fixed."""
    made = copied(model)
    for info in made.graph.input:
        info.type.tensor_type.shape.dim[0].dim_param = "N"
    for info in made.graph.output:
        info.type.tensor_type.ClearField("shape")
    del made.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(made)


def integer_input(model: Model, desk: Desk) -> Model:
    """The quant graph takes codes: whoever calls it quantizes the image."""
    made = copied(model)
    inputs = {i.name: i for i in made.graph.input}
    for node in list(made.graph.node):
        if node.op_type == "QuantizeLinear" and node.input[0] in inputs:
            info = inputs[node.input[0]]
            info.name = node.output[0]
            zero = next(t for t in made.graph.initializer if t.name == node.input[2])
            info.type.tensor_type.elem_type = zero.data_type
            made.graph.node.remove(node)
    return made


def normalizing(model: Model, desk: Desk) -> Model:
    """The graph subtracts and divides first: it takes what the float graph's caller prepared."""
    made = copied(model)
    for info in made.graph.input:
        for node in made.graph.node:
            node.input[:] = [i + "_ready" if i == info.name else i for i in node.input]
        parts = {
            "norm_mean": np.float32(NORMALIZATION[0]),
            "norm_scale": np.float32(1 / NORMALIZATION[1]),
        }
        for name, value in parts.items():
            tensor = numpy_helper.from_array(value, f"{info.name}_{name}")
            made.graph.initializer.append(tensor)
        steps = [
            helper.make_node(
                "Sub", [info.name, f"{info.name}_norm_mean"], [f"{info.name}_centred"]
            ),
            helper.make_node(
                "Mul", [f"{info.name}_centred", f"{info.name}_norm_scale"], [f"{info.name}_ready"]
            ),
        ]
        for node in reversed(steps):
            made.graph.node.insert(0, node)
    return made


def smoothed(model: Model, desk: Desk) -> Model:
    """SmoothQuant: a division before every weight product, undone in its weight."""
    made = copied(model)
    stored = {t.name: t for t in made.graph.initializer}
    rng = np.random.default_rng(5)
    nodes = []
    for node in list(made.graph.node):
        weight = stored.get(node.input[1]) if node.op_type == "MatMul" else None
        if weight is not None:
            value = numpy_helper.to_array(weight)
            factor = np.asarray(rng.uniform(0.4, 2.5, value.shape[0]), np.float32)
            weight.CopyFrom(numpy_helper.from_array(value * factor[:, None], weight.name))
            name = f"{node.name}_smooth"
            made.graph.initializer.append(numpy_helper.from_array(1 / factor, name))
            nodes.append(helper.make_node("Mul", [node.input[0], name], [name + "ed"], name))
            node.input[0] = name + "ed"
        nodes.append(node)
    del made.graph.node[:], made.graph.value_info[:]
    made.graph.node.extend(nodes)
    return onnx.shape_inference.infer_shapes(made)


def float8(model: Model, desk: Desk) -> Model:
    """Every 8-bit code a float8 (E4M3) instead."""
    made = copied(model)
    stored = {t.name: t for t in made.graph.initializer}
    done: set[str] = set()
    for node in made.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        zero = numpy_helper.to_array(stored[node.input[2]]) if node.input[2] not in done else None
        if zero is not None and zero.dtype == np.int8:
            scale = np.multiply(numpy_helper.to_array(stored[node.input[1]]), np.float32(127 / 448))
            stored[node.input[1]].CopyFrom(
                numpy_helper.from_array(np.asarray(scale), node.input[1])
            )
            blank = helper.make_tensor(
                node.input[2], TensorProto.FLOAT8E4M3FN, zero.shape, np.zeros(zero.size)
            )
            stored[node.input[2]].CopyFrom(blank)
            done.add(node.input[2])
        codes = stored.get(node.input[0])
        if codes is not None and codes.data_type == TensorProto.INT8:
            values: Array = numpy_helper.to_array(codes) * np.float32(448 / 127)
            made_codes = helper.make_tensor(
                codes.name, TensorProto.FLOAT8E4M3FN, values.shape, values.ravel()
            )
            codes.CopyFrom(made_codes)
    del made.graph.value_info[:]
    return made
