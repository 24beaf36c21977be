"""Mutations of ONNX models: of their bytes, and of their structure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper

from tests.support import graphs

Rng = np.random.Generator
STRANGE = [
    "",
    "\x1b]0;x\x07",
    "a\x00b",
    "\u202eabc",
    "x" * 5000,
    "../../etc",
    "%s{}",
    "\ud7ff\uffff",
]


def damaged_bytes(content: bytes, rng: Rng) -> bytes:
    """Bytes flipped, cut, repeated or replaced at random."""
    data = bytearray(content or b"\0")
    kind = rng.integers(5)
    at = int(rng.integers(len(data)))
    size = int(rng.integers(1, 64))
    if kind == 0:
        for place in rng.integers(0, len(data), int(rng.integers(1, 12))):
            data[place] = int(rng.integers(256))
    elif kind == 1:
        del data[at:]
    elif kind == 2:
        del data[at : at + size]
    elif kind == 3:
        data[at:at] = data[at : at + size] * int(rng.integers(1, 5))
    else:
        data[at : at + size] = rng.bytes(size)
    return bytes(data)


def damaged_model(rng: Rng, quant: bool) -> bytes:
    """One of the two small models with one to three mutations of its structure."""
    model = graphs.qdq_model() if quant else graphs.float_model()
    for _ in range(int(rng.integers(1, 4))):
        mutation = MUTATIONS[int(rng.integers(len(MUTATIONS)))]
        mutation(model, rng)
    return bytes(model.SerializeToString())


def _node(model: onnx.ModelProto, rng: Rng) -> onnx.NodeProto:
    nodes = model.graph.node
    found: onnx.NodeProto = nodes[int(rng.integers(len(nodes)))] if nodes else nodes.add()
    return found


def _tensor(model: onnx.ModelProto, rng: Rng) -> onnx.TensorProto:
    tensors = model.graph.initializer
    at = int(rng.integers(max(len(tensors), 1)))
    found: onnx.TensorProto = tensors[at] if tensors else tensors.add()
    return found


def _names(model: onnx.ModelProto) -> list[str]:
    found = [name for node in model.graph.node for name in (*node.input, *node.output)]
    return found + [x.name for x in model.graph.initializer] or ["x"]


def _any_name(model: onnx.ModelProto, rng: Rng) -> str:
    names = _names(model)
    return names[int(rng.integers(len(names)))]


def _drop_node(model: onnx.ModelProto, rng: Rng) -> None:
    if model.graph.node:
        del model.graph.node[int(rng.integers(len(model.graph.node)))]


def _repeat_node(model: onnx.ModelProto, rng: Rng) -> None:
    model.graph.node.append(_node(model, rng))


def _rewire(model: onnx.ModelProto, rng: Rng) -> None:
    node = _node(model, rng)
    if node.input:
        node.input[int(rng.integers(len(node.input)))] = _any_name(model, rng)


def _cycle(model: onnx.ModelProto, rng: Rng) -> None:
    node = _node(model, rng)
    if node.input and node.output:
        node.input[0] = node.output[0]


def _drop_operand(model: onnx.ModelProto, rng: Rng) -> None:
    node = _node(model, rng)
    side = node.input if rng.integers(2) else node.output
    if side:
        del side[int(rng.integers(len(side)))]


def _add_operand(model: onnx.ModelProto, rng: Rng) -> None:
    node = _node(model, rng)
    (node.input if rng.integers(2) else node.output).append(_any_name(model, rng))


def _operator(model: onnx.ModelProto, rng: Rng) -> None:
    kinds = ["Relu", "Conv", "If", "Loop", "Mystery", "", "QLinearConv", "Concat", "LSTM", "Resize"]
    _node(model, rng).op_type = kinds[int(rng.integers(len(kinds)))]


def _domain(model: onnx.ModelProto, rng: Rng) -> None:
    kinds = ["com.microsoft", "ai.onnx.ml", "com.vendor", "\x1b[31m"]
    _node(model, rng).domain = kinds[int(rng.integers(len(kinds)))]


def _attribute(model: onnx.ModelProto, rng: Rng) -> None:
    values: list[object] = [0, -1, 2**62, 1e38, float("nan"), [], [0], [-5] * 9, "\x1b[2J", [1.5]]
    names = ["pads", "strides", "axis", "group", "transB", "kernel_shape", "perm", "alpha", "to"]
    node = _node(model, rng)
    name = names[int(rng.integers(len(names)))]
    kept = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)
    value = values[int(rng.integers(len(values)))]
    kind = AttributeProto.INTS if value == [] else None
    node.attribute.append(helper.make_attribute(name, value, attr_type=kind))


def _attribute_type(model: onnx.ModelProto, rng: Rng) -> None:
    node = _node(model, rng)
    if node.attribute:
        node.attribute[0].type = int(rng.integers(0, 15))


def _dims(model: onnx.ModelProto, rng: Rng) -> None:
    tensor = _tensor(model, rng)
    choices: list[list[int]] = [[], [0], [-1], [2**40, 2**40], [1], [7, 7], list(tensor.dims)[::-1]]
    del tensor.dims[:]
    tensor.dims.extend(choices[int(rng.integers(len(choices)))])


def _data_type(model: onnx.ModelProto, rng: Rng) -> None:
    _tensor(model, rng).data_type = int(rng.integers(-1, 40))


def _data(model: onnx.ModelProto, rng: Rng) -> None:
    tensor = _tensor(model, rng)
    choices = [b"", b"\xff" * len(tensor.raw_data), tensor.raw_data[:-1], tensor.raw_data * 2]
    tensor.raw_data = choices[int(rng.integers(len(choices)))]


def _rename(model: onnx.ModelProto, rng: Rng) -> None:
    name = STRANGE[int(rng.integers(len(STRANGE)))]
    what = int(rng.integers(4))
    if what == 0:
        _node(model, rng).name = name
    elif what == 1:
        _tensor(model, rng).name = name
    elif what == 2 and model.graph.output:
        model.graph.output[0].name = name
    elif model.graph.input:
        model.graph.input[0].name = name


def _value_info(model: onnx.ModelProto, rng: Rng) -> None:
    sides = [*model.graph.input, *model.graph.output]
    if not sides:
        return
    side = sides[int(rng.integers(len(sides)))]
    kind = int(rng.integers(6))
    if kind == 0:
        side.ClearField("type")
    elif kind == 1:
        side.type.sequence_type.elem_type.tensor_type.elem_type = TensorProto.FLOAT
    elif kind == 2:
        side.type.optional_type.elem_type.tensor_type.elem_type = TensorProto.FLOAT
    elif kind == 3:
        side.type.tensor_type.elem_type = int(rng.integers(0, 24))
    elif kind == 4:
        side.type.tensor_type.ClearField("shape")
    else:
        for dim in side.type.tensor_type.shape.dim:
            dim.dim_value = int(rng.integers(-2, 5))


def _sides(model: onnx.ModelProto, rng: Rng) -> None:
    sides = model.graph.input if rng.integers(2) else model.graph.output
    if rng.integers(2):
        del sides[:]
    elif sides:
        sides.append(sides[0])


def _opset(model: onnx.ModelProto, rng: Rng) -> None:
    kind = int(rng.integers(4))
    if kind == 0:
        del model.opset_import[:]
    elif kind == 1 and model.opset_import:
        model.opset_import[0].version = int(rng.integers(-1, 60))
    elif kind == 2:
        model.opset_import.append(helper.make_opsetid("", int(rng.integers(1, 25))))
    else:
        model.ir_version = int(rng.integers(0, 30))


def _subgraph(model: onnx.ModelProto, rng: Rng) -> None:
    body = onnx.GraphProto()
    if rng.integers(2):
        body.CopyFrom(model.graph)
        body.name = "body"
    node = _node(model, rng)
    node.op_type = ["If", "Loop", "Scan"][int(rng.integers(3))]
    for name in ("then_branch", "else_branch", "body"):
        node.attribute.append(helper.make_attribute(name, body))


def _external(model: onnx.ModelProto, rng: Rng) -> None:
    tensor = _tensor(model, rng)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    places = ["", "missing.bin", "../outside", "/etc/hostname", "quant.onnx", ".", "\x00"]
    values = {
        "location": places[int(rng.integers(len(places)))],
        "offset": ["0", "-1", "x", str(2**70)][int(rng.integers(4))],
        "length": ["1", "-9", "", str(2**60)][int(rng.integers(4))],
    }
    for key, value in values.items():
        if rng.integers(3):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value


def _function(model: onnx.ModelProto, rng: Rng) -> None:
    name = "Own" if rng.integers(2) else "Relu"
    inner = helper.make_node(name, ["a"], ["b"], domain="own")
    ids = [helper.make_opsetid("", 13), helper.make_opsetid("own", 1)]
    model.functions.append(helper.make_function("own", "Own", ["a"], ["b"], [inner], ids))
    model.opset_import.append(helper.make_opsetid("own", 1))
    node = _node(model, rng)
    node.op_type, node.domain = "Own", "own"


def _metadata(model: onnx.ModelProto, rng: Rng) -> None:
    entry = model.metadata_props.add()
    keys = ["names", "stride", "imgsz", "task", "preprocess", "\x1b[31m"]
    values = ["{", "{0: 'a'}", "[640", "0", "\x1b]52;c;x\x07", "9" * 400, "None"]
    entry.key = keys[int(rng.integers(len(keys)))]
    entry.value = values[int(rng.integers(len(values)))]


def _scales(model: onnx.ModelProto, rng: Rng) -> None:
    for tensor in model.graph.initializer:
        if tensor.name.endswith("_s") and rng.integers(2):
            value = [0.0, -1.0, np.inf, np.nan, 1e-45, 3e38][int(rng.integers(6))]
            tensor.raw_data = np.float32(value).tobytes()


MUTATIONS: tuple[Callable[[onnx.ModelProto, Rng], None], ...] = (
    _drop_node, _repeat_node, _rewire, _cycle, _drop_operand, _add_operand, _operator, _domain,
    _attribute, _attribute_type, _dims, _data_type, _data, _rename, _value_info, _sides, _opset,
    _subgraph, _external, _function, _metadata, _scales,
)  # fmt: skip
