"""Whether a model that could be parsed is well formed, so that nothing after has to doubt it.

The operators' own rules are checked by ``onnx.checker``, node by node, because the whole-model
check refuses an order of nodes that ONNX Runtime takes. Operators that onnx does not know are left
to ONNX Runtime, which names them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx
from onnx import AttributeProto, TensorProto, checker, helper

from qdebug.errors import ModelError
from qdebug.graph.model import bodies_of

HINT = "the file is damaged, or its exporter is at fault: export or copy the model again"
_BITS = {
    TensorProto.UINT4: 4,
    TensorProto.INT4: 4,
    getattr(TensorProto, "FLOAT4E2M1", -1): 4,
    getattr(TensorProto, "UINT2", -2): 2,
    getattr(TensorProto, "INT2", -3): 2,
}
"""Element types that share bytes."""
_TYPES = frozenset(TensorProto.DataType.values()) - {TensorProto.UNDEFINED}
_LONGEST = 120
_MOST = 1 << 40
"""Elements that no tensor has; beyond this sizes overflow."""


def check_structure(proto: onnx.ModelProto, path: Path) -> None:
    """Check tensors, nodes, names and the model's inputs and outputs.

    Args:
        proto: the model as parsed, its functions not yet inlined.
        path: how messages name it.

    Raises:
        ModelError: something is not well formed; the first such thing is named.
    """
    _refuse_first(_faults(proto), path)


def check_size(tensor: TensorProto, held: int, path: Path) -> None:
    """Check that a tensor has the bytes that its shape and type need.

    Args:
        tensor: one whose data lies in another file.
        held: its bytes there.
        path: how messages name the model.

    Raises:
        ModelError: it has not.
    """
    _refuse_first(_byte_faults(tensor, f"the tensor {name_of(tensor.name)}", held), path)


def _refuse_first(faults: Iterator[str], path: Path) -> None:
    reason = next(faults, None)
    if reason is not None:
        raise ModelError(f"{path} is not a valid model: {shortened(reason)}", HINT)


def shortened(text: str) -> str:
    """A library's reason on one line: its first sentence, and long names cut."""
    line = " ".join(text.split("\n==>", maxsplit=1)[0].split()).rstrip(". ")
    return line if len(line) <= 3 * _LONGEST else f"{line[: 3 * _LONGEST]}..."


def _faults(proto: onnx.ModelProto) -> Iterator[str]:
    yield from _opset_faults(proto)
    yield from _interface_faults(proto.graph)
    yield from _graph_faults(proto.graph, set())
    context = checker.C.CheckerContext()
    context.ir_version = proto.ir_version
    context.opset_imports = {entry.domain: entry.version for entry in proto.opset_import}
    yield from _operator_faults(proto.graph.node, context)
    for function in proto.functions:
        yield from itertools.chain.from_iterable(map(_attribute_faults, function.node))


def _opset_faults(proto: onnx.ModelProto) -> Iterator[str]:
    domains = [entry.domain for entry in proto.opset_import]
    if "" not in domains and "ai.onnx" not in domains:
        yield "it names no version of ONNX's operators"
    for entry in proto.opset_import:
        if entry.version < 1:
            yield f"opset {entry.version} of {entry.domain or 'ONNX'} does not exist"
        if domains.count(entry.domain) > 1:
            yield f"it names two versions of the operators of {entry.domain or 'ONNX'!r}"


def _interface_faults(graph: onnx.GraphProto) -> Iterator[str]:
    names = [info.name for info in graph.output]
    for kind, side in (("input", graph.input), ("output", graph.output)):
        for info in side:
            if not info.name:
                yield f"an {kind} has no name"
            found = info.type.WhichOneof("value")
            if kind == "input" and found != "tensor_type":
                yield f"its input {name_of(info.name)} is {_type_words(found)}, not a tensor"
            if any(dim.dim_value < 0 for dim in info.type.tensor_type.shape.dim):
                yield f"its {kind} {name_of(info.name)} has a negative size"
    if len(set(names)) < len(names):
        yield f"two outputs have one name, {name_of(next(n for n in names if names.count(n) > 1))}"


