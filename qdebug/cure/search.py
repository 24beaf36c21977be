"""The order of cures, from the cheapest at run time: broken tensors, biases, ranges, a ladder.

What is broken gets more bits first: predictions are linear, and a saturated network ranks methods
wrongly. Every acceptance is decided on held-out pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

from qdebug.cure.network import Numbers
from qdebug.cure.plan import CORRECTED, GIVEN, REFINED, Budget, Plan, to_db
from qdebug.cure.predict import Prediction, Settings
from qdebug.cure.proof import Proof
from qdebug.cure.thresholds import METHODS
from qdebug.cure.trials import Trials
from qdebug.run.tuning import Cure, CurvePoint, Measured, MethodResult

RUNGS = (1, 2, 3, 5, 8, 12, 20)
WIDEST, MEDIAN = "G2 widest of folds", "G2 median of folds"
_VERIFIED = ("G2", WIDEST, MEDIAN, "MSE2", "MAX", GIVEN)
"""Ranges that are always verified: predictions rank them, other pictures decide."""
_TIED_DB = 0.5
"""Of ranges that are so near to the best, the widest of folds is taken: pictures that nobody has
seen are clipped less. By judgement."""
_BEST_PREDICTED = 2
"""Further methods verified: those predicted best."""
_LEFT, _WHOLE = 0.3, 0.1
"""A broken unit makes more than the first share of what is left, and more than the second of the
whole loss, with the best range that 8 bits allow it: where many units share the loss, one after
another falls under the first alone."""
_MOST_BROKEN = 8
_BROKEN_GAIN_DB = 1.0
"""What more bits for broken units have to win, all together, on held-out pictures; by judgement."""
_DOUBLING_DB = 1.5
"""What doubling the number of 16-bit units has to win; by judgement."""
_CHEAPER_DB = 0.3
"""What the order by share per MAC may lose against that by share alone; by judgement."""
_PER_MAC = 0.002
"""Added to a unit's share of the multiplications before its loss is divided by it."""
_NEAR_DB = 1.0
"""So near the floor further units are not tried."""


_SOUND_DB = 30.0
"""Where the task holds and the loss is below a thousandth, quantization does no harm; sound int8
models of the samples have 31 to 41 dB. By judgement."""
_POOR_DB = 20.0
"""A model that stays below this with 16 bits everywhere computes something else: rounding at 16
bits costs well under -60 dB. By judgement."""


