"""What every step of a search does: measuring a plan, judging it, noting it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

import numpy as np

from qdebug.cure.network import Config
from qdebug.cure.plan import GIVEN, UNKNOWN, Found, Plan, to_db
from qdebug.cure.predict import Prediction, Settings
from qdebug.cure.proof import Proof
from qdebug.cure.setting import FREE
from qdebug.cure.sites import expanded
from qdebug.run.tuning import ASKED, Cure, CureKind, Measured, Trial

_TASK_MARGIN = 0.02
"""A task's number may fall so much where the loss falls: F1 on ten photos moves by 0.03 to 0.05 by
itself."""


_ONE_IN_TEN = 1.2815516
"""Quantile of the normal distribution that chance exceeds once in ten. A change that wins nothing
does no harm on the average either, and a gain refused is lost; by judgement."""
_FEW = {2: 3.078, 3: 1.886}
"""The same of Student's t for two and for three pictures."""


def standard_errors(count: int) -> float:
    """How many of its standard errors a mean gain over so many pictures has to exceed.

    Student's t, one-sided: Cornish and Fisher's expansion, within 1 % from four pictures on.
    """
    if count in _FEW:
        return _FEW[count]
    z, free = _ONE_IN_TEN, max(count - 1, 1)
    return z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)


def paired_gain(before: Measured, after: Measured) -> tuple[float, float]:
    """Mean gain over the held-out pictures, and its standard error; dB.

    One picture that errs far more than the others decides a mean loss; each picture's own gain
    counts alike here. With one picture there is no spread to see: the error is zero then.
    """
    pairs = zip(before.each, after.each, strict=True)
    gains = np.array([to_db(a) - to_db(b) for a, b in pairs])
    if len(gains) < 2:
        return to_db(before.loss) - to_db(after.loss), 0.0
    return float(gains.mean()), float(gains.std(ddof=1) / math.sqrt(len(gains)))


def has_fallen(before: Measured, after: Measured) -> bool:
    """Whether the task's number falls by more than its margin and its standard error.

    One picture of eight with another class is what chance does; two are not.
    """
    if before.task is None or after.task is None:
        return False
    pairs = zip(before.task_each, after.task_each, strict=True)
    error = standard_error([b - a for b, a in pairs])
    return before.task - after.task > max(_TASK_MARGIN, error + _ROUNDING)


def standard_error(values: Sequence[float]) -> float:
    """Of the mean of the finite ones; 0 where fewer than two show no spread."""
    found = np.array([value for value in values if math.isfinite(value)])
    return float(found.std(ddof=1) / math.sqrt(len(found))) if len(found) > 1 else 0.0


_ROUNDING = 1e-9


def judged(before: Measured, after: Measured, task: str) -> tuple[bool, str]:
    """Whether a change is better on the held-out pictures, and why.

    Args:
        before: without it.
        after: with it.
        task: name of the task's number; empty where there is none.
    """
    gain = to_db(before.loss) - to_db(after.loss)
    if not after.loss < before.loss:
        return False, f"the loss on held-out pictures rises by {-gain:.1f} dB"
    won, error = paired_gain(before, after)
    errors = standard_errors(len(before.each))
    if won <= errors * error:
        return False, (
            f"the gain of {won:.1f} dB on held-out pictures is not more than "
            f"{errors:.1f} times its standard error, {error:.1f} dB"
        )
    if has_fallen(before, after):
        return False, f"{task} on held-out pictures falls to {after.task:.3f}"
    return True, f"the loss on held-out pictures falls by {gain:.1f} dB"