def _type_words(kind: str | None) -> str:
    return "of no type" if kind is None else f"a {kind.removesuffix('_type').replace('_', ' ')}"


def name_of(name: str) -> str:
    """A name in a message: quoted, and not longer than a line."""
    return repr(name if len(name) <= _LONGEST else f"{name[:_LONGEST]}...")


def _graph_faults(graph: onnx.GraphProto, outer: set[str]) -> Iterator[str]:
    """What is wrong with tensors, attributes and names of a graph and of those inside it."""
    damaged = next((name for name in _names(graph) if isinstance(name, bytes)), None)
    if damaged is not None:
        yield f"the name {damaged[:_LONGEST]!r} is not UTF-8"
    for tensor in graph.initializer:
        yield from _tensor_faults(tensor)
    for sparse in graph.sparse_initializer:
        yield from _tensor_faults(sparse.values)
        yield from _tensor_faults(sparse.indices)
    known = outer | {info.name for info in graph.input} | {t.name for t in graph.initializer}
    known |= {sparse.values.name for sparse in graph.sparse_initializer}
    made = [name for node in graph.node for name in node.output if name]
    yield from _repeated(made, known)
    known |= set(made)
    for node in graph.node:
        missing = next((name for name in node.input if name and name not in known), None)
        if missing is not None:
            yield f"{_node_name(node)} reads {name_of(missing)}, which nothing makes"
        yield from _attribute_faults(node)
        for body in bodies_of(node):
            yield from _graph_faults(body, known)
    missing = next((info.name for info in graph.output if info.name not in known), None)
    if missing is not None:
        yield f"nothing makes its output {name_of(missing)}"
    yield from _cycle_faults(graph)


def _names(graph: onnx.GraphProto) -> Iterator[str | bytes]:
    """Every name in a graph; one that is not UTF-8 comes as bytes."""
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)
    for item in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        yield item.name


def _repeated(made: list[str], known: set[str]) -> Iterator[str]:
    seen = set(known)
    for name in made:
        if name in seen:
            yield f"the tensor {name_of(name)} is made twice"
        seen.add(name)


def _cycle_faults(graph: onnx.GraphProto) -> Iterator[str]:
    """A node that needs its own result, found by taking away all nodes whose inputs are there."""
    if _is_in_order(graph):
        return
    makers = {name: at for at, node in enumerate(graph.node) for name in node.output if name}
    needs = [{makers[name] for name in _reads(node) if name in makers} for node in graph.node]
    waits = [len(found) for found in needs]
    readers: list[list[int]] = [[] for _ in needs]
    for at, found in enumerate(needs):
        for maker in found:
            readers[maker].append(at)
    ready = [at for at, count in enumerate(waits) if count == 0]
    done = 0
    while ready:
        done += 1
        for at in readers[ready.pop()]:
            waits[at] -= 1
            if waits[at] == 0:
                ready.append(at)
    if done < len(needs):
        at = next(at for at, count in enumerate(waits) if count)
        yield f"{_node_name(graph.node[at])} waits for its own result: the graph has a cycle"


def _is_in_order(graph: onnx.GraphProto) -> bool:
    """Whether no node reads what only a later one makes."""
    later = {name for node in graph.node for name in node.output if name}
    for node in graph.node:
        if not later.isdisjoint(_reads(node)):
            return False
        later.difference_update(node.output)
    return True


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    yield from node.input
    for body in bodies_of(node):
        for inner in body.node:
            yield from _reads(inner)
        yield from (info.name for info in body.output)


def _node_name(node: onnx.NodeProto) -> str:
    name = node.name or next((n for n in node.output if n), "")
    return f"{node.op_type} {name_of(name)}"


def _attribute_faults(node: onnx.NodeProto) -> Iterator[str]:
    names = [attribute.name for attribute in node.attribute]
    if not node.op_type:
        yield f"the node {name_of(node.name)} names no operator"
    for attribute in node.attribute:
        if names.count(attribute.name) > 1:
            yield f"{_node_name(node)} has its attribute {name_of(attribute.name)} twice"
        try:
            helper.get_attribute_value(attribute)
        except ValueError:
            yield f"attribute {name_of(attribute.name)} of {_node_name(node)} has no known type"
        if attribute.type == AttributeProto.TENSOR:
            yield from _tensor_faults(attribute.t)
        for tensor in attribute.tensors:
            yield from _tensor_faults(tensor)


