"""Fault 14: an attention mask of -1e12 in a quantized range.

Self-attention stands in front of a Conv of few positions. A bias of position makes every position
look at itself first of all, so that the block passes on nearly what it is given and the network
goes on to do its work; the mask forbids what is not next to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper

from tests.support.editor import Array, Editor
from tests.support.planting.blocks import (
    Block,
    Feeds,
    Quantizer,
    insert,
    insert_quantized,
    ranges_of,
    tensors_of,
)
from tests.support.planting.planted import Planted, is_plain, sole_tensors

NAME = "planted/attention"
LOGITS, MASKED, WEIGHTS = f"{NAME}/logits", f"{NAME}/masked", f"{NAME}/weights"
MASK, KEEP, FORBIDDEN = f"{NAME}/mask", f"{NAME}/keep", f"{NAME}/forbidden"
LEAST, MOST = 16, 800
"""Positions that attention goes over."""
SELF = 8.0
"""Bias of a position for itself."""
SPREAD = 3.0
"""Largest product of two positions."""
SMALL = -30.0
"""A mask that is as good, and fits beside the logits."""
FLOAT_MIN = float(np.finfo(np.float32).min)


@dataclass(frozen=True)
class _Place:
    """Where attention is put.

    Attributes:
        conv: in front of which, by its output.
        shape: of what it reads.
        scale: of the products of two positions.
    """

    conv: str
    shape: tuple[int, ...]
    scale: float


def mask_added(float_model: onnx.ModelProto, quant: onnx.ModelProto, feeds: Feeds) -> Planted:
    """``logits + mask`` with -1e12 where it forbids; the control adds and weighs in float."""
    return _masked(float_model, quant, feeds, chosen=False)


def mask_chosen(float_model: onnx.ModelProto, quant: onnx.ModelProto, feeds: Feeds) -> Planted:
    """``where(keep, logits, -FLT_MAX)``, as Transformers exports it; the control likewise."""
    return _masked(float_model, quant, feeds, chosen=True)


def mask_fits(float_model: onnx.ModelProto, quant: onnx.ModelProto, feeds: Feeds) -> Planted:
    """A control: all is quantized, and the mask of the quant model is -30, as the advice has it."""
    place = _place(float_model, quant, feeds)
    floats = _with_attention(float_model, place, _attention(place, -1e12, chosen=False))
    fitting = _attention(place, SMALL, chosen=False)
    small = _with_attention(float_model, place, fitting)
    editor = Editor(quant)
    insert_quantized(editor, fitting, place.conv, _quantizers(small, fitting, feeds))
    return Planted(floats.model, editor.model, "")


def _masked(
    float_model: onnx.ModelProto, quant: onnx.ModelProto, feeds: Feeds, *, chosen: bool
) -> Planted:
    place = _place(float_model, quant, feeds)
    block = _attention(place, FLOAT_MIN if chosen else -1e12, chosen=chosen)
    floats = _with_attention(float_model, place, block)
    quantizers = _quantizers(floats, block, feeds)
    faulty, sound = Editor(quant), Editor(quant)
    insert_quantized(faulty, block, place.conv, quantizers)
    for name in (MASK, MASKED):
        quantizers.pop(name, None)
    insert_quantized(sound, block, place.conv, quantizers)
    return Planted(floats.model, faulty.model, "huge-constant", (MASKED,), sound.model)


def _place(float_model: onnx.ModelProto, quant: onnx.ModelProto, feeds: Feeds) -> _Place:
    """The first Conv that reads a map of few positions which nothing leads past.

    Where something leads past all of them, the one nearest the middle of the network.
    """
    floats, editor = Editor(float_model), Editor(quant)
    convs = [n.output[0] for n in editor.graph.node if is_plain(editor, n)]
    reads = {conv: floats.weighted(conv).input[0] for conv in convs}
    names = list(dict.fromkeys(reads.values()))
    values = dict(zip(names, tensors_of(float_model, names, feeds[:1])[0], strict=True))
    fit = [c for c in convs if LEAST <= int(np.prod(values[reads[c]].shape[2:])) <= MOST]
    if not fit:
        raise ValueError("no Conv reads a map of few positions")
    alone = sole_tensors(floats)
    middle = min(fit, key=lambda c: abs(convs.index(c) - len(convs) // 2))
    conv = next((c for c in fit if reads[c] in alone), middle)
    value = values[reads[conv]]
    strongest = float((value.astype(np.float64) ** 2).sum(axis=1).max())
    return _Place(conv, value.shape, SPREAD / strongest)


def _with_attention(float_model: onnx.ModelProto, place: _Place, block: Block) -> Editor:
    floats = Editor(float_model)
    conv = floats.weighted(place.conv)
    insert(floats, block, conv.input[0], conv)
    return floats


def _quantizers(floats: Editor, block: Block, feeds: Feeds) -> dict[str, Quantizer]:
    """Of every product, sum and Softmax, and of the constants that are added."""
    moved = ("Reshape", "Transpose")
    made = [n.output[0] for n in block.nodes if n.op_type not in moved] + [block.output]
    ranges = ranges_of(floats.model, made, feeds)
    added = [name for name in (MASK, f"{NAME}/position") if name in block.constants]
    ranges |= {n: (float(block.constants[n].min()), float(block.constants[n].max())) for n in added}
    return {name: Quantizer.of(*ends, "uint8") for name, ends in ranges.items()}


def _attention(place: _Place, forbidden: float, *, chosen: bool) -> Block:
    """Nodes from ``[N, C, H, W]`` to the same, the positions being the tokens."""
    _, channels, height, width = place.shape
    near = _neighbours(height, width)
    constants: dict[str, Array] = {
        f"{NAME}/to_tokens": np.array([0, channels, height * width], np.int64),
        f"{NAME}/to_map": np.array([0, channels, height, width], np.int64),
        f"{NAME}/scale": np.array(place.scale, np.float32),
        f"{NAME}/position": (SELF * np.eye(height * width)).astype(np.float32),
    }
    if chosen:
        constants |= {KEEP: near, FORBIDDEN: np.array(forbidden, np.float32)}
        mask = ("Where", [KEEP, LOGITS, FORBIDDEN], MASKED)
    else:
        constants[MASK] = np.where(near, 0, forbidden).astype(np.float32)
        mask = ("Add", [LOGITS, MASK], MASKED)
    flat, tokens, products = f"{NAME}/flat", f"{NAME}/tokens", f"{NAME}/products"
    scaled, mixed, turned = f"{NAME}/scaled", f"{NAME}/mixed", f"{NAME}/turned"
    given = [
        ("Reshape", ["x", f"{NAME}/to_tokens"], flat),
        ("Transpose", [flat], tokens),
        ("MatMul", [tokens, flat], products),
        ("Mul", [products, f"{NAME}/scale"], scaled),
        ("Add", [scaled, f"{NAME}/position"], LOGITS),
        mask,
        ("Softmax", [MASKED], WEIGHTS),
        ("MatMul", [WEIGHTS, tokens], mixed),
        ("Transpose", [mixed], turned),
        ("Reshape", [turned, f"{NAME}/to_map"], f"{NAME}/out"),
    ]
    attributes: dict[str, dict[str, Any]] = {
        "Transpose": {"perm": [0, 2, 1]},
        "Softmax": {"axis": 2},
    }
    nodes = [
        helper.make_node(op, inputs, [output], output, **attributes.get(op, {}))
        for op, inputs, output in given
    ]
    return Block(tuple(nodes), constants)


def _neighbours(height: int, width: int) -> Array:
    """Which positions lie at most one row and one column from another, as ``[1, HW, HW]``."""
    rows, columns = np.divmod(np.arange(height * width), width)
    near: Array = (abs(rows[:, None] - rows) <= 1) & (abs(columns[:, None] - columns) <= 1)
    return near[None]
