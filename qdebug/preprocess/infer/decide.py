"""One pipeline from all evidence, part by part, or the likeliest ones where it does not separate.

A part is *decided* by what the models say, by the calibrated range, or by the float model's answers
on the pictures; what is only usual for such a head is *doubtful*, and said to be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from qdebug.errors import UsageError
from qdebug.preprocess.graph_front.front import Quantizer
from qdebug.preprocess.infer.candidates import (
    GEOMETRIES,
    NORMALIZATIONS,
    Habit,
    Normalization,
    Order,
    is_equal,
    placed,
)
from qdebug.preprocess.model_input import ModelInput
from qdebug.preprocess.spec import PreprocessSpec

_T = TypeVar("_T")
Quality = Callable[[PreprocessSpec], Sequence[float]]
"""How sure the float model answers on each picture under a pipeline: 0 where it finds nothing."""

_GAP = 0.12
"""Relative distance of a calibrated range from a normalization's whole range up to which it is that
one: pictures hardly ever lack both ends. As in the check of the calibrated range."""
_LEAST_COVER = 0.45
"""A range that was cut (percentile, entropy) holds at least this share of either end. By
judgement; below it two conventions may explain a range."""
_ONE, _SEVERAL, _ENOUGH = 0.67, 0.58, 3
"""Share of both qualities that the better pipeline must have: twice the other's on one picture,
1.4 times on three or more, each of them. By judgement: photos answer the exchange of red and blue
with 1.0 to 1.2 times in either direction."""


@dataclass(frozen=True)
class Inference:
    """A pipeline and how sure each part of it is.

    Attributes:
        spec: the pipeline.
        evidence: what it rests on, one sentence each.
        doubts: parts that nothing decided, one phrase each.
    """

    spec: PreprocessSpec
    evidence: tuple[str, ...]
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Told:
    """Parts of the pipeline that the float graph's input and first nodes tell.

    Attributes:
        normalization: what they leave to be done; None where it has to be inferred.
        order: of the channels; None where they do not tell.
        why: one sentence.
    """

    normalization: Normalization | None = None
    order: Order | None = None
    why: str = ""


@dataclass
class _Case:
    """What is known while the parts are decided."""

    item: ModelInput
    size: tuple[int, int]
    habit: Habit
    quality: Quality
    ending: str
    evidence: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    def spec(self, normalization: Normalization, order: Order, geometry: str) -> PreprocessSpec:
        """A whole pipeline."""
        parts = (placed(geometry, self.size), order, normalization.written(order), self.ending)
        return PreprocessSpec.parse(" | ".join(filter(None, parts)))


def infer(
    item: ModelInput,
    quantizer: Quantizer | None,
    habit: Habit,
    quality: Quality,
    ending: str,
    told: Told | None = None,
) -> Inference:
    """Infer the pipeline of a picture input.

    Args:
        item: the input; its size is fixed.
        quantizer: of the input in the quant graph, where it has one.
        habit: how such a head is usually fed.
        quality: runs the float model.
        ending: layout and data type, as a spec has them.
        told: parts that the float graph itself tells.

    Raises:
        UsageError: nothing decides the normalization; its hint has the likeliest lines.
    """
    assert item.size is not None
    case = _Case(item, item.size, habit, quality, ending)
    told = told or Told()
    case.evidence += [told.why] if told.why else []
    order: Order = "gray" if item.channels == 1 else told.order or habit.order
    normalization = told.normalization or _normalization(case, quantizer, order)
    if order != "gray" and told.order is None:
        order = _order(case, normalization, order)
    geometry = _geometry(case, normalization, order)
    spec = case.spec(normalization, order, geometry)
    return Inference(spec, tuple(case.evidence), tuple(case.doubts))


def _normalization(case: _Case, quantizer: Quantizer | None, order: Order) -> Normalization:
    usual = [n for name in case.habit.normalizations for n in NORMALIZATIONS if n.name == name]
    candidates = list(NORMALIZATIONS)
    if quantizer is not None:
        candidates = _fitting(quantizer) or candidates
        held = f"{quantizer.low:.4g}..{quantizer.high:.4g}"
        groups = _groups(candidates)
        if len(groups) == 1:
            chosen = next((n for n in usual if n in candidates), candidates[0])
            case.evidence.append(f"the input's quantizer holds {held}: {chosen.name}")
            return chosen
    best = _by_answer(
        case,
        {n: case.spec(n, order, case.habit.geometry) for n in candidates},
        [n for n in usual if n in candidates],
    )
    if best is None or not _is_scale_right(case, best, order):
        likeliest = _surest(case, {n: case.spec(n, order, case.habit.geometry) for n in candidates})
        if likeliest is None or likeliest not in usual:
            raise _unknown(case, [*[n for n in usual if n in candidates], *candidates], order)
        case.doubts.append(
            f"the normalization: {likeliest.name} is usual for a {case.habit.head}, and the float "
            "model answers surest with it, if not by much"
        )
        return likeliest
    case.evidence.append(f"the float model answers surest with {best.name}")
    return best


def _is_scale_right(case: _Case, normalization: Normalization, order: Order) -> bool:
    """Whether twice the values make the float model less sure on every picture.

    Logits of a network without biases grow with its input, so that *any* network is surest with
    the largest values; only one that was trained on a scale answers worse beyond it.
    """
    doubled = case.quality(case.spec(normalization.doubled(), order, case.habit.geometry))
    own = case.quality(case.spec(normalization, order, case.habit.geometry))
    return all(more < one for one, more in zip(own, doubled, strict=True) if one or more)


def _fitting(quantizer: Quantizer) -> list[Normalization]:
    """The normalizations whose range the quantizer's is: whole, else what is left of a cut one."""
    spans = {n: n.span(quantizer) for n in NORMALIZATIONS}
    whole = [n for n, span in spans.items() if _distance(quantizer, span) <= _GAP]
    if whole:
        return whole
    return [n for n, span in spans.items() if _is_cut(quantizer, span)]


