"""A constant in place of a computed operand, and a Transpose whose layout all behind it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

from qdebug.checks import operator_mismatch
from qdebug.run.model import Finding, Run
from tests.support.checked import finding, net_run
from tests.support.editor import Editor
from tests.support.nets import Array, NetBuilder, sample_inputs
from tests.support.planting.families.subjects import random_quantizer

SLUG = "operator-mismatch"
SEED = 5
SIZE = [1, 4, 16, 16]
PERM, TURNED = [0, 1, 3, 4, 2], [0, 1, 4, 3, 2]


def bad(run: Run) -> list[Finding]:
    return [f for f in run.findings if f.status in ("fail", "warn") and f.slug == SLUG]


def _joined(op: str, behind: bool) -> onnx.ModelProto:
    """Two branches that an operator joins, at the end or before a Conv."""
    b = NetBuilder(SEED)
    x = b.op("Relu", b.conv(b.input("image", [1, 3, 16, 16]), 3, 4))
    branches = b.op("Tanh", b.conv(x, 4, 4)), b.op("Sigmoid", b.conv(x, 4, 4))
    joined = b.op(op, *branches, **({"axis": 1} if op == "Concat" else {}))
    return b.model(b.conv(joined, 8 if op == "Concat" else 4, 4, 1) if behind else joined)


def _frozen(model: onnx.ModelProto, op: str, scale: float = 1.0) -> onnx.ModelProto:
    """The second operand of an operator is a constant."""
    editor = Editor(model)
    node = next(n for n in editor.graph.node if n.op_type == op)
    value = np.linspace(-scale, scale, 1024, dtype=np.float32).reshape(SIZE)
    editor.graph.initializer.append(onnx.numpy_helper.from_array(value, "frozen"))
    node.input[1] = "frozen"
    return editor.model


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("op", ["Concat", "Add", "Mul", "Sub"])
@pytest.mark.parametrize("early", [False, True])
def test_a_constant_in_place_of_a_computed_operand_is_named(
    op: str, behind: bool, early: bool
) -> None:
    model = _joined(op, behind)
    feeds = sample_inputs(model, 3, SEED)
    quantize = random_quantizer(np.random.default_rng(0), tuple(feeds))
    twin = quantize(_frozen(model, op)) if early else _frozen(quantize(model), op)
    run = net_run(model, twin, *feeds)
    first = next(f for f in run.findings if f.status == "fail")
    assert first.slug == SLUG
    assert first.title.startswith(f"/{op}_0 ({op}) computes something else: operands ")
    assert "a constant instead of" in first.title
    assert first.gain_db is not None
    assert first.gain_db > 3
    assert "spread" not in "".join(f.title for f in run.findings)


@pytest.mark.parametrize("op", ["Concat", "Add", "Mul", "Sub"])
def test_computed_operands_are_the_same(op: str) -> None:
    model = _joined(op, True)
    feeds = sample_inputs(model, 3, SEED)
    twin = random_quantizer(np.random.default_rng(0), tuple(feeds))(model)
    assert finding(net_run(model, twin, *feeds), SLUG).status == "pass"


@pytest.mark.parametrize("by_shape", [True, False])
def test_a_value_that_never_changes_may_be_a_constant(by_shape: bool) -> None:
    """What follows from a shape, or is a product with nothing, was folded by right."""
    b = NetBuilder(SEED)
    x = b.op("Tanh", b.conv(b.input("image", [1, 3, 16, 16]), 3, 4))
    same = b.op("ConstantOfShape", b.op("Shape", x)) if by_shape else b.op("Mul", x, b.const(0.0))
    model = b.model(b.conv(b.op("Concat", x, same, axis=1), 8, 4, 1))
    feeds = sample_inputs(model, 3, SEED)
    twin = random_quantizer(np.random.default_rng(0), tuple(feeds))(model)
    assert not bad(net_run(model, _frozen(twin, "Concat", 0.0), *feeds))


def _head(perm: list[int], *, ends: bool = True, back: bool = False) -> onnx.ModelProto:
    """As a YOLO head: anchors apart, numbers last, a grid added, positions in one row.

    Args:
        perm: of its Transpose.
        ends: whether the grid's positions are put in one row, or are the output.
        back: turn the grid too, and the result back: the same by another layout.
    """
    b = NetBuilder(SEED)
    x = b.conv(b.input("image", [1, 3, 8, 8]), 3, 10)
    x = b.op("Reshape", x, b.ints(1, 2, 5, 8, 8))
    x = b.op("Sigmoid", b.op("Transpose", x, perm=perm))
    grid = 12 * np.arange(64, dtype=np.float32).reshape(1, 1, 8, 8, 1) / 64
    grid = grid.swapaxes(2, 3) if back else grid
    x = b.op("Add", x, b.const(grid))
    x = b.op("Mul", x, b.const(2.0))
    if back:
        x = b.op("Transpose", x, perm=[0, 1, 3, 2, 4])
    return b.model(b.op("Reshape", x, b.ints(1, 128, 5)) if ends else x)


def _head_run(**planted: Any) -> Run:
    model = _head(PERM, ends=planted.get("ends", True))
    feeds = sample_inputs(model, 3, SEED)
    quantize = random_quantizer(np.random.default_rng(0), tuple(feeds))
    return net_run(model, quantize(_head(**planted)), *feeds)


def test_a_transpose_is_undone_in_the_layout_that_it_should_make() -> None:
    (found,) = bad(_head_run(perm=TURNED))
    assert found.status == "fail"
    assert found.title.startswith("/Transpose_0 (Transpose) computes something else: perm ")
    assert found.gain_db is not None
    assert found.gain_db > 3


def test_a_transpose_whose_layout_an_output_has_is_undone_in_that_layout() -> None:
    (found,) = bad(_head_run(perm=TURNED, ends=False))
    assert found.status == "fail"
    assert found.title.startswith("/Transpose_0 (Transpose) computes something else: perm ")


def test_a_transpose_that_cannot_be_undone_has_no_gain_and_is_no_remark(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(operator_mismatch, "_straight", lambda *_: None)
    (found,) = bad(_head_run(perm=TURNED))
    assert (found.status, found.gain_db) == ("warn", None)


@pytest.mark.parametrize("planted", [{"perm": PERM}, {"perm": TURNED, "back": True}])
def test_another_layout_is_no_fault(planted: dict[str, Any]) -> None:
    assert not bad(_head_run(**planted))


def _added_grid(change: Callable[[Array], Array]) -> Run:
    """A grid that is added, of other codes in the twin."""
    b = NetBuilder(SEED)
    x = b.op("Tanh", b.conv(b.input("image", [1, 3, 16, 16]), 3, 4))
    grid = np.linspace(-1, 1, 1024).reshape(SIZE)
    model = b.model(b.op("Abs", b.op("Add", x, b.const(grid))))
    feeds = sample_inputs(model, 3, SEED)
    twin = Editor(random_quantizer(np.random.default_rng(0), tuple(feeds))(model))
    (add,) = (n for n in twin.graph.node if n.op_type == "Add")
    maker = twin.dequantizer(add.input[1])
    assert maker is not None
    twin.set(maker.input[0], change(twin.value(maker.input[0])))
    return net_run(model, twin.model, *feeds)


@pytest.mark.parametrize("moved", [True, False])
def test_a_layer_that_nothing_explains_is_told_and_no_error_is_called_spread(moved: bool) -> None:
    """A constant in another shape may be laid out anew: that accuses nobody, and is no rounding."""
    run = _added_grid(lambda codes: codes[0, :, ::-1] if moved else codes[0])
    titles = [f.title for f in run.findings if f.slug == "error-source"]
    assert not any("spread" in title for title in titles)
    told = "The error enters at /Add_0: its operator or a constant of it differs"
    assert (told in titles) == moved
    assert not bad(run)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda codes: codes[:, :, ::-1], "others in -0.996..0.996 (1024 values) instead of -1..1"),
        (lambda codes: codes // 2 + 64, "-0.502..0.494 (1024 values) instead of -1..1"),
        (lambda codes: codes, None),
    ],
)
def test_a_constant_of_many_values_that_is_another_one_is_named(
    change: Callable[[Array], Array], told: str | None
) -> None:
    titles = [f.title for f in bad(_added_grid(change))]
    start = "/Add_0 (Add) computes something else: constants "
    assert len(titles) == (told is not None)
    assert told is None or titles[0].startswith(f"{start}{told}")
