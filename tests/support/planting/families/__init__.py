"""Families of faults that are planted at random: one file each, registered here.

A family takes a ``Subject`` and a seeded random generator and gives a ``Planting``: what model it
made of it, and the truth about it. ``UnsuitableError`` says that the subject has no place for it.
"""

from __future__ import annotations

from tests.support.planting.families.coarse import finer
from tests.support.planting.families.coarse import plant as coarse
from tests.support.planting.families.converter import plant as converter
from tests.support.planting.families.family import Family, Planting, Subject, Truth, UnsuitableError
from tests.support.planting.families.pairs import plant as pair
from tests.support.planting.families.qoperator import plant as qoperator
from tests.support.planting.families.qoperator import sound as qoperator_sound
from tests.support.planting.families.rewrites import equalized
from tests.support.planting.families.rewrites import plant as rewrite
from tests.support.planting.families.shared_bias import own as own_bias
from tests.support.planting.families.shared_bias import plant as shared_bias
from tests.support.planting.families.strides import plant as strides
from tests.support.planting.families.strides import spelled_out
from tests.support.planting.families.unusual import plant as unusual
from tests.support.planting.families.unusual import sound as unusual_sound

FAMILIES: dict[str, Family] = {
    "converter": converter,
    "coarse weights": coarse,
    "pair": pair,
    "qoperator": qoperator,
    "shared bias": shared_bias,
    "strides and groups": strides,
}
"""Faults by family."""
CONTROLS: dict[str, Family] = {
    "finer weights": finer,
    "groups spelled out": spelled_out,
    "own bias": own_bias,
    "qoperator twin": qoperator_sound,
    "rewrite": rewrite,
}
"""Sound changes by family: no finding at ``fail`` may follow."""
UNUSUAL: dict[str, Family] = {
    name: FAMILIES[name] for name in ("converter", "coarse weights", "pair")
} | {"unusual operators": unusual}
"""Faults for ``unusual_nets``, of which the others find no place in most."""
UNUSUAL_CONTROLS: dict[str, Family] = {
    "equalized": equalized,
    "rewrite": rewrite,
    "twin": unusual_sound,
}

__all__ = [
    "CONTROLS",
    "FAMILIES",
    "UNUSUAL",
    "UNUSUAL_CONTROLS",
    "Family",
    "Planting",
    "Subject",
    "Truth",
    "UnsuitableError",
]
