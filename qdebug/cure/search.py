"""The order of cures, from the cheapest at run time: broken tensors, weights, ranges, a ladder.

What is broken gets more bits first: predictions are linear, and a saturated network ranks methods
wrongly. Every acceptance is decided on held-out pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from qdebug.cure.grids import Rounded, numbers_of
from qdebug.cure.network import Numbers
from qdebug.cure.plan import CORRECTED, GIVEN, REFINED, ROUNDED, Budget, Plan, to_db
from qdebug.cure.predict import Prediction, Settings
from qdebug.cure.proof import Proof
from qdebug.cure.sites import count_converts, find_links
from qdebug.cure.thresholds import METHODS
from qdebug.cure.trials import Trials
from qdebug.run.tuning import Cure, CureKind, CurvePoint, Measured, MethodResult

RUNGS = (1, 2, 3, 5, 8, 12, 20)
WIDEST, MEDIAN = "G2 widest of folds", "G2 median of folds"
REACHING = ", reach kept"
"""Of ranges that keep the given range's reach, where no picture shows how far values go."""
_REACHING = ("G2", "MSE2", "MAX")
_VERIFIED = (*_REACHING, GIVEN)
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
"""What other orders may lose against that by share alone, and fewer conversions; by judgement."""
_PER_MAC = 0.002
"""Added to a unit's share of the multiplications before its loss is divided by it."""
_PARTS = 16
"""How exactly it is told how many units a target takes, in parts of all. By judgement."""
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
        self._rounded: Mapping[str, Rounded] = {}
        self._plans: dict[int, Plan] = {}
        network = proof.network
        self.links = find_links(network.quant_graph, network.sites, self.units)

    # -- the steps -----------------------------------------------------------------------------

    def begin(self) -> None:
        """Measure both ends: the given model, and what 16 bits everywhere would reach."""
        self.given = self.measured = self._try("given", "as given", self.plan)
        self.proof.know(REFINED, self.proof.network.refined_numbers)
        self.ceiling = self._try(
            "ceiling", "16-bit activations, weights without rounding", self._all_wide(REFINED)
        )
        self.proof.forget(REFINED)

    @property
    def is_expressible(self) -> bool:
        """Whether the target can express the given ranges."""
        return self.prediction.fitted == self.prediction.given

    def fit(self) -> None:
        """Bring ranges that the target cannot express to what it can."""
        if not self.is_expressible:
            plan = replace(self.plan, base=self.prediction.fitted)
            self._propose("ranges", "ranges as the target can express them", plan, forced=True)

    def nothing_to_win(self) -> bool:
        """Whether the given model is as good as it can get."""
        near = to_db(self.given.loss) - to_db(self.ceiling.loss) <= _NEAR_DB
        level = -to_db(self.given.loss) if self._is_of_boxes else self.given.sqnr_db
        return self.reached(self.given) and (near or level >= _SOUND_DB)

    def is_no_resolution(self) -> bool:
        """Whether the model stays bad with 16 bits everywhere: it computes something else."""
        if self._is_of_boxes or self.ceiling.sqnr_db < _SOUND_DB:
            task = self.ceiling.task
            return self.ceiling.sqnr_db < _POOR_DB if task is None else task < self.target
        return False  # what is left changes single answers, and no finding is behind it

    @property
    def _is_of_boxes(self) -> bool:
        """Whether the SQNR is that of pixels: it says nothing of scores then."""
        return self.proof.loss.candidates is not None

    def settle(self) -> None:
        """Hold the plan against the same one with the given biases, and against the given model."""
        if self.plan.numbers == CORRECTED:
            plan = replace(self.plan, numbers=self._weights)
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
        self._rounded = {}
        self.plan = Plan(GIVEN, self.prediction.fitted, frozenset(), GIVEN)
        self.measured = self._try("given", "as given", self.plan)

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

    def round_anew(self, rounded: Mapping[str, Rounded]) -> None:
        """Weights on another grid, judged with 16-bit activations, whose error would hide it.

        Args:
            rounded: by ``Weight.tensor``; empty where no grid is better than the given one.
        """
        if not rounded:
            return
        self.proof.know(ROUNDED, numbers_of(rounded))
        self._rounded = rounded
        title = f"weights rounded anew in {len(rounded)} layers"
        if not self._renumber("weights", "weights rounded anew", title, ROUNDED):
            self._rounded = {}
            self.proof.forget(ROUNDED)

    def correct_biases(self, make: Callable[[Numbers], Numbers]) -> None:
        """Corrected biases, judged with 16-bit activations: that is what they are made for.

        Args:
            make: the corrected biases, from pictures of the search, with given weights.
        """
        weights = self.proof.numbers(self._weights)
        biases = make(weights)
        if not biases:
            return
        self.proof.know(CORRECTED, {**weights, **biases})
        title = f"biases corrected in {len(biases)} layers"
        self._renumber("bias", "biases corrected", title, CORRECTED)

    @property
    def _weights(self) -> str:
        """Name of the set whose weights were chosen, with biases as given."""
        return ROUNDED if self._rounded else GIVEN

    def _renumber(self, kind: CureKind, what: str, title: str, numbers: str) -> bool:
        """Take other weights or biases where they are better with 16-bit activations."""
        wide = self._all_wide(self.plan.numbers), self._all_wide(numbers)
        before = self._try(kind, f"16-bit activations, {self.plan.numbers}", wide[0])
        after = self._try(kind, f"16-bit activations, {what}", wide[1])
        accepted, reason = self._judged(before, after)
        if accepted:
            self.plan = replace(self.plan, numbers=numbers)
            self.measured = self._try(kind, what, self.plan)
        self.found.cures.append(
            Cure(
                kind,
                title,
                (),
                None,
                to_db(before.loss) - to_db(after.loss),
                before.task,
                after.task,
                0.0,
                accepted,
                f"{reason} (measured with 16-bit activations)",
                float_equivalent=kind != "bias",
            )
        )
        return accepted

    def choose_ranges(self, verify_all: bool) -> None:
        """The best ranges, predicted from one pass and verified.

        Args:
            verify_all: verify every method, for the table.
        """
        table = self._ways()
        safe = self._safe_ways(table)
        predicted = {n: self._predicted(self._with(n, c)) for n, c in table.items()}
        best = sorted(safe, key=lambda name: predicted[name])[:_BEST_PREDICTED]
        measured: dict[str, Measured] = {}
        for name, settings in table.items():
            if verify_all or (name in safe and (name.startswith(_VERIFIED) or name in best)):
                plan = self._with(name, settings)
                measured[name] = self._try("ranges", name, plan, predicted[name])
        order = sorted((n for n in measured if n in safe), key=lambda n: measured[n].loss)
        widest = next(name for name in order if name.startswith(WIDEST))
        if to_db(measured[widest].loss) <= to_db(measured[order[0]].loss) + _TIED_DB:
            order.insert(0, widest)
        start = measured[GIVEN]
        winner = next((n for n in order if self._judged(start, measured[n])[0]), GIVEN)
        self.found.methods = [
            MethodResult(name, predicted[name], measured.get(name), name == winner)
            for name in table
        ]
        if winner != GIVEN:
            self._propose("ranges", f"ranges by {winner}", self._with(winner, table[winner]))

    def _ways(self) -> dict[str, Settings]:
        """Settings by the name of the way in which their ranges are chosen."""
        given = self.prediction
        table = {name: given.by_method(name) for name in METHODS}
        table[WIDEST], table[MEDIAN] = given.widest(), given.median()
        if given.beyond():
            for name in _REACHING:
                table[name + REACHING] = given.by_method(name, reach=True)
            table[WIDEST + REACHING] = given.widest(reach=True)
            table[MEDIAN + REACHING] = given.median(reach=True)
        table[GIVEN] = given.fitted
        return table

    def _safe_ways(self, table: Mapping[str, Settings]) -> set[str]:
        """Those that cut nothing off that the pictures do not show and the given model holds."""
        kept = {name for name in table if name.endswith(REACHING)} | {GIVEN}
        return kept if len(kept) > 1 else set(table)

    def climb(self) -> None:
        """Units to the higher precision, in several orders, up to the knee of the curve."""
        base = self.plan
        floor = to_db(self._floor(base.numbers)) + _NEAR_DB
        self._point(base, 0, "share", self.measured)
        for count in [c for c in RUNGS if c <= self._most_units()]:
            here = self._rung(base, count)
            if any(to_db(point.measured.loss) < floor for point in here) or self._is_past_knee():
                break
        self._choose_point(base)

    def _rung(self, base: Plan, count: int) -> list[CurvePoint]:
        """Measure so many further units, in each order that is worth it."""
        start = len(self.found.curve)
        for order, ranked in self._worthwhile(base, count).items():
            plan = replace(base, units=base.units | set(ranked[:count]))
            names = set(self._names(plan.units))
            known = any(set(point.units) == names for point in self.found.curve)
            if not known and len(ranked) >= count and self._fits(base, plan):
                measured = self._try("ladder", f"{count} more by {order}", plan)
                self._point(plan, count, order, measured)
        return self.found.curve[start:]

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

    @property
    def rounded(self) -> Mapping[str, Rounded]:
        """Weights that the plan has on another grid, by ``Weight.tensor``."""
        return {} if self.plan.numbers == GIVEN else self._rounded

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

    def _most_units(self) -> int:
        return max(RUNGS) if self.budget.units is None else self.budget.units

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
            further = [x for x in sound if self.reached(x[1].measured) and x[1].added > point.added]
            at, point = min(further, key=lambda x: (x[1].macs, x[1].added), default=(at, point))
        self.found.curve[at] = replace(point, chosen=True)
        if point.added:
            added = len(self._plans[at].units - base.units)
            title = f"{added} more units to {self._bits_text}"
            self._propose("bits", title, self._plans[at], units=self._plans[at].units - base.units)
