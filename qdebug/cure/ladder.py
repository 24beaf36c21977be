"""More bits for a few units: how many, and which."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from qdebug.cure.plan import NEAR_DB, Budget, Plan, to_db
from qdebug.cure.predict import Prediction
from qdebug.cure.proof import Proof
from qdebug.cure.sites import count_converts, find_links
from qdebug.cure.trials import Trials
from qdebug.run.tuning import CurvePoint, Measured

RUNGS = (1, 2, 3, 5, 8, 12, 20)
_DOUBLING_DB = 1.0
"""What doubling the number of 16-bit units has to win; by judgement."""
_MOST_TRIMMED = 2
"""Shorter plans that are verified. The counts tried leave gaps, so some units may be needless."""
NEEDED = "needed"
"""Order of a plan that others were taken out of."""
_CHEAPER_DB = 0.3
"""What other orders may lose against that by share alone, and fewer conversions; by judgement."""
_PER_MAC = 0.002
"""Added to a unit's share of the multiplications before its loss is divided by it."""
_PARTS = 16
"""How exactly it is told how many units a target takes, in parts of all. By judgement."""


class Ladder(Trials):
    """The step of a search that gives a few units more bits.

    Args:
        prediction: of any configuration.
        proof: the held-out pictures.
        bits: of a unit at the higher precision, 16 or ``FREE``.
        budget: of units.
        target: what the task's number (or else the SQNR) has to reach.
        pinned: units at the higher precision from the start, by the user's wish.
        note: told what is being done.
    """

    def __init__(
        self,
        prediction: Prediction,
        proof: Proof,
        bits: int,
        budget: Budget,
        target: float,
        pinned: Iterable[int] = (),
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(prediction, proof, bits, target, note)
        self.budget, self.pinned = budget, frozenset(pinned)
        self._plans: dict[int, Plan] = {}
        network = proof.network
        self.links = find_links(network.quant_graph, network.sites, self.units)

    def climb(self) -> None:
        """Units to the higher precision, in several orders, up to the knee of the curve."""
        base = self.plan
        floor = to_db(self._floor(base.numbers)) + NEAR_DB
        self._point(base, 0, "share", self.measured)
        for count in self._rungs():
            here = self._rung(base, count)
            if any(to_db(point.measured.loss) < floor for point in here) or self._is_past_knee():
                break
        self._choose_point(base)

    def _rung(self, base: Plan, count: int) -> list[CurvePoint]:
        """Measure so many further units, in each order that is worth it."""
        start = len(self.found.curve)
        for order, ranked in self._worthwhile(base, count).items():
            plan = replace(base, units=base.units | set(ranked[:count]))
            if len(ranked) >= count and self._fits(base, plan) and not self._is_known(plan):
                measured = self._try("ladder", f"{count} more by {order}", plan)
                self._point(plan, count, order, measured)
        return self.found.curve[start:]

    def _is_known(self, plan: Plan) -> bool:
        """Whether a point of the curve has the same units."""
        return any(known.units == plan.units for known in self._plans.values())

    def _is_past_knee(self) -> bool:
        """Whether the target is met and the last rungs only cost more than they won."""
        if self.budget.is_set or not self.reached(self.measured):
            return False
        rungs: dict[int, float] = {}
        for point in self.found.curve:
            rungs[point.added] = min(self._price(point), rungs.get(point.added, math.inf))
        *before, first, last = [math.inf, *rungs.values()]
        return len(before) > 1 and min(before) <= min(first, last)

    def _price(self, point: CurvePoint) -> float:
        """The loss in dB, and what the units cost as so many dB; less is better."""
        weight = 0.0 if self.budget.is_set else _DOUBLING_DB
        return to_db(point.measured.loss) + weight * math.log2(1 + point.added)

    def needed(self) -> int | None:
        """How many units reach the target, to a sixteenth of all; None where no number does."""
        ranked = self._orders(self.plan)["share"]
        base = self.plan
        low, high = len(self.plan.units), len(self.plan.units) + len(ranked)

        def reaches(count: int) -> bool:
            plan = replace(base, units=base.units | set(ranked[: count - len(base.units)]))
            return self.reached(self._try("ladder", f"{count} units in all", plan))

        if not reaches(high):
            return None
        while low + max(1, len(self.units) // _PARTS) < high:
            middle = (low + high) // 2
            low, high = (low, middle) if reaches(middle) else (middle, high)
        return high

    def _orders(self, base: Plan) -> dict[str, list[int]]:
        costs = self._costs(base.base)
        by_mac = {at: cost / (self.units[at].macs + _PER_MAC) for at, cost in costs.items()}
        share = sorted(costs, key=lambda at: (-costs[at], at))
        return {
            "share": share,
            "share per MAC": sorted(by_mac, key=lambda at: (-by_mac[at], at)),
            "block": self._block(share),
        }

    def _block(self, share: list[int]) -> list[int]:
        """One unit after another, neighbours of those before: few values have to be converted."""
        near: dict[int, set[int]] = {}
        for a, b in self.links:
            near.setdefault(a, set()).add(b)
            near.setdefault(b, set()).add(a)
        place = {at: number for number, at in enumerate(share)}
        block, edge = share[:1], set(near.get(share[0], ())) if share else set()
        while edge & place.keys():
            best = min(edge & place.keys(), key=place.__getitem__)
            block.append(best)
            edge = (edge | near[best]) - set(block)
        return block

    def _worthwhile(self, base: Plan, count: int) -> dict[str, list[int]]:
        """The orders to try: by MACs where these are limited, and what is predicted to lose little.

        Where the target is not reached yet, more units are likely to be needed: both are tried.
        """
        orders = self._orders(base)
        predicted = {
            name: self._predicted(replace(base, units=base.units | set(ranked[:count])))
            for name, ranked in orders.items()
        }
        best = to_db(predicted["share"]) + _CHEAPER_DB
        wanted = {"share"}
        if self.budget.macs is not None or not self.reached(self.measured):
            wanted.add("share per MAC")
        return {n: r for n, r in orders.items() if n in wanted or to_db(predicted[n]) <= best}

    def _rungs(self) -> list[int]:
        """Numbers of units that are tried; a budget is one of them."""
        most = self.budget.units
        if most is None:
            return list(RUNGS)
        return [*(count for count in RUNGS if count < most), *([most] if most else [])]

    def _fits(self, base: Plan, plan: Plan) -> bool:
        added = plan.units - base.units
        return self.budget.macs is None or self.macs(added) <= self.budget.macs

    def _point(self, plan: Plan, added: int, order: str, measured: Measured) -> None:
        names = self._names(plan.units)
        predicted, converts = self._predicted(plan), count_converts(self.links, plan.units)
        point = CurvePoint(
            added, names, order, self.macs(plan.units), predicted, measured, converts=converts
        )
        self.found.curve.append(point)
        self._plans[len(self.found.curve) - 1] = plan

    def _choose_point(self, base: Plan) -> None:
        """The knee of the curve, or the best within the budget; further where the target asks."""
        points = list(enumerate(self.found.curve))
        start = points[0][1].measured
        sound = [(i, p) for i, p in points if p.added == 0 or self._judged(start, p.measured)[0]]
        least = min(self._price(p) for _, p in sound)
        tied = [item for item in sound if self._price(item[1]) <= least + _CHEAPER_DB]
        at, point = min(tied, key=lambda x: (x[1].added, x[1].converts, self._price(x[1])))
        if not self.budget.is_set and not self.reached(point.measured):
            further = [x for x in sound if self.meets(x[1].measured) and x[1].added > point.added]
            at, point = min(further, key=lambda x: (x[1].macs, x[1].added), default=(at, point))
        if point.added > 1 and not self.budget.is_set:
            at, point = self._trimmed(base, at, point)
        self.found.curve[at] = replace(point, chosen=True)
        if point.added:
            added = self._plans[at].units - base.units
            title = f"{len(added)} more unit{'s' if len(added) > 1 else ''} to {self._bits_text}"
            self._propose("bits", title, self._plans[at], units=added)

    def _trimmed(self, base: Plan, at: int, point: CurvePoint) -> tuple[int, CurvePoint]:
        """The point without the units that it does not need, if the pictures agree."""
        plan = self._plans[at]
        added = sorted(plan.units - base.units, key=lambda unit: (-self._alone(base, unit), unit))
        for count in self._shorter(base, point, added):
            shorter = replace(base, units=base.units | set(added[:count]))
            if self._is_known(shorter):
                continue  # it was not chosen
            measured = self._try("ladder", f"{count} more, the needed ones", shorter)
            self._point(shorter, count, NEEDED, measured)
            found = self.found.curve[-1]
            is_cheaper = self._price(found) <= self._price(point)
            if is_cheaper and self.meets(measured) >= self.meets(point.measured):
                return len(self.found.curve) - 1, found
        return at, point

    def _shorter(self, base: Plan, point: CurvePoint, added: Sequence[int]) -> list[int]:
        """How many of a plan's units are predicted to do, the cheapest first."""
        prices: dict[int, float] = {}
        for count in range(1, len(added)):
            lost = sum(self._alone(base, unit) for unit in added[count:])
            loss = point.measured.loss + lost
            prices[count] = to_db(loss) + _DOUBLING_DB * math.log2(1 + count)
        cheaper = [count for count, price in prices.items() if price < self._price(point)]
        return sorted(cheaper, key=prices.__getitem__)[:_MOST_TRIMMED]

    def _alone(self, base: Plan, unit: int) -> float:
        """A unit's share of the loss with the ranges of 8 bits."""
        return self.prediction.cost(unit, base.base[unit])