class Search(Trials):
    """Finds a plan.

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

    # -- the steps -----------------------------------------------------------------------------

    def begin(self) -> None:
        """Measure both ends: the given model, and what 16 bits everywhere would reach."""
        self.given = self.measured = self._try("given", "as given", self.plan)
        self.proof.know(REFINED, self.proof.network.refined_numbers)
        self.ceiling = self._try(
            "ceiling", "16-bit activations, weights without rounding", self._all_wide(REFINED)
        )
        self.proof.forget(REFINED)

    def nothing_to_win(self) -> bool:
        """Whether the given model is as good as it can get."""
        near = to_db(self.given.loss) - to_db(self.ceiling.loss) <= _NEAR_DB
        # The SQNR of boxes is that of their pixels, which says nothing of scores.
        of_boxes = self.proof.loss.candidates is not None
        level = -to_db(self.given.loss) if of_boxes else self.given.sqnr_db
        return self.reached(self.given) and (near or level >= _SOUND_DB)

    def is_no_resolution(self) -> bool:
        """Whether the model stays bad with 16 bits everywhere: it computes something else."""
        if self.ceiling.task is not None:
            return self.ceiling.task < self.target
        return self.ceiling.sqnr_db < _POOR_DB

    def settle(self) -> None:
        """Hold the plan against the same one with the given biases, and against the given model."""
        if self.plan.numbers == CORRECTED:
            plan = replace(self.plan, numbers=GIVEN)
            measured = self._try("bias", "the same plan, biases as given", plan)
            if self._judged(self.measured, measured)[0]:
                self._propose("bias", "biases as given after all", plan)
        if not self._judged(self.given, self.measured)[0] and not self.pinned:
            self._return()

    def _return(self) -> None:
        """Take everything back: together the cures are not better than the given model."""
        why = "together with the others it is not better than the model as given"
        self.found.cures = [
            replace(cure, accepted=False, reason=why) if cure.accepted else cure
            for cure in self.found.cures
        ]
        self.plan = Plan(GIVEN, self.prediction.given, frozenset(), GIVEN)
        self.measured = self.given

    def pin(self) -> None:
        """Give the units that the user named more bits."""
        if self.pinned:
            after = replace(self.plan, units=self.plan.units | self.pinned)
            self._propose("bits", "kept at the higher precision, as asked for", after, forced=True)

    def free_broken(self) -> None:
        """More bits for units that no 8-bit range can save."""
        best = self.prediction.by_method("G2")
        chosen = self._broken(best)
        if not chosen:
            return
        before = self.measured
        tried: list[tuple[float, Plan, Measured]] = []
        for count in range(1, len(chosen) + 1):
            plan = replace(self.plan, units=self.plan.units | set(chosen[:count]))
            measured = self._try("bits", f"{count} broken units at {self._bits_text}", plan)
            tried.append((to_db(measured.loss), plan, measured))
        lowest = min(db for db, _, _ in tried)
        _, plan, measured = next(item for item in tried if item[0] <= lowest + _NEAR_DB)
        enough = to_db(before.loss) - to_db(measured.loss) >= _BROKEN_GAIN_DB
        reason = "" if enough else f"it wins less than {_BROKEN_GAIN_DB:g} dB"
        self._propose("bits", f"broken units to {self._bits_text}", plan, refused=reason)

    def correct_biases(self, make: Callable[[], Numbers]) -> None:
        """Corrected biases, judged with 16-bit activations: that is what they are made for.

        Args:
            make: the corrected biases, from pictures of the search.
        """
        numbers = make()
        if not numbers:
            return
        self.proof.know(CORRECTED, numbers)
        before = self._try("bias", "16-bit activations, biases as given", self._all_wide(GIVEN))
        after = self._try("bias", "16-bit activations, biases corrected", self._all_wide(CORRECTED))
        accepted, reason = self._judged(before, after)
        if accepted:
            self.plan = replace(self.plan, numbers=CORRECTED)
            self.measured = self._try("bias", "biases corrected", self.plan)
        self.found.cures.append(
            Cure(
                "bias",
                f"biases corrected in {len(numbers)} layers",
                (),
                None,
                to_db(before.loss) - to_db(after.loss),
                before.task,
                after.task,
                0.0,
                accepted,
                f"{reason} (measured with 16-bit activations)",
                float_equivalent=False,
            )
        )

    def choose_ranges(self, verify_all: bool) -> None:
        """The best ranges, predicted from one pass and verified.

        Args:
            verify_all: verify every method, for the table.
        """
        candidates = {name: self.prediction.by_method(name) for name in METHODS}
        candidates[WIDEST] = self.prediction.widest()
        candidates[MEDIAN] = self.prediction.median()
        candidates[GIVEN] = self.prediction.given
        predicted = {n: self._predicted(self._with(n, c)) for n, c in candidates.items()}
        best = sorted(predicted, key=lambda name: predicted[name])[:_BEST_PREDICTED]
        measured: dict[str, Measured] = {}
        for name, settings in candidates.items():
            if verify_all or name in _VERIFIED or name in best:
                plan = self._with(name, settings)
                measured[name] = self._try("ranges", name, plan, predicted[name])
        order = sorted(measured, key=lambda name: measured[name].loss)
        if to_db(measured[WIDEST].loss) <= to_db(measured[order[0]].loss) + _TIED_DB:
            order.insert(0, WIDEST)
        start = measured[GIVEN]
        winner = next((n for n in order if self._judged(start, measured[n])[0]), GIVEN)
        self.found.methods = [
            MethodResult(name, predicted[name], measured.get(name), name == winner)
            for name in candidates
        ]
        if winner != GIVEN:
            title = f"ranges by {winner}"
            self._propose("ranges", title, self._with(winner, candidates[winner]))

    def climb(self) -> None:
        """Units to the higher precision, by their share of the loss and by share per MAC."""
        base = self.plan
        floor = self._floor(base.numbers)
        self._point(base, 0, "share", self.measured)
        for count in [c for c in RUNGS if c <= self._most_units()]:
            here: list[Measured] = []
            for order, ranked in self._worthwhile(base, count).items():
                plan = replace(base, units=base.units | set(ranked[:count]))
                known = [
                    p for p in self.found.curve if set(p.units) == set(self._names(plan.units))
                ]
                if known or len(ranked) < count or not self._fits(base, plan):
                    continue
                name = f"{count} more by {order}"
                here.append(self._try("ladder", name, plan))
                self._point(plan, count, order, here[-1])
            if any(to_db(m.loss) < to_db(floor) + _NEAR_DB for m in here):
                break
        self._choose_point(base)

    def needed(self) -> int | None:
        """How many units the target takes; None where no number of them reaches it."""
        ranked = self._orders(self.plan)["share"]
        base = self.plan
        low, high = len(self.plan.units), len(self.plan.units) + len(ranked)

        def reaches(count: int) -> bool:
            plan = replace(base, units=base.units | set(ranked[: count - len(base.units)]))
            return self.reached(self._try("ladder", f"{count} units in all", plan))

        if not reaches(high):
            return None
        while low + 1 < high:
            middle = (low + high) // 2
            low, high = (low, middle) if reaches(middle) else (middle, high)
        return high

    @property
    def is_as_given(self) -> bool:
        """Whether the plan is the model as given."""
        same = self.settings(self.plan) == self.prediction.given
        return same and self.plan.numbers == GIVEN

    # -- inside --------------------------------------------------------------------------------

    def _broken(self, best: Settings) -> list[int]:
        """Units that stay broken with the best range of 8 bits, the worst first."""
        costs = self._costs(best)
        whole = left = sum(costs.values())
        chosen: list[int] = []
        for at in sorted(costs, key=lambda at: (-costs[at], at)):
            if len(chosen) == _MOST_BROKEN or costs[at] <= max(_LEFT * left, _WHOLE * whole):
                break
            chosen.append(at)
            left -= costs[at]
        return chosen

    def _costs(self, settings: Settings) -> dict[int, float]:
        """Share of each unit that still may be given more bits."""
        free = (at for at in range(len(self.units)) if at not in self.plan.units)
        costs = {at: self.prediction.cost(at, settings[at]) for at in free}
        return {at: cost for at, cost in costs.items() if math.isfinite(cost)}

    def _orders(self, base: Plan) -> dict[str, list[int]]:
        costs = self._costs(base.base)
        by_mac = {at: cost / (self.units[at].macs + _PER_MAC) for at, cost in costs.items()}
        return {
            "share": sorted(costs, key=lambda at: (-costs[at], at)),
            "share per MAC": sorted(by_mac, key=lambda at: (-by_mac[at], at)),
        }

    def _worthwhile(self, base: Plan, count: int) -> dict[str, list[int]]:
        """The orders to try: that by MACs where these are limited, or where it loses little.

        Where the target is not reached yet, more units are likely to be needed: both are tried.
        """
        orders = self._orders(base)
        predicted = {
            name: self._predicted(replace(base, units=base.units | set(ranked[:count])))
            for name, ranked in orders.items()
        }
        best = to_db(predicted["share"]) + _CHEAPER_DB
        wanted = self.budget.macs is not None or not self.reached(self.measured)
        by_mac = wanted or to_db(predicted["share per MAC"]) <= best
        return orders if by_mac else {"share": orders["share"]}

    def _most_units(self) -> int:
        return max(RUNGS) if self.budget.units is None else self.budget.units

    def _fits(self, base: Plan, plan: Plan) -> bool:
        added = plan.units - base.units
        return self.budget.macs is None or self.macs(added) <= self.budget.macs

    def _point(self, plan: Plan, added: int, order: str, measured: Measured) -> None:
        names = self._names(plan.units)
        point = CurvePoint(
            added, names, order, self.macs(plan.units), self._predicted(plan), measured
        )
        self.found.curve.append(point)
        self._plans[len(self.found.curve) - 1] = plan

    def _choose_point(self, base: Plan) -> None:
        """The knee of the curve, or the best within the budget; further where the target asks."""
        points = list(enumerate(self.found.curve))
        start = points[0][1].measured
        sound = [(i, p) for i, p in points if p.added == 0 or self._judged(start, p.measured)[0]]
        weight = 0.0 if self.budget.is_set else _DOUBLING_DB

        def price(item: tuple[int, CurvePoint]) -> float:
            return to_db(item[1].measured.loss) + weight * math.log2(1 + item[1].added)

        at, point = min(sound, key=price)
        if not self.budget.is_set and not self.reached(point.measured):
            further = [x for x in sound if self.reached(x[1].measured) and x[1].added > point.added]
            at, point = min(further, key=lambda x: (x[1].macs, x[1].added), default=(at, point))
        self.found.curve[at] = replace(point, chosen=True)
        if point.added:
            added = len(self._plans[at].units - base.units)
            title = f"{added} more units to {self._bits_text}"
            self._propose("bits", title, self._plans[at], units=self._plans[at].units - base.units)