def _distance(quantizer: Quantizer, span: tuple[float, float]) -> float:
    """Largest distance of an end, as a share of the span's width."""
    if quantizer.symmetric:
        reach = max(abs(span[0]), abs(span[1]))
        return abs(max(abs(quantizer.low), abs(quantizer.high)) - reach) / reach
    # A quantizer holds zero whatever the range is.
    ends = min(span[0], 0.0), max(span[1], 0.0)
    width = ends[1] - ends[0]
    return max(abs(quantizer.low - ends[0]), abs(quantizer.high - ends[1])) / width


def _is_cut(quantizer: Quantizer, span: tuple[float, float]) -> bool:
    """Whether the quantizer holds a good part of the span, and nothing beyond it."""
    ends = min(span[0], 0.0), max(span[1], 0.0)
    width = ends[1] - ends[0]
    if quantizer.symmetric:
        reach = max(abs(span[0]), abs(span[1]))
        held = max(abs(quantizer.low), abs(quantizer.high))
        return _LEAST_COVER * reach <= held <= (1 + _GAP) * reach
    inside = quantizer.low >= ends[0] - _GAP * width and quantizer.high <= ends[1] + _GAP * width
    # Values on both sides of a mean are cut on both sides: a range that begins at 0 has none.
    holds = quantizer.low <= _LEAST_COVER * ends[0] and quantizer.high >= _LEAST_COVER * ends[1]
    return inside and holds


def _groups(candidates: Sequence[Normalization]) -> list[Normalization]:
    """One of each kind: those that differ by a code are one."""
    found: list[Normalization] = []
    for one in candidates:
        if not any(is_equal(one.affine, other.affine) for other in found):
            found.append(one)
    return found


def _order(case: _Case, normalization: Normalization, usual: Order) -> Order:
    orders: tuple[Order, ...] = ("rgb", "bgr")
    specs = {o: case.spec(normalization, o, case.habit.geometry) for o in orders}
    best = _by_answer(case, specs, [usual])
    if best is None:
        case.doubts.append(f"RGB or BGR: not decided by these pictures, {usual.upper()} is fed")
        return usual
    case.evidence.append(f"the float model answers surest with {best.upper()}")
    return best


def _geometry(case: _Case, normalization: Normalization, order: Order) -> str:
    usual = case.habit.geometry
    kinds = list(dict.fromkeys((usual, *GEOMETRIES)))
    specs = {kind: case.spec(normalization, order, kind) for kind in kinds}
    best = _by_answer(case, specs, [usual])
    if best is None:
        told = placed(usual, case.size)
        case.doubts.append(f"how pictures are placed: not decided by these pictures, {told}")
        return usual
    if best != usual:
        # Another way to place a picture shows more or less of it: that is no proof.
        told = placed(usual, case.size)
        case.doubts.append(f"how pictures are placed: {told}, or {placed(best, case.size)}")
        return usual
    case.evidence.append(f"the float model answers surest with {placed(best, case.size)}")
    return best


def _by_answer(case: _Case, specs: Mapping[_T, PreprocessSpec], usual: Sequence[_T]) -> _T | None:
    """The candidate under which the float model answers clearly surer than under any other."""
    if len(specs) == 1:
        return next(iter(specs))
    scores = {name: list(case.quality(spec)) for name, spec in specs.items()}
    ranked = sorted(scores, key=lambda name: (-sum(scores[name]), name not in usual))
    best = ranked[0]
    if not any(scores[best]):
        return None
    return best if all(_beats(scores[best], scores[n]) for n in ranked[1:]) else None


def _surest(case: _Case, specs: Mapping[_T, PreprocessSpec]) -> _T | None:
    """The candidate of the highest quality over all pictures; None where there is none at all."""
    sums = {name: sum(case.quality(spec)) for name, spec in specs.items()}
    best = max(sums, key=lambda name: sums[name])
    return best if sums[best] > 0 else None


def _beats(best: Sequence[float], other: Sequence[float]) -> bool:
    """Whether one pipeline is clearly better on every picture that says anything."""
    shares = [a / (a + b) for a, b in zip(best, other, strict=True) if a + b > 0]
    if not shares:
        return False
    least = _SEVERAL if len(shares) >= _ENOUGH else _ONE
    return min(shares) > 0.5 and sum(shares) / len(shares) >= least


def _unknown(case: _Case, candidates: Sequence[Normalization], order: Order) -> UsageError:
    shown = list(dict.fromkeys(candidates))[:3]
    lines = [f'-p "{case.spec(n, order, case.habit.geometry)}"' for n in shown]
    return UsageError(
        "no verdict: the pipeline is not known, and neither the models nor these pictures tell it",
        "give it; the likeliest are: " + "   or   ".join(lines),
    )
