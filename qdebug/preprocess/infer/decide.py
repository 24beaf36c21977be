"""One pipeline from all evidence, part by part, or the likeliest ones where it does not separate.

A part is *decided* by what the models say or by the calibrated range. What is usual for such a
head, and agrees with the float model's answers on the pictures, is *doubtful*, and said to be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from qdebug.errors import UsageError
from qdebug.preprocess.graph_front.front import Quantizer
from qdebug.preprocess.infer.candidates import (
    NORMALIZATIONS,
    Habit,
    Normalization,
    Order,
    is_equal,
    placed,
)
from qdebug.preprocess.model_input import ModelInput
from qdebug.preprocess.spec import PreprocessSpec

Quality = Callable[[PreprocessSpec], Sequence[float]]
"""How much the float model answers on each picture under a pipeline, and answers again where the
picture is changed in what should not matter to it: 0 where it finds nothing but noise."""

NORMALIZATION = "the normalization"
"""What a doubt of the normalization begins with."""
_WHOLE, _NEARLY = 0.88, 0.7
"""Share of either end of a normalization's range from which on a calibrated range is the whole one:
pictures hardly ever lack both ends (as in the check of the calibrated range); and the share from
which on it may be one that was cut, although another one is whole. By judgement: ImageNet's cut to
0.82 is CLIP's."""
_LEAST_COVER = 0.45
"""A range that was cut (percentile, entropy) holds at least this share of either end. By
judgement; below it two conventions may explain a range."""
_BEYOND = 0.03
"""Share of its width that a range may lie outside: half a code of rounding at either end, and the
zero point's. By judgement."""
_CLEARLY = 2 / 3
"""Share of both answers that the better pipeline must have, over the pictures: twice the other's.
By judgement: what is only surer is found by both, with scores that grow with the contrast."""
_HOPELESS = 4.0
"""A pipeline under which the first picture gives less than this part of the best one's answer is
not asked about the others. By judgement, twice ``_CLEARLY``."""
_GROWING = 1.1
"""Answers to twice the values, over those to the values themselves, from which on a network is
surer of all that is larger. By judgement: YOLOv5n, MobileNetV2 and both OCR networks have 0.88 to
1.01 where they are fed right."""


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

    def spec(self, normalization: Normalization, order: Order) -> PreprocessSpec:
        """A whole pipeline."""
        place = placed(self.habit.geometry, self.size)
        parts = (place, order, normalization.written(order), self.ending)
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
    # With red and blue exchanged, or placed otherwise, a picture is another one, and a network may
    # find more in that: what it answers then proves nothing.
    if order != "gray" and told.order is None:
        case.doubts.append(f"RGB or BGR: not decided by these pictures, {order.upper()} is fed")
    told_place = placed(habit.geometry, item.size)
    case.doubts.append(f"how pictures are placed: not decided by these pictures, {told_place}")
    spec = case.spec(normalization, order)
    return Inference(spec, tuple(case.evidence), tuple(case.doubts))


def _normalization(case: _Case, quantizer: Quantizer | None, order: Order) -> Normalization:
    usual = [n for name in case.habit.normalizations for n in NORMALIZATIONS if n.name == name]
    candidates = list(NORMALIZATIONS) if quantizer is None else _fitting(quantizer)
    if quantizer is not None and not candidates:
        why = f"{_held(quantizer)}, which no normalization that people use gives"
        raise _unknown(case, [*usual, *NORMALIZATIONS], order, why)
    kinds = _groups(sorted(candidates, key=lambda n: usual.index(n) if n in usual else len(usual)))
    if quantizer is not None and len(kinds) == 1:
        return _calibrated(case, quantizer, kinds[0], usual, order)
    return _answered(case, kinds, usual, order)


def _held(quantizer: Quantizer) -> str:
    return f"the input's quantizer holds {quantizer.low:.4g}..{quantizer.high:.4g}"


def _calibrated(
    case: _Case,
    quantizer: Quantizer,
    chosen: Normalization,
    usual: Sequence[Normalization],
    order: Order,
) -> Normalization:
    """The normalization of the calibrated range, unless the float model clearly wants another one.

    Raises:
        UsageError: it does. The quant model may have been calibrated on the wrong input, and a
            verdict on either of both would be a guess.
    """
    if chosen not in usual and case.habit.finds:
        own = _answers(case, chosen, order)
        for other in usual:
            answers = _answers(case, other, order)
            if any(answers) and _beats(answers, own):
                why = (
                    f"{_held(quantizer)}, that is {chosen.name}, but the float model answers "
                    f"surer with {other.name}: either calibration or the pipeline is wrong"
                )
                raise _unknown(case, [other, chosen], order, why)
    if _cover(quantizer, chosen.span(quantizer)) >= _WHOLE or min(chosen.span(quantizer)) >= 0:
        case.evidence.append(f"{_held(quantizer)}: {chosen.name}")
    else:
        case.doubts.append(
            f"{NORMALIZATION}: {_held(quantizer)}, which may be cut from {chosen.name}"
        )
    return chosen


