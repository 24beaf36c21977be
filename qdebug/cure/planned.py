"""What a record keeps of a plan: each unit with its settings, so that others can be foretold.

Predictions are sums of the units' shares (`cure.predict`): whoever has the shares foretells any
combination of the settings without a model.
"""

from __future__ import annotations

from collections.abc import Mapping

from qdebug.cure.plan import CORRECTED, GIVEN, ROUNDED
from qdebug.cure.search import Search
from qdebug.cure.setting import Setting
from qdebug.run.tuning import PlannedUnit, UnitChoice, UnitSetting

_KINDS: Mapping[str, str] = {GIVEN: "given", ROUNDED: "weights", CORRECTED: "bias"}


def planned_units(search: Search) -> tuple[PlannedUnit, ...]:
    """Every unit of a search, with the settings that it may have under its plan."""
    return tuple(_planned(search, at) for at in range(len(search.units)))


def _planned(search: Search, at: int) -> PlannedUnit:
    unit, plan, prediction = search.units[at], search.plan, search.prediction
    given, ranges = prediction.fitted[at], plan.base[at]
    choice: UnitChoice = "given" if ranges == given else "ranges"
    network = search.proof.network

    def told(setting: Setting) -> UnitSetting:
        loss = prediction.cost(at, setting)
        return UnitSetting(setting.scale, setting.zero, setting.levels, setting.bits, loss)

    return PlannedUnit(
        unit.label,
        tuple(network.codes_of(network.sites[site]) for site in unit.sites),
        unit.macs,
        told(given),
        told(ranges),
        told(search.wide[at]),
        "wide" if at in plan.units else choice,
    )


def floors_of(search: Search) -> dict[str, float]:
    """What is left with all activations at the higher precision, by kind of the numbers."""
    return {_KINDS[name]: loss for name, loss in search.floors.items() if name in _KINDS}
