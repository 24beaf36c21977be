"""Networks that were equalized before they were quantized: other weights, the same function."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import onnx
import pytest

from qdebug.run.model import Run
from tests.support.checked import causes, finding, net_run
from tests.support.editor import Editor
from tests.support.nets import NetBuilder, sample_inputs
from tests.support.planting.families.subjects import random_quantizer

WIDTH = 32


def _transformer(seed: int) -> onnx.ModelProto:
    b = NetBuilder(seed, 17)
    x = b.linear(b.input("tokens", [1, 12, WIDTH]), WIDTH, WIDTH)
    for _ in range(2):
        scale, shift = b.rng.uniform(0.5, 1.5, WIDTH), b.rng.normal(0, 0.2, WIDTH)
        norm = b.op("LayerNormalization", x, b.const(scale), b.const(shift), axis=-1)
        hidden = b.op("Relu", b.linear(norm, WIDTH, 64))
        x = b.op("Add", x, b.linear(hidden, 64, WIDTH))
    return b.model(b.linear(x, WIDTH, 7))


def _convolutions(seed: int) -> onnx.ModelProto:
    b = NetBuilder(seed)
    x = b.op("Relu", b.conv(b.input("image", [1, 3, 32, 32]), 3, 16))
    x = b.op("Relu", b.conv(x, 16, 16, group=16))
    x = b.op("Relu", b.conv(b.op("Relu", b.conv(x, 16, 24, 1)), 24, 24))
    flat = b.op("Flatten", b.op("GlobalAveragePool", x))
    return b.model(b.linear(flat, 24, 10))


def _smoothed(model: onnx.ModelProto, rng: np.random.Generator) -> onnx.ModelProto:
    """SmoothQuant (Xiao et al. 2023): a norm's channels divided, the next weight multiplied."""
    editor = Editor(model)
    for node in editor.graph.node:
        if node.op_type != "LayerNormalization":
            continue
        factor = np.exp(rng.normal(0, 0.7, WIDTH)).astype(np.float32)
        for slot in (1, 2):
            editor.set(node.input[slot], editor.value(node.input[slot]) / factor)
        for reader in editor.readers(node.output[0]):
            weight = editor.value(reader.input[1])
            editor.set(reader.input[1], weight * factor[:, None])
    return editor.model


def _equalized(model: onnx.ModelProto, rng: np.random.Generator) -> onnx.ModelProto:
    """Cross-layer equalization (Nagel et al. 2019): a Relu passes positive factors on."""
    editor = Editor(model)
    convs = [n for n in editor.graph.node if n.op_type == "Conv"]
    for first, then in pairwise(convs):
        weight, after = editor.value(first.input[1]), editor.value(then.input[1])
        factor = np.exp(rng.normal(0, 0.5, len(weight))).astype(np.float32)
        editor.set(first.input[1], weight / factor[:, None, None, None])
        editor.set(first.input[2], editor.value(first.input[2]) / factor)
        axis = 0 if after.shape[1] == 1 else 1
        editor.set(
            then.input[1], after * np.expand_dims(factor, [a for a in range(4) if a != axis])
        )
    return editor.model


MADE = {"transformer": (_transformer, _smoothed), "convolutions": (_convolutions, _equalized)}


def _run(kind: str, *, rolled: bool) -> Run:
    make, rewrite = MADE[kind]
    model = make(0)
    feeds = sample_inputs(model, 12, 0)
    quantize = random_quantizer(np.random.default_rng(0), tuple(feeds[:6]))
    rewritten = Editor(rewrite(model, np.random.default_rng(1)))
    if rolled:
        last = [n for n in rewritten.graph.node if n.op_type == "MatMul"][-1]
        rewritten.set(last.input[1], np.roll(rewritten.value(last.input[1]), 1, axis=1))
    return net_run(model, quantize(rewritten.model), *feeds[6:])


@pytest.mark.parametrize("kind", list(MADE))
def test_weights_that_others_make_up_for_are_a_remark(kind: str) -> None:
    run = _run(kind, rolled=False)
    assert run.verdict.status != "fail"
    assert not causes(run, "fail", "warn")
    told = finding(run, "weight-mismatch")
    assert told.status == "info"
    assert "which others make up for" in told.title
    assert len(told.layers) > 1


@pytest.mark.parametrize("kind", list(MADE))
def test_a_wrong_weight_among_them_is_named(kind: str) -> None:
    run = _run(kind, rolled=True)
    assert run.verdict.status == "fail"
    assert causes(run, "fail") == {"weight-mismatch"}
    first = run.findings[0]
    last = max(at for at, layer in enumerate(run.layers) if layer.op == "MatMul")
    assert first.layers == (last,)
