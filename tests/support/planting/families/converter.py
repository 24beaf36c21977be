"""Converter bugs: one node of the twin computes something else than the float model's.

The bug is made in the float graph before it is quantized, as a converter makes it, or in the
quantized graph, as a later pass does; chance decides where both can be had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from tests.support.editor import Array, Editor
from tests.support.planting.families.family import Planting, Rng, Subject, Truth, UnsuitableError

SLUGS = ("operator-mismatch",)
Node = onnx.NodeProto
Edit = Callable[[Editor, Rng], list[Node]]
"""Changes a graph and gives the nodes that now compute something else."""


def plant(subject: Subject, rng: Rng) -> Planting:
    """A converter bug of a kind and at a node that chance picks."""
    kinds = list(KINDS)
    rng.shuffle(kinds)
    for kind in kinds:
        late = subject.quantize is None or rng.random() < 0.5
        for source in (late, not late):
            planted = plant_kind(subject, rng, kind, source)
            if planted is not None:
                return planted
    raise UnsuitableError(subject.name)


def plant_kind(
    subject: Subject, rng: Rng, kind: str, late: bool, kinds: Mapping[str, Edit] | None = None
) -> Planting | None:
    """A bug of one kind; None where the subject has no place for it.

    Args:
        subject: the pair.
        rng: picks the place.
        kind: name of the bug.
        late: make it in the quantized graph, not in the float one before it is quantized.
        kinds: bugs by name; those of this family without them.
    """
    if not late and subject.quantize is None:
        return None
    editor = Editor(subject.quant_model if late else subject.float_model)
    try:
        nodes = (kinds or KINDS)[kind](editor, rng)
        check_shapes(editor.model)
    except (UnsuitableError, onnx.checker.ValidationError):
        return None
    made = editor.model
    if not _runs(made, subject.feeds[0]):
        return None
    if not late and subject.quantize is not None:
        made = subject.quantize(made)
    truth = truth_of(subject.float_model, nodes, kind)
    name = f"{kind}{', late' if late else ''}"
    return Planting(name, subject.float_model, made, subject.quant_model, (truth,))


def _runs(model: onnx.ModelProto, feed: dict[str, Array]) -> bool:
    """Whether ONNX Runtime runs the graph: shape inference does not look behind every node."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        session.run(None, feed)
    except Exception:  # of a dozen types that have nothing in common
        return False
    return True


def check_shapes(model: onnx.ModelProto) -> None:
    """Refuse a graph whose outputs changed their shape, or that ONNX Runtime would refuse."""
    before = [_dims(output) for output in model.graph.output]
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    for output in bare.graph.output:
        output.type.tensor_type.ClearField("shape")
    try:
        inferred = onnx.shape_inference.infer_shapes(bare, strict_mode=True)
    except onnx.shape_inference.InferenceError as error:
        raise UnsuitableError(str(error)) from None
    after = [_dims(output) for output in inferred.graph.output]
    if any(a and b and a != b for a, b in zip(before, after, strict=True)):
        raise UnsuitableError("another shape")
    del model.graph.value_info[:]


def _dims(info: onnx.ValueInfoProto) -> list[int]:
    dims = [d.dim_value for d in info.type.tensor_type.shape.dim]
    return dims if all(dims) else []


def truth_of(float_model: onnx.ModelProto, nodes: Iterable[Node], kind: str) -> Truth:
    """Where the bug shows: at the node, at the activation behind it, at what replaced it."""
    graph = float_model.graph
    tensors, names = [], []
    made = {name: node for node in graph.node for name in node.output}
    for node in nodes:
        names.append(node.name)
        for output in node.output:
            base = _base(output)
            tensors.append(base)
            if base in made:
                names += [made[base].name or base]
            # an activation may be one with it in the twin
            readers = [n for n in graph.node if base in n.input]
            kinds = ("Relu", "Clip", "BatchNormalization")
            tensors += [n.output[0] for n in readers if n.op_type in kinds]
    # A narrower Clip that went into a quantizer is a range and nothing else.
    slugs = (*SLUGS, "activation-clipping") if kind == "Relu6 for Relu" else SLUGS
    return Truth(slugs, tuple(dict.fromkeys(tensors)), tuple(dict.fromkeys(filter(None, names))))


def _base(tensor: str) -> str:
    for suffix in ("_DequantizeLinear_Output", "_QuantizeLinear_Output", "_QuantizeLinear_Input"):
        tensor = tensor.removesuffix(suffix)
    return tensor


