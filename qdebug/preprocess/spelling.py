"""The equivalent spellings of a pipeline's arithmetic.

Most wrong means and scales come from copying a number of one convention into another: mean 0.485
on 0..1 is 123.675 on 0..255, std 0.229 is 58.395, and both are scale 0.0171248 in tools that
multiply.
"""

from __future__ import annotations

from collections.abc import Sequence

from qdebug.preprocess.numbers import rounded
from qdebug.preprocess.steps import (
    ARITHMETIC,
    GEOMETRIC,
    Cast,
    Color,
    Normalize,
    Reinterpret,
    Scale,
    Step,
)


def spellings(
    steps: Sequence[Step], mean: Sequence[float], std: Sequence[float]
) -> list[tuple[Step, ...]]:
    """Write a chain with its arithmetic in each convention.

    The numbers are rounded to seven significant digits, below float32's resolution.

    Args:
        steps: the chain.
        mean: of its arithmetic as a whole, on 0..255, one a channel of the tensor.
        std: the same.

    Returns:
        Chains that compute the same; none where there is no arithmetic, or where it cannot be
        written in one place because a step in between depends on the values.
    """
    if not any(isinstance(step, ARITHMETIC) for step in steps) or not _fixed_domain(steps):
        return []
    return [_with_arithmetic(steps, form) for form in _conventions(mean, std)]


def _conventions(mean: Sequence[float], std: Sequence[float]) -> list[tuple[Step, ...]]:
    """Spell an affine map on 0..255 and on 0..1, dividing and multiplying."""
    unit_mean, unit_std = [m / 255 for m in mean], [s / 255 for s in std]
    divided = Scale(255.0, divide=True)
    if all(abs(s - 1) < 1e-9 for s in unit_std) and not any(unit_mean):
        return [(divided,), (Scale(1 / 255),), (_normalize(mean, std),), (_multiply(mean, std),)]
    return [
        (_normalize(mean, std),),
        (divided, _normalize(unit_mean, unit_std)),
        (_multiply(mean, std),),
        (divided, _multiply(unit_mean, unit_std)),
    ]


def _normalize(mean: Sequence[float], std: Sequence[float]) -> Normalize:
    return Normalize(_compact(mean), _compact(std))


def _multiply(mean: Sequence[float], std: Sequence[float]) -> Normalize:
    return Normalize(_compact(mean), _compact([1 / s for s in std]), multiply=True)


def _compact(values: Sequence[float]) -> tuple[float, ...]:
    """Round, and write one value where all channels share it."""
    numbers = tuple(rounded(value, 7) + 0.0 for value in values)
    return numbers[:1] if len(set(numbers)) == 1 else numbers


def _fixed_domain(steps: Sequence[Step]) -> bool:
    """Whether nothing between the first and the last arithmetic step depends on the values."""
    positions = [i for i, s in enumerate(steps) if isinstance(s, ARITHMETIC)]
    between = steps[positions[0] : positions[-1]]
    return not any(isinstance(s, (*GEOMETRIC, Cast, Reinterpret)) for s in between)


def _with_arithmetic(steps: Sequence[Step], arithmetic: Sequence[Step]) -> tuple[Step, ...]:
    """Replace the arithmetic of a chain.

    The gain and offset are in the tensor's channel order, so the new steps go behind the last
    step that changes it.
    """
    last = max(i for i, s in enumerate(steps) if isinstance(s, (*ARITHMETIC, Color)))
    before = [s for s in steps[: last + 1] if not isinstance(s, ARITHMETIC)]
    return (*before, *arithmetic, *steps[last + 1 :])
