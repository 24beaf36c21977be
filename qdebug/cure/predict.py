"""What configurations would cost at the outputs, from one reverse pass and without a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qdebug.cure.histogram import GradientHistogram
from qdebug.cure.network import Network
from qdebug.cure.setting import Scheme, Setting
from qdebug.cure.sites import Unit
from qdebug.cure.thresholds import METHODS, Range, weighted

Settings = tuple[Setting, ...]
"""A setting for each unit."""
Histograms = Mapping[str, GradientHistogram]
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
        folds: the same for parts of the pictures.
        alone: the share with the given setting, measured, where there is no gradient.
    """

    whole: GradientHistogram | None
    folds: tuple[GradientHistogram, ...] = ()
    alone: float = 0.0

    def cost(self, setting: Setting) -> float:
        """The share under a setting."""
        if self.whole is None:
            return 0.0 if setting.bits > 8 else self.alone
        return float(self.whole.cost_of_step(setting.low, setting.high, setting.scale))


def shares_of(
    network: Network, unit: Unit, whole: Histograms, folds: Sequence[Histograms]
) -> Shares:
    """The shares of a unit whose gradients are known at every source.

    Args:
        network: the pair of graphs.
        unit: of it.
        whole: histograms by float tensor.
        folds: the same for parts of the pictures.
    """
    names = [network.sites[at].float_tensor or "" for at in unit.sources]
    if not names or any(name not in whole or whole[name].radius == 0 for name in names):
        return Shares(None)
    parts = [_joined([fold[n] for n in names]) for fold in folds if all(n in fold for n in names)]
    return Shares(_joined([whole[name] for name in names]), tuple(parts))


def _joined(parts: Sequence[GradientHistogram]) -> GradientHistogram:
    """Histograms of different tensors under one scale: their shares add up."""
    joined = GradientHistogram.merged(parts) if len(parts) > 1 else parts[0]
    joined.runs = parts[0].runs
    return joined


class Prediction:
    """The share of every unit in the loss, for any setting.

    Args:
        units: of the network.
        given: their settings in the quant graph.
        shares: of each.
        scheme: what the target can express.
    """

    def __init__(
        self, units: Sequence[Unit], given: Settings, shares: Sequence[Shares], scheme: Scheme
    ) -> None:
        self.units, self.given, self.shares, self.scheme = units, given, shares, scheme

    def cost(self, at: int, setting: Setting) -> float:
        """The share of the unit at a position."""
        return self.shares[at].cost(setting)

    def total(self, settings: Settings) -> float:
        """The loss that all activations make together."""
        return sum(self.cost(at, setting) for at, setting in enumerate(settings))

    def by_method(self, name: str) -> Settings:
        """Ranges of one of ``METHODS`` for all units that were reached; the others as given."""
        return self._each(lambda shares: METHODS[name](shares.whole, 8) if shares.whole else None)

    def widest(self) -> Settings:
        """``G2`` of each fold, and the widest of these."""
        return self._of_folds(lambda ends: (float(ends[:, 0].min()), float(ends[:, 1].max())))

    def median(self) -> Settings:
        """``G2`` of each fold, and their median."""
        return self._of_folds(
            lambda ends: (float(np.median(ends[:, 0])), float(np.median(ends[:, 1])))
        )

    def wide(self, bits: int) -> Settings:
        """Everything seen, with many bits."""
        return tuple(self._wide(at, bits) for at in range(len(self.units)))

    def _wide(self, at: int, bits: int) -> Setting:
        histogram, given = self.shares[at].whole, self.given[at]
        if given.bits > 8 and bits == given.bits:
            return given
        if histogram is None:
            return self.scheme.over(given.low, given.high, bits)
        low, high = min(histogram.low, 0.0) * _ROOM, max(histogram.high, 0.0) * _ROOM
        wildest = _WILD * max(-low, high)
        if -given.low <= wildest and given.high <= wildest:  # what a calibration has seen
            low, high = min(low, given.low), max(high, given.high)
        return self.scheme.over(low, high, bits)

    def _of_folds(self, join: Callable[[np.ndarray], Range]) -> Settings:
        def ends(shares: Shares) -> Range | None:
            found = [weighted(part, 8) for part in shares.folds if part.radius > 0]
            return join(np.array(found)) if found and shares.whole else None

        return self._each(ends)

    def _each(self, ends: Callable[[Shares], Range | None]) -> Settings:
        return tuple(self._setting(at, ends) for at in range(len(self.units)))

    def _setting(self, at: int, ends: Callable[[Shares], Range | None]) -> Setting:
        given = self.given[at]
        found = ends(self.shares[at]) if given.bits == 8 else None
        return given if found is None else self.scheme.over(*found, 8)