# Picking and changing.


def _pick(editor: Editor, rng: Rng, *ops: str, fits: Callable[[Node], bool] | None = None) -> Node:
    found = [n for n in editor.graph.node if n.op_type in ops and (fits is None or fits(n))]
    if not found:
        raise UnsuitableError(", ".join(ops))
    chosen: Node = found[int(rng.integers(len(found)))]
    return chosen


def _get(node: Node, name: str, default: object = None) -> object:
    for attribute in node.attribute:
        if attribute.name == name:
            value = helper.get_attribute_value(attribute)
            return value.decode() if isinstance(value, bytes) else value
    return default


def _put(node: Node, **values: object) -> None:
    kept = [a for a in node.attribute if a.name not in values]
    del node.attribute[:]
    node.attribute.extend(kept)
    node.attribute.extend(helper.make_attribute(k, v) for k, v in values.items() if v is not None)


def _set_kind(node: Node, op: str, **values: object) -> None:
    node.op_type = op
    del node.attribute[:]
    _put(node, **values)


def _source(editor: Editor, tensor: str) -> Node | None:
    """The node that makes a tensor, behind quantizers."""
    node = editor.producer.get(tensor)
    while node is not None and node.op_type in ("DequantizeLinear", "QuantizeLinear"):
        node = editor.producer.get(node.input[0])
    return node


def _constant(editor: Editor, tensor: str) -> onnx.TensorProto | None:
    return editor.constants.get(tensor)


def _shapes(editor: Editor) -> dict[str, list[int]]:
    inferred = onnx.shape_inference.infer_shapes(editor.model)
    infos = [*inferred.graph.value_info, *inferred.graph.output, *inferred.graph.input]
    found = {info.name: _dims(info) for info in infos}
    for node in inferred.graph.node:  # shape inference may know only one of Q and DQ
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            known = found.get(node.input[0]) or found.get(node.output[0])
            if known:
                found.setdefault(node.output[0], known)
    return found


# The bugs.


def conv_pads(editor: Editor, rng: Rng) -> list[Node]:
    def fits(n: Node) -> bool:
        pads = list(_get(n, "pads", []))  # type: ignore[call-overload]
        return len(pads) == 4 and pads[0] > 0 and pads[2] > 0

    node = _pick(editor, rng, "Conv", "AveragePool", "MaxPool", fits=fits)
    top, left, bottom, right = list(_get(node, "pads", []))  # type: ignore[call-overload]
    _put(node, pads=[top - 1, left - 1, bottom + 1, right + 1])
    return [node]


def auto_pad(editor: Editor, rng: Rng) -> list[Node]:
    node = _pick(
        editor,
        rng,
        "Conv",
        fits=lambda n: _get(n, "auto_pad") == "SAME_UPPER" and _get(n, "strides") == [2, 2],
    )
    _put(node, auto_pad="SAME_LOWER")
    return [node]


def dilation(editor: Editor, rng: Rng) -> list[Node]:
    def fits(n: Node) -> bool:
        return _get(n, "kernel_shape") == [3, 3] and _get(n, "pads") == [1] * 4

    node = _pick(editor, rng, "Conv", fits=fits)
    _put(node, dilations=[2, 2], pads=[2] * 4)
    return [node]


def pool_kind(editor: Editor, rng: Rng) -> list[Node]:
    node = _pick(editor, rng, "MaxPool", "AveragePool")
    kept = {k: _get(node, k) for k in ("kernel_shape", "pads", "strides", "ceil_mode")}
    _set_kind(node, "AveragePool" if node.op_type == "MaxPool" else "MaxPool", **kept)
    return [node]


def include_pad(editor: Editor, rng: Rng) -> list[Node]:
    node = _pick(editor, rng, "AveragePool", fits=lambda n: any(_get(n, "pads", [0])))  # type: ignore[arg-type]
    _put(node, count_include_pad=1 - int(_get(node, "count_include_pad", 0)))  # type: ignore[call-overload]
    return [node]


def leaky_alpha(editor: Editor, rng: Rng) -> list[Node]:
    node = _pick(editor, rng, "LeakyRelu")
    _put(node, alpha=float(rng.choice([0.01, 0.3, 0.5])))
    return [node]


def relu_to_leaky(editor: Editor, rng: Rng) -> list[Node]:
    node = _pick(editor, rng, "Relu")
    _set_kind(node, "LeakyRelu", alpha=0.2)
    return [node]


