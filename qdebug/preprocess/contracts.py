"""What a quant graph must be fed so that its first layer gets what the float model's gets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from qdebug.preprocess.differences import NUMERIC, Difference, differences
from qdebug.preprocess.graph_front import GraphFront
from qdebug.preprocess.implied import quant_side
from qdebug.preprocess.model_facts import ModelFacts
from qdebug.preprocess.normalization import roughly_equal
from qdebug.preprocess.spec import PreprocessSpec
from qdebug.preprocess.steps import (
    ARITHMETIC,
    Align,
    Cast,
    Color,
    Layout,
    Normalize,
    Offset,
    Scale,
    Step,
)


def comparable(float_front: GraphFront, front: GraphFront) -> bool:
    """Whether it is known what both graphs compute on their input, or that it is the same.

    Readings that end at the same operator end at the network's own first node, as the slices of a
    YOLOX or YOLOv5 Focus are.
    """
    if front.unknown or float_front.unknown:
        return False
    ends = [(f.unread or "").partition(" ")[0] for f in (float_front, front)]
    return ends[0] == ends[1] or float_front.changes == front.changes


def mismatches(
    float_side: tuple[PreprocessSpec, GraphFront], quant_side: tuple[PreprocessSpec, GraphFront]
) -> list[Difference]:
    """Name what differs between the values that reach the first layer of both graphs.

    What the quant graph's contract asks for (another layout, data type, normalization moved
    inside) is no mistake: only the values behind both fronts decide.
    """
    one, two = (front.behind(spec) for spec, front in (float_side, quant_side))
    named = [d for d in differences(one, two) if d.weight != "benign"]
    rounded = float_side[1].rounded or quant_side[1].rounded
    if rounded and one.order == two.order and roughly_equal(one.affine, two.affine):
        named = [d for d in named if d.slug not in NUMERIC]
    return named


def contract_of(
    spec: PreprocessSpec, float_facts: ModelFacts, quant_facts: ModelFacts
) -> PreprocessSpec | None:
    """Find what the quant graph must be fed so that both first layers get the same values.

    Returns:
        None if no usual change of order, range, layout or data type brings them together, or if it
        is not known what the graphs compute.
    """
    if not comparable(float_facts.front, quant_facts.front):
        return None
    adapted = quant_side(spec, float_facts.input, quant_facts.input).spec or spec
    for candidate in _contracts(adapted, float_facts.front):
        if not mismatches((spec, float_facts.front), (candidate, quant_facts.front)):
            return candidate
    return None


def _contracts(adapted: PreprocessSpec, float_front: GraphFront) -> Iterator[PreprocessSpec]:
    """Yield the usual input contracts of a quant graph, the most likely first."""
    arithmetic = [s for s in adapted.steps if isinstance(s, ARITHMETIC)]
    bare = adapted.without(*ARITHMETIC)
    scaled = _inserted(bare, (Scale(255.0, divide=True),))
    offsets = tuple(s for s in arithmetic if isinstance(s, Offset))
    ranges = [adapted, _inserted(bare, offsets), scaled]
    if float_front.normalizes:
        ranges.append(_inserted(adapted, float_front.behind(bare).steps[len(bare.steps) :]))
    for candidate in ranges:
        yield candidate
        color = candidate.find(Color)
        if color and color.order != "gray":
            yield _swapped(candidate, color)


def _inserted(spec: PreprocessSpec, steps: tuple[Step, ...]) -> PreprocessSpec:
    """Put arithmetic behind what there is of it, before the data type and the layout."""
    head = [s for s in spec.steps if not isinstance(s, Layout | Align | Cast)]
    tail = [s for s in spec.steps if isinstance(s, Layout | Align | Cast)]
    added = [s for s in steps if isinstance(s, ARITHMETIC)]
    return PreprocessSpec((*head, *added, *tail))


def _swapped(spec: PreprocessSpec, color: Color) -> PreprocessSpec:
    """Exchange red and blue; mean and std keep their place and go with their channels."""
    other = Color("bgr" if color.order == "rgb" else "rgb")
    exchanged = (other if s is color else _reversed(s) for s in spec.steps)
    return PreprocessSpec(tuple(exchanged))


def _reversed(step: Step) -> Step:
    if isinstance(step, Normalize):
        return replace(step, mean=step.mean[::-1], std=step.std[::-1])
    return step
