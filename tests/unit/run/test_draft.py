"""A plan with its switches: what it foretells, against sums by hand."""

from __future__ import annotations

import dataclasses

import pytest

from qdebug.run.draft import Draft
from qdebug.run.tuning import ASKED, Cure, Tuning
from tests.support import synthetic_run
from tests.support.synthetic_extras import planned, with_tuning

FLOORS = {"given": 0.005, "weights": 0.004, "bias": 0.003}
BITS = Cure("bits", "16 bits", ("a",), 9.0, 9.0, None, None, 0.003, True, "")
RANGES = Cure("ranges", "ranges by KL", (), 2.0, 2.0, None, None, 0.0, True, "")
WEIGHTS = Cure("weights", "weights rounded anew", (), None, 1.0, None, None, 0.0, True, "")
BIAS = Cure("bias", "biases corrected", (), None, 1.0, None, None, 0.0, True, "")


@pytest.fixture
def tuning() -> Tuning:
    """Two units and four cures, all accepted."""
    found = with_tuning(synthetic_run(20)).tuning
    assert found is not None
    units = planned("a", 0.4, 0.02, 0.001, "wide"), planned("b", 0.03, 0.01, 0.002, "ranges")
    cures = BITS, RANGES, WEIGHTS, BIAS
    return dataclasses.replace(found, units=units, cures=cures, floors=FLOORS)


def test_the_recorded_plan_is_the_sum_of_its_shares(tuning: Tuning) -> None:
    draft = Draft(tuning)
    assert draft.loss == pytest.approx(0.001 + 0.01 + 0.003)
    assert draft.macs == pytest.approx(0.003)
    assert not draft.is_changed
    assert all(draft.is_on(cure) for cure in tuning.cures)


def test_switches_of_cures(tuning: Tuning) -> None:
    draft = Draft(tuning)
    draft.switch(BITS)
    assert draft.loss == pytest.approx(0.02 + 0.01 + 0.003)
    assert draft.macs == 0
    draft.switch(RANGES)
    assert draft.loss == pytest.approx(0.4 + 0.03 + 0.003)
    draft.switch(BITS)
    assert draft.loss == pytest.approx(0.001 + 0.03 + 0.003)
    draft.switch(RANGES)
    assert not draft.is_changed


def test_balanced_channels_are_not_switched(tuning: Tuning) -> None:
    """Everything else was searched on the model that they make."""
    balance = Cure("balance", "channels", (), None, 9.0, None, None, 0.0, True, "")
    draft = Draft(dataclasses.replace(tuning, cures=(balance, *tuning.cures)))
    assert draft.is_on(balance)
    assert "model with balanced channels" in draft.why_fixed(balance)
    refused = dataclasses.replace(balance, accepted=False)
    assert not draft.is_on(refused)
    assert draft.why_fixed(refused) == "it was refused, and is not kept"


def test_biases_go_with_the_weights_that_they_were_corrected_for(tuning: Tuning) -> None:
    draft = Draft(tuning)
    draft.switch(BIAS)
    assert draft.loss == pytest.approx(0.011 + FLOORS["weights"])
    assert draft.is_on(WEIGHTS)
    draft.switch(BIAS)
    draft.switch(WEIGHTS)
    assert draft.loss == pytest.approx(0.011 + FLOORS["given"])
    assert not draft.is_on(BIAS)
    draft.switch(BIAS)
    assert draft.is_on(WEIGHTS)


def test_a_unit_alone_and_back(tuning: Tuning) -> None:
    draft = Draft(tuning)
    draft.switch_unit(1)
    assert draft.loss == pytest.approx(0.001 + 0.002 + 0.003)
    assert draft.is_changed
    assert draft.ranked() == [1, 0]  # the larger share of those at 16 bits
    draft.reset()
    assert not draft.is_changed


def test_what_cannot_be_switched_says_why(tuning: Tuning) -> None:
    refused = dataclasses.replace(BIAS, accepted=False)
    fitted = dataclasses.replace(RANGES, reason=ASKED)
    unknown = dataclasses.replace(BITS, units=("nowhere",))
    draft = Draft(dataclasses.replace(tuning, cures=(refused, fitted, unknown)))
    assert "refused" in draft.why_fixed(refused)
    assert "target" in draft.why_fixed(fitted)
    assert "not in the record" in draft.why_fixed(unknown)
    assert not draft.is_on(refused)
    assert draft.is_on(fitted)
    earlier = Draft(dataclasses.replace(tuning, units=(), floors=None))
    assert all("earlier version" in earlier.why_fixed(cure) for cure in tuning.cures)
    assert earlier.loss != earlier.loss  # not known


def test_a_refused_cure_of_bits_can_be_tried(tuning: Tuning) -> None:
    """Its units and their 16-bit settings are in the record, whatever was decided."""
    more = dataclasses.replace(BITS, units=("b",), accepted=False)
    draft = Draft(dataclasses.replace(tuning, cures=(BITS, more)))
    assert not draft.is_on(more)
    draft.switch(more)
    assert draft.wide == {0, 1}