def relu_to_relu6(editor: Editor, rng: Rng) -> list[Node]:
    node = _pick(editor, rng, "Relu")
    low, high = f"{node.output[0]}/low", f"{node.output[0]}/high"
    _initializer(editor, low, np.float32(0))
    # calibrated with it, a twin shows any other bound as a range and nothing else
    late = any(n.op_type == "QuantizeLinear" for n in editor.graph.node)
    _initializer(editor, high, np.float32(rng.choice([1.0, 6.0]) if late else 6.0))
    _set_kind(node, "Clip")
    node.input.extend([low, high])
    return [node]


def clip_to_relu(editor: Editor, rng: Rng) -> list[Node]:
    node = _pick(editor, rng, "Clip")
    _set_kind(node, "Relu")
    del node.input[1:]
    return [node]


def dropped_activation(editor: Editor, rng: Rng) -> list[Node]:
    return _drop(editor, _pick(editor, rng, "Relu", "Clip", "LeakyRelu"), 0)


def dropped_add(editor: Editor, rng: Rng) -> list[Node]:
    shapes = _shapes(editor)

    def fits(n: Node) -> bool:
        made = [_source(editor, name) for name in n.input]
        a, b = (shapes.get(name) for name in n.input)
        return None not in made and a is not None and a == b

    node = _pick(editor, rng, "Add", fits=fits)
    return _drop(editor, node, int(rng.integers(2)))


def _drop(editor: Editor, node: Node, slot: int) -> list[Node]:
    """Take a node out: its readers read one of its inputs."""
    gone, kept = node.output[0], node.input[slot]
    if gone in {output.name for output in editor.graph.output}:
        raise UnsuitableError("an output")
    readers = editor.readers(gone)
    for reader in readers:
        for at, name in enumerate(reader.input):
            if name == gone:
                reader.input[at] = kept
    copy = Node()
    copy.CopyFrom(node)
    editor.graph.node.remove(node)
    # where the node is gone, its readers are the first that differ
    behind: list[Node] = []
    for reader in readers:
        behind += _past_quantizers(editor, reader)
    return [copy, *behind]


def _past_quantizers(editor: Editor, node: Node) -> list[Node]:
    if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
        return [node]
    return [n for r in editor.readers(node.output[0]) for n in _past_quantizers(editor, r)]


def sigmoid_to_hard(editor: Editor, rng: Rng) -> list[Node]:
    node = _pick(editor, rng, "Sigmoid")
    _set_kind(node, "HardSigmoid", alpha=0.2, beta=0.5)
    return [node]


def hard_sigmoid(editor: Editor, rng: Rng) -> list[Node]:
    node = _pick(editor, rng, "HardSigmoid")
    if rng.random() < 0.5:
        _set_kind(node, "Sigmoid")
    else:
        _put(node, alpha=0.5, beta=0.2)
    return [node]


def swish_piece(editor: Editor, rng: Rng) -> list[Node]:
    """The 3 of a hard swish in pieces is another number."""

    def fits(n: Node) -> bool:
        constant = _constant(editor, n.input[1])
        return constant is not None and numpy_helper.to_array(constant).tolist() == 3.0

    node = _pick(editor, rng, "Add", fits=fits)
    editor.set(editor.own(node, 1), np.float32(rng.choice([2.0, 0.5])))
    return [node]


def concat_order(editor: Editor, rng: Rng) -> list[Node]:
    shapes = _shapes(editor)

    def fits(n: Node) -> bool:
        return len({tuple(shapes.get(i) or [hash(i)]) for i in n.input}) < len(n.input)

    node = _pick(editor, rng, "Concat", fits=fits)
    pairs = [
        (a, b)
        for a in range(len(node.input))
        for b in range(a)
        if shapes.get(node.input[a]) == shapes.get(node.input[b])
    ]
    a, b = pairs[int(rng.integers(len(pairs)))]
    names = list(node.input)
    names[a], names[b] = names[b], names[a]
    if names == list(node.input):
        raise UnsuitableError("one and the same input")
    node.input[:] = names
    return [node]


def concat_other(editor: Editor, rng: Rng) -> list[Node]:
    """One input is another tensor of the same shape."""
    shapes = _shapes(editor)
    order = list(editor.graph.node)
    node = _pick(editor, rng, "Concat", fits=lambda n: len(n.input) > 1)
    slot = int(rng.integers(len(node.input)))
    wanted = shapes.get(node.input[slot])
    before = order[: order.index(node)]
    quantized = editor.dequantizer(node.input[slot]) is not None
    others = [
        n.output[0]
        for n in before
        if (n.op_type == "DequantizeLinear") == quantized
        and n.op_type != "QuantizeLinear"
        and n.output[0] not in node.input
        and shapes.get(n.output[0]) == wanted
    ]
    if not others or not wanted:
        raise UnsuitableError("nothing of that shape")
    left_out = _source(editor, node.input[slot])
    node.input[slot] = others[int(rng.integers(len(others)))]
    return [node, *([left_out] if left_out is not None else [])]