def _answered(
    case: _Case, kinds: Sequence[Normalization], usual: Sequence[Normalization], order: Order
) -> Normalization:
    """The usual normalization, where the float model answers with it as well as with any other.

    It stays doubtful: what a network finds under a pipeline makes that likely, and proves nothing.
    """
    scores = _promising({n: _answers(case, n, order) for n in kinds})
    best = max(scores, key=lambda n: sum(scores[n]))
    alike = [n for n in scores if any(scores[n]) and not _beats(scores[best], scores[n])]
    chosen = next((n for n in usual if n in alike), None)
    if chosen is None or _grows(case, chosen, order):
        raise _unknown(case, [*(n for n in usual if n in kinds), *alike, *kinds], order)
    others = ", ".join(n.name for n in alike if n != chosen)
    told = f"as well as with {others}" if others else "and with no other as well"
    case.doubts.append(
        f"{NORMALIZATION}: {chosen.name} is usual for a {case.habit.head}, and the float model "
        f"answers with it {told}"
    )
    return chosen


def _promising(
    answers: Mapping[Normalization, Sequence[float]],
) -> dict[Normalization, Sequence[float]]:
    """Those worth asking about more than the first picture; all, where it says nothing."""
    most = max(found[0] for found in answers.values())
    return {n: found for n, found in answers.items() if found[0] * _HOPELESS >= most}


def _grows(case: _Case, normalization: Normalization, order: Order) -> bool:
    """Whether it is clearly surer of twice the values.

    Logits of a network without biases grow with its input, so that *any* network is surest with
    the largest values: then its answers tell nothing of a scale.
    """
    own, more = (_answers(case, n, order) for n in (normalization, normalization.doubled()))
    return sum(more) > _GROWING * sum(own)


def _answers(case: _Case, normalization: Normalization, order: Order) -> Sequence[float]:
    return case.quality(case.spec(normalization, order))


def _fitting(quantizer: Quantizer) -> list[Normalization]:
    """The normalizations whose range the quantizer's is: whole, else what is left of a cut one."""
    covers = {n: _cover(quantizer, n.span(quantizer)) for n in NORMALIZATIONS}
    least = _NEARLY if max(covers.values()) >= _WHOLE else _LEAST_COVER
    return [n for n, cover in covers.items() if cover >= least]


def _cover(quantizer: Quantizer, span: tuple[float, float]) -> float:
    """The smaller share of a span's two ends that the quantizer holds; 0 where it holds more.

    A range that begins at 0 is no cut one of values on both sides of it: these lose both ends.
    """
    if quantizer.symmetric:
        reach = max(abs(span[0]), abs(span[1]))
        held = max(abs(quantizer.low), abs(quantizer.high))
        # A scale that has to be a power of two is the next one above.
        most = 2.0 if _is_power_of_two(held / _HALF_CODES) else 1.0
        return min(held / reach, 1.0) if held <= most * (1 + _BEYOND) * reach else 0.0
    # A quantizer holds zero whatever the range is.
    low, high = min(span[0], 0.0), max(span[1], 0.0)
    beyond = _BEYOND * (high - low)
    if quantizer.low < low - beyond or quantizer.high > high + beyond:
        return 0.0
    return min(held / end for held, end in ((quantizer.low, low), (quantizer.high, high)) if end)


_HALF_CODES = 128
"""Steps of a symmetric quantizer of 8 bits below zero; at 16 bits a power of two is one still."""


def _is_power_of_two(value: float) -> bool:
    return value > 0 and math.frexp(value)[0] == 0.5


def _groups(candidates: Sequence[Normalization]) -> list[Normalization]:
    """One of each kind: those that differ by a code are one."""
    found: list[Normalization] = []
    for one in candidates:
        if not any(is_equal(one.affine, other.affine) for other in found):
            found.append(one)
    return found


def _beats(best: Sequence[float], other: Sequence[float]) -> bool:
    """Whether one pipeline is clearly better on every picture that says anything."""
    shares = [a / (a + b) for a, b in zip(best, other, strict=True) if a + b > 0]
    if not shares:
        return False
    return min(shares) > 0.5 and sum(shares) / len(shares) >= _CLEARLY


def _unknown(
    case: _Case, candidates: Sequence[Normalization], order: Order, why: str = ""
) -> UsageError:
    """No verdict, and the likeliest lines."""
    shown = list(dict.fromkeys(candidates))[:3]
    lines = [f'-p "{case.spec(n, order)}"' for n in shown]
    told = why or "the pipeline is not known, and neither the models nor these pictures tell it"
    return UsageError(
        f"no verdict: {told}",
        "give the pipeline with -p; the likeliest are: " + "   or   ".join(lines),
    )
