"""What configurations would cost at the outputs, from one reverse pass and without a run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from qdebug.cure.contributions import Contributions
from qdebug.cure.histogram import GradientHistogram
from qdebug.cure.network import Network
from qdebug.cure.setting import Scheme, Setting
from qdebug.cure.sites import Unit
from qdebug.cure.thresholds import METHODS, Range, full

Settings = tuple[Setting, ...]
"""A setting for each unit."""
_ROOM = 1.1
"""16-bit ranges are this much wider than what was seen, so that other pictures fit: it costs 0.8 of
their 48 dB. By judgement."""
_WILD = 8.0
"""A given range so many times what was seen would cost half of the 16 bits' advantage, and is none
that a calibration on pictures found. By judgement."""


@dataclass(frozen=True)
class Shares:
    """A unit's share of the loss, for any setting.

    Attributes:
        whole: where its values are rounded, over all pictures; None where there is no gradient.
        ranges: the best 8-bit range of each part of the pictures.
        alone: the share with the given setting, measured, where there is no gradient.
    """

    whole: GradientHistogram | None
    ranges: tuple[Range, ...] = ()
    alone: float = 0.0

    def cost(self, setting: Setting) -> float:
        """The share under a setting."""
        if self.whole is None:
            return 0.0 if setting.bits > 8 else self.alone
        return float(self.whole.cost_of_step(setting.low, setting.high, setting.scale))


def sources_of(network: Network, units: Sequence[Unit]) -> dict[str, list[int]]:
    """By float tensor, the positions of the units whose values are rounded there."""
    found: dict[str, list[int]] = {}
    for at, unit in enumerate(units):
        for site in unit.sources:
            tensor = network.sites[site].float_tensor
            if tensor is not None:
                found.setdefault(tensor, []).append(at)
    return found


def answering(network: Network, units: Sequence[Unit], tensors: Collection[str]) -> set[int]:
    """Positions of the units that hold one of some float tensors."""
    return {
        at
        for at, unit in enumerate(units)
        if any(network.sites[site].float_tensor in tensors for site in unit.sites)
    }


def shares_of(network: Network, units: Sequence[Unit], found: Contributions) -> list[Shares]:
    """The shares of units; those count as known whose gradients are known at every source.

    Args:
        network: the pair of graphs.
        units: of it.
        found: contributions by position of the unit.
    """
    made = []
    for at, unit in enumerate(units):
        names = [network.sites[site].float_tensor for site in unit.sources]
        whole = found.whole.get(at)
        is_known = bool(names) and all(n and n not in found.unreached for n in names)
        if not is_known or whole is None or whole.radius == 0:
            made.append(Shares(None))
        else:
            made.append(Shares(whole, found.ranges.get(at, ())))
    return made


class Prediction:
    """The share of every unit in the loss, for any setting.

    Args:
        units: of the network.
        given: their settings in the quant graph.
        shares: of each.
        scheme: what the target can express.
        answers: units whose values are what the network says. Their range is never cut, and keeps
            the given range's reach: the largest score is the answer, and pictures of another kind
            have other scores.
    """

    def __init__(
        self,
        units: Sequence[Unit],
        given: Settings,
        shares: Sequence[Shares],
        scheme: Scheme,
        answers: Collection[int] = (),
    ) -> None:
        self.units, self.given, self.shares, self.scheme = units, given, shares, scheme
        self.answers = frozenset(answers)
        self.fitted: Settings = tuple(
            s if scheme.fits(s) or s.bits > 8 else scheme.over(s.low, s.high, 8) for s in given
        )
        """The given settings, brought to what the target can express."""

    def cost(self, at: int, setting: Setting) -> float:
        """The share of the unit at a position."""
        return self.shares[at].cost(setting)

    def total(self, settings: Settings) -> float:
        """The loss that all activations make together."""
        return sum(self.cost(at, setting) for at, setting in enumerate(settings))

    def by_method(self, name: str, *, reach: bool = False) -> Settings:
        """Ranges of one of ``METHODS`` for all units that were reached; the others as given.

        Args:
            name: of the method.
            reach: keep the given range's reach, where that goes beyond what the pictures show.
        """
        return self._each(lambda s: METHODS[name](s.whole, 8) if s.whole else None, reach)

    def widest(self, *, reach: bool = False) -> Settings:
        """``G2`` of each fold, and the widest of these."""
        return self._of_folds(
            lambda ends: (float(ends[:, 0].min()), float(ends[:, 1].max())), reach
        )

    def median(self, *, reach: bool = False) -> Settings:
        """``G2`` of each fold, and their median."""
        return self._of_folds(
            lambda ends: (float(np.median(ends[:, 0])), float(np.median(ends[:, 1]))), reach
        )

    def wide(self, bits: int) -> Settings:
        """Everything seen, with many bits."""
        return tuple(self._wide(at, bits) for at in range(len(self.units)))

    def beyond(self) -> list[int]:
        """Units whose given range reaches further than any picture."""
        return [at for at in range(len(self.units)) if self._stretch(at) != (1.0, 1.0)]

    def _wide(self, at: int, bits: int) -> Setting:
        histogram, given = self.shares[at].whole, self.given[at]
        if given.bits > 8 and bits == given.bits:
            return given
        if histogram is None:
            return self.scheme.over(given.low, given.high, bits)
        seen, reach = (min(histogram.low, 0.0), max(histogram.high, 0.0)), self._reach(at)
        low, high = min(seen[0] * _ROOM, reach[0]), max(seen[1] * _ROOM, reach[1])
        return self.scheme.over(low, high, bits)

    def _reach(self, at: int) -> Range:
        """The given range where a calibration on pictures may have found it; else nothing."""
        histogram, given = self.shares[at].whole, self.given[at]
        if histogram is None:
            return given.low, given.high
        wildest = _WILD * _ROOM * max(-min(histogram.low, 0.0), histogram.high, 0.0)
        is_seen = -given.low <= wildest and given.high <= wildest
        return (given.low, given.high) if is_seen else (0.0, 0.0)

    def _stretch(self, at: int) -> tuple[float, float]:
        """How many times as far as any picture the given range reaches, below and above zero.

        What pictures show is which share of their values may be cut. Nothing is known of values
        that none of them shows, and the given range says that there are some: it is cut by the
        same share. A side of zero without any value has none; and of symmetric codes one side says
        nothing by itself.
        """
        whole, given = self.shares[at].whole, self.given[at]
        if whole is None or given.bits > 8:
            return 1.0, 1.0
        seen = max(-whole.low, 0.0), max(whole.high, 0.0)
        low, high = self._reach(at)
        if given.zero == (given.levels + 1) // 2:
            ratio = _ratio(max(-low, high), max(seen), given.scale)
            return ratio, ratio
        return _ratio(-low, seen[0], given.scale), _ratio(high, seen[1], given.scale)

    def _of_folds(self, join: Callable[[np.ndarray], Range], reach: bool) -> Settings:
        def ends(shares: Shares) -> Range | None:
            return join(np.array(shares.ranges)) if shares.ranges else None

        return self._each(ends, reach)

    def _each(self, ends: Callable[[Shares], Range | None], reach: bool) -> Settings:
        return tuple(self._setting(at, ends, reach) for at in range(len(self.units)))

    def _setting(self, at: int, ends: Callable[[Shares], Range | None], reach: bool) -> Setting:
        given, whole = self.fitted[at], self.shares[at].whole
        found = ends(self.shares[at]) if given.bits == 8 else None
        if found is None or whole is None:
            return given
        low, high = full(whole) if at in self.answers else found
        below, above = self._stretch(at) if reach or at in self.answers else (1.0, 1.0)
        return self.scheme.over(low * below, high * above, 8)


def _ratio(given: float, seen: float, step: float) -> float:
    """How many times one end lies as far out as another; 1 where it is not a step further."""
    return given / seen if 0 < seen < given - step else 1.0
