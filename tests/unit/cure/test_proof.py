"""Measurements that are known already are not made again, whatever became of the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from qdebug.cure.proof import Journal
from qdebug.run.tuning import Measured

ONE = Measured(0.5, 3.0, 0.25)


def test_a_journal_is_taken_up_again(tmp_path: Path) -> None:
    file = tmp_path / "j"
    first = Journal(file, "key")
    first.add("a", ONE)
    first.add("b", Measured(float("inf"), float("-inf")))
    first.close()
    again = Journal(file, "key")
    assert again.done == {"a": ONE, "b": Measured(float("inf"), float("-inf"))}
    again.close()


@pytest.mark.parametrize("rest", ['["a", 0.', "[]", "nonsense\n[1]", "\x00\xff"])
def test_damage_leaves_a_line_out(tmp_path: Path, rest: str) -> None:
    file = tmp_path / "j"
    first = Journal(file, "key")
    first.add("a", ONE)
    first.close()
    file.write_text(file.read_text() + rest)
    again = Journal(file, "key")
    assert again.done == {"a": ONE}
    again.close()


def test_another_search_does_not_read_it(tmp_path: Path) -> None:
    first = Journal(tmp_path / "j", "key")
    first.add("a", ONE)
    first.close()
    other = Journal(tmp_path / "j", "other")
    assert not other.done
    other.close()
