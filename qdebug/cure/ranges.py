"""Choosing ranges: predicted from one pass, verified, proven."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from qdebug.cure.crossing import Crossing, joined
from qdebug.cure.pictures import FEWEST
from qdebug.cure.plan import GIVEN, Plan, to_db
from qdebug.cure.trials import Trials, has_fallen
from qdebug.cure.ways import REACHING, WIDEST, is_always_verified, ways_of
from qdebug.run.tuning import Measured, MethodResult

_TIED_DB = 0.5
"""Of ranges that are so near to the best, the wider ones are taken: pictures that nobody has seen
are clipped less. By judgement."""
_BEST_PREDICTED = 2
"""Further methods verified: those predicted best."""
_MOST_CROSSED = 2
"""Ways that are proven on the pictures of the search, too, where the held-out ones leave a gain
open: each takes twice as many runs as there are such pictures."""


class Ranges(Trials):
    """The step of a search that chooses ranges."""

    def choose_ranges(self, verify_all: bool, cross: Callable[[], Crossing | None]) -> None:
        """The best ranges, predicted from one pass and verified.

        Args:
            verify_all: verify every method, for the table.
            cross: lets the pictures of the search decide, too; None where they cannot.
        """
        ways = ways_of(self.prediction)
        table = {name: way(self.prediction) for name, way in ways.items()}
        predicted = {n: self._predicted(self._with(n, c)) for n, c in table.items()}
        always = [name for name in table if is_always_verified(name)]
        others = sorted(table.keys() - set(always), key=lambda name: (predicted[name], name))
        chosen = {*always, *(others if verify_all else others[:_BEST_PREDICTED])}
        measured: dict[str, Measured] = {}
        for name, settings in table.items():
            if name in chosen:
                plan = self._with(name, settings)
                measured[name] = self._try("ranges", name, plan, predicted[name])
        order = _in_order(measured)
        plans = {name: self._with(name, table[name]) for name in order}
        winner, reason = self._winner(plans, measured, order, cross)
        self.found.methods = [
            MethodResult(name, predicted[name], measured.get(name), name == winner)
            for name in table
        ]
        if winner != GIVEN:
            self._propose("ranges", f"ranges by {winner}", plans[winner], proven=reason)

    def _winner(
        self,
        plans: Mapping[str, Plan],
        measured: Mapping[str, Measured],
        order: Sequence[str],
        cross: Callable[[], Crossing | None],
    ) -> tuple[str, str]:
        """The first way whose gain is proven, and what proves it beside the held-out pictures."""
        start, crossed = measured[GIVEN], 0
        for name in order:
            after = measured[name]
            accepted, shows_spread = self._judged(start, after)[0], len(start.each) > 1
            if accepted and shows_spread:
                return name, ""
            if not after.loss < start.loss or has_fallen(start, after):
                continue
            crossing = cross() if crossed < _MOST_CROSSED else None
            if crossing is None:
                if accepted:
                    return name, ""
                continue
            crossed += 1
            before = joined(start, self._by_turns(crossing, plans[GIVEN]))
            together = joined(after, self._by_turns(crossing, plans[name]))
            accepted, reason = self._judged(before, together)
            if accepted:
                return name, reason.replace("held-out pictures", f"all {len(before.each)} pictures")
        return GIVEN, ""

    def _by_turns(self, crossing: Crossing, plan: Plan) -> Measured:
        """Measure a way on the pictures of the search, and note it."""
        measured = crossing.measure(plan)
        self._noted(
            "ranges", f"{plan.ranges}, pictures of the search by turns", None, measured, plan
        )
        return measured


def _in_order(measured: Mapping[str, Measured]) -> list[str]:
    """Ways by their loss; of those that are as good as the best the wider ones first.

    Three pictures or fewer do not tell that two ways are as good.
    """
    order = sorted(measured, key=lambda name: (measured[name].loss, name))
    if len(measured[order[0]].each) < FEWEST:
        return order
    least = to_db(measured[order[0]].loss)
    tied = [name for name in order if to_db(measured[name].loss) <= least + _TIED_DB]
    tied.sort(key=lambda name: (not name.endswith(REACHING), not name.startswith(WIDEST)))
    return list(dict.fromkeys([*tied, *order]))