def operands(editor: Editor, rng: Rng) -> list[Node]:
    shapes = _shapes(editor)

    def fits(n: Node) -> bool:
        a, b = (shapes.get(name) for name in n.input[:2])
        computed = all(_source(editor, name) is not None for name in n.input[:2])
        return computed and bool(a) and a == b

    node = _pick(editor, rng, "Sub", "Div", fits=fits)
    node.input[:] = list(node.input)[::-1]
    return [node]


def slice_off(editor: Editor, rng: Rng) -> list[Node]:
    def fits(n: Node) -> bool:
        return len(n.input) > 2 and all(_constant(editor, name) is not None for name in n.input[1:])

    node = _pick(editor, rng, "Slice", fits=fits)
    starts, ends = np.array(editor.value(node.input[1])), np.array(editor.value(node.input[2]))
    strided = len(node.input) > 4 and (editor.value(node.input[4]) > 1).any()
    if strided:  # a Focus layer: another phase
        at = int(rng.integers(len(starts)))
        starts[at] = 1 - starts[at]
        editor.set(editor.own(node, 1), starts)
        return [node]
    move = -1 if starts[0] > 0 else 1
    if ends[0] > 1 << 20:
        raise UnsuitableError("to the end")
    editor.set(editor.own(node, 1), starts + move)
    editor.set(editor.own(node, 2), ends + move)
    return [node]


def softmax_axis(editor: Editor, rng: Rng) -> list[Node]:
    node = _pick(editor, rng, "Softmax")
    _put(node, axis=1 if int(_get(node, "axis", -1)) != 1 else 2)  # type: ignore[call-overload]
    return [node]


def perm(editor: Editor, rng: Rng) -> list[Node]:
    """Two axes of one length exchanged."""
    shapes = _shapes(editor)

    def fits(n: Node) -> bool:
        return _twins(shapes.get(n.input[0])) is not None

    node = _pick(editor, rng, "Transpose", fits=fits)
    a, b = _twins(shapes.get(node.input[0])) or (0, 0)
    swap = {a: b, b: a}
    _put(node, perm=[swap.get(axis, axis) for axis in _get(node, "perm")])  # type: ignore[attr-defined]
    return [node]


def _twins(shape: list[int] | None) -> tuple[int, int] | None:
    axes = range(len(shape or ()))
    found = [(a, b) for a in axes for b in range(a) if shape and shape[a] == shape[b] > 1]
    return found[0] if found else None


def resize_coordinates(editor: Editor, rng: Rng) -> list[Node]:
    node = _pick(editor, rng, "Resize", fits=lambda n: _get(n, "mode") == "linear")
    known = ["half_pixel", "asymmetric", "align_corners"]
    known.remove(str(_get(node, "coordinate_transformation_mode", "half_pixel")))
    _put(node, coordinate_transformation_mode=str(rng.choice(known)))
    return [node]


def resize_mode(editor: Editor, rng: Rng) -> list[Node]:
    node = _pick(editor, rng, "Resize")
    mode = "linear" if _get(node, "mode", "nearest") == "nearest" else "nearest"
    _put(node, mode=mode)
    return [node]


def epsilon(editor: Editor, rng: Rng) -> list[Node]:
    node = _pick(editor, rng, "BatchNormalization")
    _put(node, epsilon=float(rng.choice([0.1, 1.0])))
    return [node]


def folded_twice(editor: Editor, rng: Rng) -> list[Node]:
    """A normalization stands in the weights and behind them."""

    def fits(n: Node) -> bool:
        conv = editor.producer.get(n.input[0])
        return conv is not None and conv.op_type == "Conv" and conv.input[1] in editor.constants

    norm = _pick(editor, rng, "BatchNormalization", fits=fits)
    conv = editor.producer[norm.input[0]]
    gamma, beta, mean, variance = (editor.value(name) for name in norm.input[1:5])
    factor = gamma / np.sqrt(variance + float(_get(norm, "epsilon", 1e-5)))  # type: ignore[arg-type]
    weight = editor.value(conv.input[1])
    editor.set(editor.own(conv, 1), weight * factor.reshape(-1, 1, 1, 1).astype(np.float32))
    if len(conv.input) > 2:
        bias = editor.value(conv.input[2])
        editor.set(editor.own(conv, 2), ((bias - mean) * factor + beta).astype(np.float32))
    return [conv, norm]


