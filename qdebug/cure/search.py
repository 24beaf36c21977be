"""The order of cures, from the cheapest at run time: broken tensors, weights, ranges, a ladder.

What is broken gets more bits first: predictions are linear, and a saturated network ranks methods
wrongly. Every acceptance is decided on held-out pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from qdebug.cure.crossing import joined
from qdebug.cure.grids import Rounded, numbers_of
from qdebug.cure.ladder import Ladder
from qdebug.cure.network import Numbers
from qdebug.cure.plan import CORRECTED, GIVEN, NEAR_DB, REFINED, ROUNDED, Plan, to_db
from qdebug.cure.predict import Settings
from qdebug.cure.proof import Proof
from qdebug.cure.ranges import Ranges
from qdebug.cure.trials import has_fallen
from qdebug.run.tuning import Cure, CureKind, Measured

_LEFT, _WHOLE = 0.3, 0.1
"""A broken unit makes more than the first share of what is left, and more than the second of the
whole loss, with the best range that 8 bits allow it: where many units share the loss, one after
another falls under the first alone."""
_MOST_BROKEN = 8
_BROKEN_GAIN_DB = 1.0
"""What more bits for broken units have to win, all together, on held-out pictures; by judgement."""
_SOUND_DB = 30.0
"""Where the task holds and the loss is below a thousandth, quantization does no harm; sound int8
models of the samples have 31 to 41 dB. By judgement."""
_POOR_DB = 20.0
"""A model that stays below this with 16 bits everywhere computes something else: rounding at 16
bits costs well under -60 dB. By judgement."""


class Search(Ranges, Ladder):
    """Finds a plan; made of what its ladder is made of."""

    _rounded: Mapping[str, Rounded] = MappingProxyType({})

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
        near = to_db(self.given.loss) - to_db(self.ceiling.loss) <= NEAR_DB
        level = -to_db(self.given.loss) if self._is_of_boxes else self.given.sqnr_db
        return self.meets(self.given) and (near or level >= _SOUND_DB)

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
        if not self._is_better() and not self.pinned:
            self._return()

    def _is_better(self) -> bool:
        """Whether all cures together are better than the given model.

        Where ranges were proven on more pictures than the held-out ones, these few do not have to
        prove it again.
        """
        if not self.by_turns:
            return self._judged(self.given, self.measured)[0]
        fallen = has_fallen(self.given, self.measured)
        return self.measured.loss < self.given.loss and not fallen

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
        _, plan, measured = next(item for item in tried if item[0] <= lowest + NEAR_DB)
        enough = to_db(before.loss) - to_db(measured.loss) >= _BROKEN_GAIN_DB
        reason = "" if enough else f"it wins less than {_BROKEN_GAIN_DB:g} dB"
        self._propose("bits", f"broken units to {self._bits_text}", plan, refused=reason)

    def round_anew(
        self, rounded: Mapping[str, Rounded], also: Callable[[], Proof | None] = lambda: None
    ) -> None:
        """Weights on another grid, judged with 16-bit activations, whose error would hide it.

        Args:
            rounded: by ``Weight.tensor``; empty where no grid is better than the given one.
            also: the pictures of the search, where the held-out ones are few: no picture has a part
                in how weights are rounded.
        """
        if not rounded:
            return
        self.proof.know(ROUNDED, numbers_of(rounded))
        self._rounded = rounded
        title = f"weights rounded anew in {len(rounded)} layers"
        if not self._renumber("weights", "weights rounded anew", title, ROUNDED, also):
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

    def _renumber(
        self,
        kind: CureKind,
        what: str,
        title: str,
        numbers: str,
        also: Callable[[], Proof | None] = lambda: None,
    ) -> bool:
        """Take other weights or biases where they are better with 16-bit activations."""
        wide = self._all_wide(self.plan.numbers), self._all_wide(numbers)
        before = self._try(kind, f"16-bit activations, {self.plan.numbers}", wide[0])
        after = self._try(kind, f"16-bit activations, {what}", wide[1])
        accepted, reason = self._judged(before, after)
        if not accepted and after.loss < before.loss and (proof := also()) is not None:
            together = [
                self._with_also(proof, *pair) for pair in zip(wide, (before, after), strict=True)
            ]
            accepted, reason = self._judged(together[0], together[1])
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

    def _with_also(self, proof: Proof, plan: Plan, measured: Measured) -> Measured:
        """A measurement together with the same on other pictures."""
        return joined(measured, proof.measure(self.config(plan), plan.numbers))

    @property
    def rounded(self) -> Mapping[str, Rounded]:
        """Weights that the plan has on another grid, by ``Weight.tensor``."""
        return {} if self.plan.numbers == GIVEN else self._rounded

    @property
    def is_as_given(self) -> bool:
        """Whether the plan is the model as given."""
        same = self.settings(self.plan) == self.prediction.given
        return same and self.plan.numbers == GIVEN

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