class Trials:
    """A plan, and the trials that led to it.

    Args:
        prediction: of any configuration.
        proof: the held-out pictures.
        bits: of a unit at the higher precision, 16 or ``FREE``.
        target: what the task's number (or else the SQNR) has to reach.
        note: told what is being done.
    """

    def __init__(
        self,
        prediction: Prediction,
        proof: Proof,
        bits: int,
        target: float,
        note: Callable[[str], None],
    ) -> None:
        self.units, self.prediction = prediction.units, prediction
        self.proof, self.target = proof, target
        self.wide = prediction.wide(bits)
        self.bits, self.note = bits, note
        self.found = Found()
        self.by_turns = False  # whether pictures of the search decided as well
        self._floors: dict[str, float] = {}
        self.plan = Plan(GIVEN, prediction.given, frozenset(), GIVEN)
        self.given = self.measured = self.ceiling = UNKNOWN

    def settings(self, plan: Plan) -> Settings:
        """The setting of each unit under a plan."""
        return tuple(
            self.wide[at] if at in plan.units else setting for at, setting in enumerate(plan.base)
        )

    def config(self, plan: Plan) -> Config:
        """The setting of each site under a plan."""
        return expanded(self.units, self.settings(plan))

    @property
    def wide_config(self) -> Config:
        """Every site at the higher precision."""
        return expanded(self.units, self.wide)

    @property
    def kept(self) -> tuple[str, ...]:
        """Float tensors with more than 8 bits under the plan."""
        sites = self.proof.network.sites
        positions = (site for at in sorted(self.plan.units) for site in self.units[at].sites)
        named = (sites[site].float_tensor for site in positions)
        return tuple(dict.fromkeys(tensor for tensor in named if tensor is not None))

    def new_ranges(self, moved: Collection[str] = ()) -> dict[str, tuple[float, float]]:
        """Float tensors that have another range of 8 bits under the plan than they were given.

        Args:
            moved: tensors whose given range is not that of the user's own model any more.
        """
        config = self.config(self.plan)
        return {
            site.float_tensor: (config[site.index].low, config[site.index].high)
            for site in self.proof.network.sites
            if site.float_tensor is not None
            and config[site.index].bits == 8
            and (config[site.index] != site.given or site.float_tensor in moved)
        }

    def macs(self, units: Iterable[int]) -> float:
        """Share of the multiplications at the higher precision."""
        return float(min(sum(self.units[at].macs for at in units), 1.0))

    def reached(self, measured: Measured) -> bool:
        """Whether a measurement meets the target, as far as so few pictures can tell.

        A few objects on a few pictures make a coarse number: one of seven missed is F1 .92. What is
        short of the target by less than the number's own standard error does not miss it.
        """
        if measured.task is None:
            return self.meets(measured)
        return measured.task + standard_error(measured.task_each) >= self.target

    def meets(self, measured: Measured) -> bool:
        """Whether the number itself is not below the target."""
        return (measured.sqnr_db if measured.task is None else measured.task) >= self.target

    @property
    def _bits_text(self) -> str:
        return "floating point" if self.bits == FREE else f"{self.bits} bits"

    def _try(self, step: str, name: str, plan: Plan, predicted: float | None = None) -> Measured:
        self.note(name)
        measured = self.proof.measure(self.config(plan), plan.numbers)
        if predicted is None and plan.numbers in self._floors:
            predicted = self._predicted(plan)
        self._noted(step, name, predicted, measured, plan)
        return measured

    def _noted(
        self, step: str, name: str, predicted: float | None, measured: Measured, plan: Plan
    ) -> None:
        """Keep what was tried in the record, once."""
        names, macs = self._names(plan.units), self.macs(plan.units)
        trial = Trial(step, name, predicted, measured, names, macs)
        if trial not in self.found.tried:
            self.found.tried.append(trial)

    def _propose(
        self,
        kind: CureKind,
        title: str,
        plan: Plan,
        *,
        forced: bool = False,
        refused: str = "",
        proven: str = "",
        units: Iterable[int] | None = None,
    ) -> None:
        """Accept a plan, or say why not.

        Args:
            kind: of the cure.
            title: for people.
            plan: the new one.
            forced: the user asks for it.
            refused: why it is not accepted, whatever the pictures say.
            proven: what proves it beside the held-out pictures.
            units: what it is about, where these are not the plan's new ones.
        """
        before, predicted = self.measured, self._predicted(self.plan)
        after = self._try(kind, title, plan)
        accepted, reason = self._judged(before, after)
        accepted, reason = (False, refused) if refused else (accepted, reason)
        accepted, reason = (True, ASKED) if forced else (accepted, reason)
        accepted, reason = (True, proven) if proven else (accepted, reason)
        changed = plan.units - self.plan.units if units is None else units
        self.found.cures.append(
            Cure(
                kind,
                title,
                self._names(changed),
                to_db(predicted) - to_db(self._predicted(plan)),
                to_db(before.loss) - to_db(after.loss),
                before.task,
                after.task,
                self.macs(changed),
                accepted,
                reason,
            )
        )
        if accepted:
            self.plan, self.measured = plan, after
            self.by_turns |= bool(proven)

    def _judged(self, before: Measured, after: Measured) -> tuple[bool, str]:
        """Whether a change is better on the held-out pictures, and why."""
        return judged(before, after, self.proof.judge.name)

    def _predicted(self, plan: Plan) -> float:
        """Loss of the activations, and what remains with all of them at 16 bits."""
        return self.prediction.total(self.settings(plan)) + self._floor(plan.numbers)

    def _floor(self, numbers: str) -> float:
        if numbers not in self._floors:
            measured = self._try(
                "ceiling", f"16-bit activations, {numbers}", self._all_wide(numbers)
            )
            self._floors[numbers] = measured.loss
        return self._floors[numbers]

    @property
    def floors(self) -> dict[str, float]:
        """Loss that is left with all activations at the higher precision, by the numbers' name."""
        return dict(self._floors)

    def _all_wide(self, numbers: str) -> Plan:
        return Plan("wide", self.wide, frozenset(range(len(self.units))), numbers)

    def _with(self, name: str, base: Settings) -> Plan:
        return replace(self.plan, ranges=name, base=base)

    def _names(self, units: Iterable[int]) -> tuple[str, ...]:
        return tuple(self.units[at].label for at in sorted(units))

    def _costs(self, settings: Settings) -> dict[int, float]:
        """Share of each unit that still may be given more bits."""
        free = (at for at in range(len(self.units)) if at not in self.plan.units)
        costs = {at: self.prediction.cost(at, settings[at]) for at in free}
        return {at: cost for at, cost in costs.items() if math.isfinite(cost)}