def trans_b(editor: Editor, rng: Rng) -> list[Node]:
    shapes = {name: list(t.dims) for name, t in editor.constants.items()}

    def fits(n: Node) -> bool:
        dq = editor.dequantizer(n.input[1])
        shape = shapes.get(dq.input[0] if dq is not None else n.input[1], [0, 1])
        return bool(shape[0] == shape[1])

    node = _pick(editor, rng, "Gemm", fits=fits)
    _put(node, transB=1 - int(_get(node, "transB", 0)))  # type: ignore[call-overload]
    return [node]


def swapped_outputs(editor: Editor, rng: Rng) -> list[Node]:
    """Two outputs of one shape carry each other's values."""
    found = list(editor.graph.output)
    couples = [
        (a, b)
        for a in range(len(found))
        for b in range(a)
        if _dims(found[a]) and _dims(found[a]) == _dims(found[b])
    ]
    if not couples:
        raise UnsuitableError("outputs of one shape")
    a, b = couples[int(rng.integers(len(couples)))]
    first, second = found[a].name, found[b].name
    makers = [editor.producer[first], editor.producer[second]]
    exchange = {first: second, second: first}
    for node in editor.graph.node:
        node.output[:] = [exchange.get(name, name) for name in node.output]
        node.input[:] = [exchange.get(name, name) for name in node.input]
    return makers


def split_order(editor: Editor, rng: Rng) -> list[Node]:
    shapes = _shapes(editor)

    def fits(n: Node) -> bool:
        return len(n.output) > 1 and shapes.get(n.output[0]) == shapes.get(n.output[1])

    node = _pick(editor, rng, "Split", fits=fits)
    exchange = {node.output[0]: node.output[1], node.output[1]: node.output[0]}
    readers = [n for n in editor.graph.node if set(n.input) & set(exchange)]
    for reader in readers:
        reader.input[:] = [exchange.get(name, name) for name in reader.input]
    return [node, *(n for r in readers for n in _past_quantizers(editor, r))]


def pixel_order(editor: Editor, rng: Rng) -> list[Node]:
    node = _pick(editor, rng, "DepthToSpace")
    _put(node, mode="DCR" if _get(node, "mode", "DCR") == "CRD" else "CRD")
    return [node]


def pad_mode(editor: Editor, rng: Rng) -> list[Node]:
    node = _pick(editor, rng, "Pad")
    _put(node, mode=str(rng.choice(["edge", "reflect"])))
    return [node]


def reduction(editor: Editor, rng: Rng) -> list[Node]:
    node = _pick(editor, rng, "GlobalAveragePool")
    node.op_type = "GlobalMaxPool"
    return [node]


def _initializer(editor: Editor, name: str, value: np.floating) -> None:
    editor.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))


KINDS: dict[str, Edit] = {
    "Conv pads": conv_pads,
    "auto_pad": auto_pad,
    "dilations": dilation,
    "MaxPool for AveragePool": pool_kind,
    "count_include_pad": include_pad,
    "LeakyRelu alpha": leaky_alpha,
    "LeakyRelu for Relu": relu_to_leaky,
    "Relu6 for Relu": relu_to_relu6,
    "Relu for Relu6": clip_to_relu,
    "activation dropped": dropped_activation,
    "Add dropped": dropped_add,
    "HardSigmoid for Sigmoid": sigmoid_to_hard,
    "HardSigmoid changed": hard_sigmoid,
    "HardSwish constant": swish_piece,
    "Concat order": concat_order,
    "Concat of another tensor": concat_other,
    "Sub or Div operands": operands,
    "Slice off by one": slice_off,
    "Softmax axis": softmax_axis,
    "Transpose perm": perm,
    "Resize coordinates": resize_coordinates,
    "Resize mode": resize_mode,
    "BatchNorm epsilon": epsilon,
    "BatchNorm folded twice": folded_twice,
    "transB": trans_b,
    "outputs swapped": swapped_outputs,
    "Split outputs swapped": split_order,
    "DepthToSpace mode": pixel_order,
    "Pad mode": pad_mode,
    "max for mean": reduction,
}
"""Every converter bug by name."""
