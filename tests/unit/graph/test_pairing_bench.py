"""Pairing against the truth: every flavour of every network, told apart by values."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.bench import judge_flavour
from tests.support.flavours import FLAVOURS, Flavour
from tests.support.nets import NETS


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("flavour", FLAVOURS, ids=lambda flavour: flavour.name)
def test_no_pair_is_wrong_and_hardly_any_is_missed(
    flavour: Flavour, net: str, tmp_path: Path
) -> None:
    verdict = judge_flavour(flavour, NETS[net](), tmp_path)
    assert verdict.wrong == ()
    assert verdict.total >= 8
    assert verdict.recall >= 0.98, verdict.missed