def _tensor_faults(tensor: TensorProto) -> Iterator[str]:
    name = f"the tensor {name_of(tensor.name)}"
    if tensor.data_type not in _TYPES:
        yield f"{name} has the data type {tensor.data_type}, which does not exist"
        return
    count = math.prod(tensor.dims)
    if any(size < 0 for size in tensor.dims) or count > _MOST:
        yield f"{name} has the impossible shape {list(tensor.dims)[:8]}"
        return
    if tensor.data_location == TensorProto.EXTERNAL:
        yield from _external_faults(tensor, name)
    elif tensor.data_type != TensorProto.STRING:
        yield from _size_faults(tensor, name, count)
    elif len(tensor.string_data) != count:
        yield f"{name} has {len(tensor.string_data)} strings, its shape needs {count}"


def _external_faults(tensor: TensorProto, name: str) -> Iterator[str]:
    for entry in tensor.external_data:
        if entry.key in ("offset", "length") and not entry.value.isdecimal():
            yield f"{name} has the {entry.key} {name_of(entry.value)}, which is no number"
    if "\0" in "".join(entry.value for entry in tensor.external_data):
        yield f"{name} names a file with a NUL in its name"
    if tensor.data_type == TensorProto.STRING:
        yield f"{name} keeps strings in another file, which ONNX does not allow"


def _size_faults(tensor: TensorProto, name: str, count: int) -> Iterator[str]:
    if tensor.HasField("raw_data"):
        yield from _byte_faults(tensor, name, len(tensor.raw_data))
        return
    field = helper.tensor_dtype_to_field(tensor.data_type)
    held = len(getattr(tensor, field))
    needed = _entries(tensor.data_type, count)
    if held != needed:
        yield f"{name} has {held:,} values, its shape needs {needed:,}"


def _byte_faults(tensor: TensorProto, name: str, held: int) -> Iterator[str]:
    needed = tensor_bytes(tensor)
    if held != needed:
        yield f"{name} has {held:,} bytes, its shape and type need {needed:,}"


def tensor_bytes(tensor: TensorProto) -> int:
    """Bytes that a tensor's shape and type need."""
    return int(math.prod(tensor.dims) * _bits(tensor.data_type) + 7) // 8


def _bits(data_type: int) -> int:
    return _BITS.get(data_type) or 8 * helper.tensor_dtype_to_np_dtype(data_type).itemsize


def _entries(data_type: int, count: int) -> int:
    """Entries of a tensor's typed field: two for a complex number, one for several small ones."""
    if data_type in (TensorProto.COMPLEX64, TensorProto.COMPLEX128):
        return 2 * count
    return (count * _BITS[data_type] + 7) // 8 if data_type in _BITS else count


def _operator_faults(
    nodes: Iterable[onnx.NodeProto], context: checker.C.CheckerContext
) -> Iterator[str]:
    for node in nodes:
        bodies = bodies_of(node)
        for body in bodies:
            yield from _operator_faults(body.node, context)
        # With a body, the check would need the names around the node, which were checked already.
        if bodies or not _is_known(node, context):
            continue
        try:
            checker.check_node(_without_axis(node), context)
        except checker.ValidationError as error:
            yield f"{_node_name(node)}: {shortened(str(error))}"


_WITH_AXIS = ("QuantizeLinear", "DequantizeLinear")


def _without_axis(node: onnx.NodeProto) -> onnx.NodeProto:
    """The node, a quantizer's axis left out.

    An axis under an opset that has none is explained, with its cure, where the session opens.
    """
    if node.op_type not in _WITH_AXIS or not node.attribute:
        return node
    kept = onnx.NodeProto()
    kept.CopyFrom(node)
    del kept.attribute[:]
    kept.attribute.extend(
        a for a in node.attribute if (a.name, a.type) != ("axis", AttributeProto.INT)
    )
    return kept


def _is_known(node: onnx.NodeProto, context: checker.C.CheckerContext) -> bool:
    version = context.opset_imports.get(node.domain, 1)
    return onnx.defs.has(node.op_type, version, node.domain)
