"""A plan of a tuning that is being changed: what it would cost, foretold from the record alone."""

from __future__ import annotations

import math

from qdebug.run.tuning import ASKED, Cure, Tuning, UnitChoice, UnitSetting


class Draft:
    """The plan of a record, with cures and units switched on and off.

    Predictions are the record's own: the shares of the units add up, and what the weights and
    biases leave comes on top.

    Args:
        tuning: of the record; one of an earlier version has no units, and nothing can be switched.
    """

    def __init__(self, tuning: Tuning) -> None:
        self.tuning = tuning
        self._at: dict[str, list[int]] = {}
        for at, unit in enumerate(tuning.units):
            self._at.setdefault(unit.label, []).append(at)
        self.reset()

    def reset(self) -> None:
        """The plan as the record has it."""
        units = self.tuning.units
        self.wide = {at for at, unit in enumerate(units) if unit.chosen == "wide"}
        self.has_ranges = any(unit.ranges != unit.given for unit in units)
        self.numbers = self.recorded_numbers

    @property
    def is_changed(self) -> bool:
        """Whether it differs from the record."""
        units = enumerate(self.tuning.units)
        same = all(self.setting(at) == unit.setting(unit.chosen) for at, unit in units)
        return not same or self.numbers != self.recorded_numbers

    @property
    def loss(self) -> float:
        """The predicted loss; not a number where the record does not know."""
        shares = (self.setting(at).loss for at in range(len(self.tuning.units)))
        return sum(shares) + (self.tuning.floors or {}).get(self.numbers, math.nan)

    @property
    def macs(self) -> float:
        """Share of the multiplications at the higher precision, 0..1."""
        return min(sum(self.tuning.units[at].macs for at in self.wide), 1.0)

    def choice(self, at: int) -> UnitChoice:
        """How a unit is set."""
        if at in self.wide:
            return "wide"
        unit = self.tuning.units[at]
        return "ranges" if self.has_ranges and unit.ranges != unit.given else "given"

    def setting(self, at: int) -> UnitSetting:
        """The setting of a unit."""
        return self.tuning.units[at].setting(self.choice(at))

    def ranked(self) -> list[int]:
        """The units: those at the higher precision, then by their share, the largest first."""
        return sorted(
            range(len(self.tuning.units)),
            key=lambda at: (at not in self.wide, -self.setting(at).loss, at),
        )

    def is_on(self, cure: Cure) -> bool:
        """Whether a cure is part of the plan."""
        if cure.kind == "bits":
            units = self._units_of(cure)
            return bool(units) and self.wide.issuperset(units)
        if cure.kind == "ranges":
            return cure.accepted and (self.has_ranges or bool(self.why_fixed(cure)))
        if cure.kind == "balance":
            return cure.accepted
        used = {"given": (), "weights": ("weights",), "bias": ("weights", "bias")}[self.numbers]
        return cure.accepted and cure.kind in used

    def why_fixed(self, cure: Cure) -> str:
        """Why a cure cannot be switched, one phrase; empty where it can."""
        if not self.tuning.units:
            return "the record is of an earlier version, or nothing was searched"
        if cure.kind == "bits":
            return "" if self._units_of(cure) else "its units are not in the record"
        if not cure.accepted:
            return "it was refused, and is not kept"
        if cure.kind == "balance":
            return "the others were searched on the model with balanced channels"
        if cure.kind == "ranges":
            has_others = any(unit.ranges != unit.given for unit in self.tuning.units)
            return "" if has_others and cure.reason != ASKED else "the target needs it"
        floors = self.tuning.floors or {}
        return "" if {"given", cure.kind} <= floors.keys() else "what it leaves was not measured"

    def switch(self, cure: Cure) -> None:
        """Switch a cure that is not fixed on or off."""
        is_on = self.is_on(cure)
        if cure.kind == "bits":
            units = set(self._units_of(cure))
            self.wide = self.wide - units if is_on else self.wide | units
        elif cure.kind == "ranges":
            self.has_ranges = not is_on
        elif is_on:
            self.numbers = self._without(cure.kind)
        else:
            self.numbers = cure.kind

    def switch_unit(self, at: int) -> None:
        """Switch a unit between 8 bits and the higher precision."""
        self.wide ^= {at}

    def _units_of(self, cure: Cure) -> list[int]:
        return [at for label in cure.units for at in self._at.get(label, ())]

    def _has(self, kind: str) -> bool:
        return any(cure.kind == kind and cure.accepted for cure in self.tuning.cures)

    @property
    def recorded_numbers(self) -> str:
        """Weights and biases of the repaired model: ``given``, ``weights`` or ``bias``."""
        return "bias" if self._has("bias") else "weights" if self._has("weights") else "given"

    def _without(self, kind: str) -> str:
        """Biases were corrected for the weights that were chosen: they go with them."""
        return "weights" if kind == "bias" and self._has("weights") else "given"
