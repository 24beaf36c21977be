"""``qdebug explain``."""

from __future__ import annotations

from qdebug.run.kinds import KINDS
from tests.functional.conftest import Cli


def test_without_a_name_all_are_listed(cli: Cli) -> None:
    result = cli("explain")
    assert result.code == 0
    listed = [line.split(maxsplit=2) for line in result.out.splitlines()]
    assert [(id_, slug) for id_, slug, _ in listed] == [(k.id, k.slug) for k in KINDS.values()]
    assert all(sentence.endswith(".") for _, _, sentence in listed)


def test_a_page_is_markdown_in_a_pipe_and_laid_out_in_colour(cli: Cli) -> None:
    plain = cli("explain", "mixed-range").out
    assert plain.startswith("# QD301 mixed-range")
    styled = cli("explain", "mixed-range", "--color", "always").out
    assert "\x1b[" in styled
    assert "# QD301" not in styled
    assert "nodes_to_exclude" in styled


def test_an_unknown_name(cli: Cli) -> None:
    result = cli("explain", "mixd-range")
    assert result.code == 2
    assert result.out == ""
    assert "did you mean: qdebug explain mixed-range" in result.err


def test_a_guide_says_what_to_dump(cli: Cli) -> None:
    result = cli("explain", "board")
    assert result.code == 0
    assert "qnn-net-run" in result.out
    assert "<!--" not in result.out
