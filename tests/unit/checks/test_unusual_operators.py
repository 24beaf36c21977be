"""Converter bugs in operators that convolutional networks have not, each beside its sound twin."""

from __future__ import annotations

from functools import partial

import pytest

from qdebug.run.model import Run
from tests.support.checked import EFFECTS, causes, net_run
from tests.support.planting.families.converter import KINDS as USUAL
from tests.support.planting.families.converter import plant_kind
from tests.support.planting.families.family import Planting, Rng, Subject, UnsuitableError
from tests.support.planting.families.subjects import planted_at_random
from tests.support.planting.families.unusual import KINDS
from tests.support.unusual_nets import unusual_net

SLUG = "operator-mismatch"
SEED = 11
EARLY = ("Relu for Gelu", "Relu for HardSwish", "Relu for PRelu", "Relu for swish", "reduction")
"""Made before the twin was quantized, as a range shows them alone."""
LATE = (
    "LayerNorm scale left out",
    "constant of a Mul",
    "Einsum equation",
)


def _family(subject: Subject, rng: Rng, *, kind: str, late: bool) -> Planting:
    planted = plant_kind(subject, rng, kind, late, {**USUAL, **KINDS})
    if planted is None:
        raise UnsuitableError(kind)
    return planted


def _runs(kind: str, *, late: bool) -> tuple[Planting, Run, Run]:
    """A bug of one kind, what is said of it, and what of the twin without it."""
    family = partial(_family, kind=kind, late=late)
    subject, planting = planted_at_random(family, SEED, unusual_net)
    models = planting.quant_model, planting.sound_model
    faulty, sound = (net_run(planting.float_model, model, *subject.feeds) for model in models)
    return planting, faulty, sound


@pytest.mark.parametrize(
    ("kind", "late"),
    [*((kind, False) for kind in EARLY), *((kind, True) for kind in LATE)],
)
def test_the_node_is_named_first_and_its_sound_twin_is_not(kind: str, late: bool) -> None:
    planting, faulty, sound = _runs(kind, late=late)
    first = next(
        f for f in faulty.findings if f.status in ("fail", "warn") and f.slug not in EFFECTS
    )
    assert first.slug == SLUG
    assert first.title.split(" (")[0] in planting.truths[0].nodes
    assert SLUG not in causes(sound, "fail", "warn")


@pytest.mark.parametrize("late", [False, True])
def test_exchanged_queries_and_keys_are_named_at_the_split(late: bool) -> None:
    planting, faulty, sound = _runs("Split outputs swapped", late=late)
    (title,) = [f.title for f in faulty.findings if f.status == "fail" and f.slug == SLUG]
    assert "Split" in title
    assert title.split(" (")[0] in planting.truths[0].nodes
    assert not causes(sound, "fail")
