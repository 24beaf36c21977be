"""Every kind of finding has a record, a producer, a gate and a page, and no two are mixed up."""

from __future__ import annotations

import ast
import inspect
from collections import Counter
from pathlib import Path

import pytest

import qdebug.preprocess
from qdebug.checks.registry import built_in_checks
from qdebug.comparison import input_gate
from qdebug.run.gates import GATES
from qdebug.run.kinds import KINDS, Family, Kind
from qdebug.run.kinds.board import BOARD_KINDS
from qdebug.run.kinds.checks import CHECK_KINDS
from qdebug.run.kinds.input import INPUT_KINDS
from qdebug.run.kinds.reading import READING_KINDS
from qdebug.run.pages import MANUAL

OF_CHECKS = sorted((*CHECK_KINDS, *BOARD_KINDS, *READING_KINDS), key=lambda kind: kind.id)
EVERY = (*INPUT_KINDS, *OF_CHECKS)


def repeated(values: list[object]) -> list[object]:
    return [value for value, count in Counter(values).items() if count > 1]


def test_ids_slugs_and_ranks_are_unique() -> None:
    assert repeated([kind.id for kind in EVERY]) == []
    assert repeated([kind.slug for kind in EVERY]) == []
    assert repeated([kind.cause for kind in EVERY if kind.cause is not None]) == []
    assert len(KINDS) == len(EVERY)


def test_the_hundred_of_an_id_is_its_family() -> None:
    hundreds = {(kind.id[:3], kind.family) for kind in EVERY}
    assert len(hundreds) == len({family for _, family in hundreds}) == len(Family)
    assert [family for _, family in sorted(hundreds, key=lambda pair: pair[0])] == list(Family)


def test_only_the_quality_of_the_run_has_no_gate() -> None:
    assert [k.slug for k in EVERY if (k.gate is None) != (k.family is Family.QUALITY)] == []
    assert {kind.gate for kind in EVERY} - {None} <= set(GATES)
    assert {kind.slug for kind in EVERY if kind.gate == "input"} == {k.slug for k in INPUT_KINDS}


def test_every_kind_of_a_check_is_raised_by_one_check_and_passes_under_a_title() -> None:
    assert [check.kind for check in built_in_checks()] == OF_CHECKS
    assert [kind.slug for kind in OF_CHECKS if not kind.passed] == []


def test_every_kind_of_the_input_is_raised_by_the_check_of_the_input() -> None:
    files = [*Path(qdebug.preprocess.__path__[0]).rglob("*.py"), Path(inspect.getfile(input_gate))]
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    nodes = (node for tree in trees for node in ast.walk(tree))
    words = {node.value for node in nodes if isinstance(node, ast.Constant)}
    assert [kind.slug for kind in INPUT_KINDS if kind.slug not in words] == []
    assert [kind.slug for kind in INPUT_KINDS if not kind.title] == []


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.slug)
def test_the_page_of_a_kind_has_its_name(kind: Kind) -> None:
    heading, sentence, _ = (MANUAL / kind.page).read_text(encoding="utf-8").split("\n\n", 2)
    assert heading == f"# {kind.id} {kind.slug}"
    assert sentence.endswith(".")


def test_every_page_has_a_kind() -> None:
    assert {f.stem for f in (MANUAL / "findings").iterdir()} == set(KINDS)


def test_severity_follows_from_the_status() -> None:
    kind = KINDS["mixed-range"]
    levels = [kind.found(status, "t", "s").severity for status in ("fail", "error", "warn", "info")]
    assert levels == ["error", "error", "warning", "info"]
