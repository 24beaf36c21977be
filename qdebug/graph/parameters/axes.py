"""Parameters of operators that choose axes, positions or bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from qdebug.graph.parameters.site import Meaning, Parameters, Site

_INFINITE = float("inf")
_MOST = 2**31 - 1


def clip(site: Site, _op: str) -> Meaning:
    """Bounds; of ``Relu`` and ``Relu6`` as well."""
    if site.node.op in ("Relu", "Relu6"):
        high = 6.0 if site.node.op == "Relu6" else _INFINITE
        return Meaning("Clip", {"min": 0.0, "max": high})
    low, high = site.given("min", 1, -_INFINITE), site.given("max", 2, _INFINITE)
    return Meaning("Clip", {"min": _bound(low), "max": _bound(high)})


def _bound(value: Any) -> float | None:
    if value is None:
        return None
    number = float(np.ravel(value)[0])
    # the default of older operator sets: the largest float32
    return float(np.copysign(_INFINITE, number)) if abs(number) > 3.4e38 else number


def gemm(site: Site, _op: str) -> Meaning:
    """``alpha`` and ``beta`` of the whole product; what only stores a weight turned is told too."""
    found = {
        "alpha": float(site.attribute("alpha", 1.0)),
        "beta": float(site.attribute("beta", 1.0)) if len(site.node.inputs) > 2 else None,
        "transA": int(site.attribute("transA", 0)),
        "transB": int(site.attribute("transB", 0)),
    }
    weight = site.node.inputs[1] if len(site.node.inputs) > 1 else ""
    shape = site.shape(weight)
    square = shape is not None and len(shape) == 2 and shape[0] == shape[1]
    if weight in site.constants and not square:
        found["transB"] = None  # the shape leaves one way to multiply
    return Meaning("MatMul", found)


def softmax(site: Site, op: str) -> Meaning:
    """Before opset 13 everything from ``axis`` on is one distribution."""
    # ONNX Runtime's QLinearSoftmax keeps the opset it was made from
    rank, new = site.rank, int(site.attribute("opset", site.graph.opset)) >= 13
    axis = site.attribute("axis", -1 if new else 1)
    if new or rank is None:
        return Meaning(op, {"axes": None if rank is None else [site.axis(axis)]})
    shape = site.shape(site.node.inputs[0]) or ()
    first = axis + rank if axis < 0 else axis
    wide = [i for i in range(first, rank) if shape[i] != 1]
    axes = wide or [rank - 1]
    return Meaning(op, {"axes": sorted(a for i in axes if (a := site.axis(i)) is not None)})


def reduce(site: Site, op: str) -> Meaning:
    """Axes that are reduced."""
    rank = site.rank
    axes = site.given("axes", 1, [])
    keep = int(site.attribute("keepdims", 1))
    if axes is None or rank is None:
        return Meaning(op, {"axes": None, "keepdims": keep})
    if not axes and not site.attribute("noop_with_empty_axes", 0):
        axes = list(range(rank))
    found = [site.axis(int(axis)) for axis in np.ravel(axes)]
    known = None if None in found else sorted(a for a in found if a is not None)
    return Meaning(op, {"axes": known, "keepdims": keep})


def axis(default: int) -> Callable[[Site, str], Meaning]:
    """An operator that is told by one axis."""

    def read(site: Site, op: str) -> Meaning:
        return Meaning(op, {"axis": site.axis(int(site.attribute("axis", default)))})

    return read


def one_hot_axis(site: Site, op: str) -> Meaning:
    """``ArgMax`` and ``ArgMin``."""
    found = {"axis": site.axis(int(site.attribute("axis", 0)))}
    return Meaning(op, {**found, "keepdims": int(site.attribute("keepdims", 1))})


def split(site: Site, op: str) -> Meaning:
    """Axis and sizes; equal ones where none are given."""
    sizes = site.given("split", 1, [])
    axis = int(site.attribute("axis", 0))
    if sizes == []:
        shapes = [site.shape(name) for name in site.node.outputs if name]
        known = [s[axis] for s in shapes if s is not None and isinstance(s[axis], int)]
        sizes = known if len(known) == len(shapes) else None
    return Meaning(op, {"axis": site.axis(axis), "split": sizes})


def slicing(site: Site, op: str) -> Meaning:
    """What is taken of every axis whose length is known."""
    starts, ends = site.given("starts", 1), site.given("ends", 2)
    if starts is None or ends is None:
        return Meaning(op, {})
    axes = site.given("axes", 3, list(range(len(starts))))
    steps = site.given("steps", 4, [1] * len(starts))
    shape = site.shape(site.node.inputs[0])
    if axes is None or steps is None or shape is None:
        return Meaning(op, {})
    taken = {a: (0, _MOST, 1) for a in range(len(shape))}
    for axis, *bounds in zip(axes, starts, ends, steps, strict=True):
        taken[int(axis) % len(shape)] = tuple(map(int, bounds))  # type: ignore[assignment]
    found = {
        f"axis {site.axis(axis)} start, end, step": _chosen(shape[axis], *bounds)
        for axis, bounds in taken.items()
    }
    return Meaning(op, found)


def _chosen(size: Any, start: int, end: int, step: int) -> list[int] | None:
    """First and last index taken along an axis of known size, and the step."""
    if not isinstance(size, int):
        return None
    taken = range(size)[slice(start, None if abs(end) >= _MOST else end, step)]
    return [taken.start, taken.stop, taken.step]


def transpose(site: Site, op: str) -> Meaning:
    """The permutation, where both graphs have one layout."""
    rank = site.rank
    perm = site.attribute("perm", None if rank is None else list(range(rank))[::-1])
    return Meaning(op, {"perm": perm if site.perm is None else None})


def reshape(site: Site, _op: str) -> Meaning:
    """The shape that results, by whatever operator."""
    shape = site.shape(site.node.outputs[0])
    known = shape is not None and all(isinstance(dim, int) for dim in shape)
    return Meaning("Reshape", {"shape": list(shape or ()) if known and not site.perm else None})


def gather(site: Site, op: str) -> Meaning:
    """Axis and indices, counted from the front."""
    axis = site.axis(int(site.attribute("axis", 0)))
    indices = site.given("indices", 1)
    shape = site.shape(site.node.inputs[0])
    size = shape[int(site.attribute("axis", 0))] if shape else None
    if indices is not None and isinstance(size, int):
        indices = [int(i) + size if i < 0 else int(i) for i in indices]
    return Meaning(op, {"axis": axis, "indices": indices})


def pad(site: Site, op: str) -> Meaning:
    """Amounts, mode and value."""
    value = site.given("value", 2, [0.0])
    pads = site.given("pads", 1)
    axes = site.given("axes", 3)
    moved = site.perm is not None or axes is not None
    return Meaning(
        op,
        {
            "mode": str(site.attribute("mode", "constant")),
            "pads": None if moved else pads,
            "value": None if value is None else float(np.ravel(value)[0]),
        },
    )


def top_k(site: Site, op: str) -> Meaning:
    """How many, along which axis, from which end."""
    axis = site.axis(int(site.attribute("axis", -1)))
    found = {"axis": axis, "k": site.given("k", 1)}
    return Meaning(op, {**found, "largest": int(site.attribute("largest", 1))})


def recurrent(site: Site, op: str) -> Meaning:
    """``LSTM``, ``GRU`` and ``RNN``."""
    found: Parameters = {
        "direction": str(site.attribute("direction", "forward")),
        "hidden_size": site.attribute("hidden_size"),
        "activations": site.attribute("activations"),
        "clip": site.attribute("clip"),
        "input_forget": int(site.attribute("input_forget", 0)),
    }
    if op == "GRU":
        found["linear_before_reset"] = int(site.attribute("linear_before_reset", 0))
    return Meaning(op, found)


def having(**defaults: Any) -> Callable[[Site, str], Meaning]:
    """An operator whose attributes are numbers or words with these defaults."""

    def read(site: Site, op: str) -> Meaning:
        return Meaning(op, {name: site.attribute(name, value) for name, value in defaults.items()})

    return read


def plain_attributes(site: Site) -> Parameters:
    """Attributes of an operator not known here, where both nodes write them out."""
    found = site.node.attributes.items()
    return {name: value for name, value in found if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return all(isinstance(item, (int, float, str)) for item in value)
    return isinstance(value, (int, float, str))
