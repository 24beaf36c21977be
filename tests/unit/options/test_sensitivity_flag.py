"""``--sensitivity`` stands alone, has a word, or is taken back, wherever it stands."""

from __future__ import annotations

import pytest

from qdebug.cli.arguments import settled
from qdebug.cli.parser import command_parser
from qdebug.config import Config
from qdebug.errors import UsageError
from qdebug.options import CompareOptions

PLACES = ("f", "q", "x")


def sensitivity(*words: str) -> object:
    args = command_parser("compare").parse(words)
    assert (args.float_model, args.quant_model, args.inputs) == ("f", "q", ["x"])
    return settled(CompareOptions, args, Config()).get("sensitivity")


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ([], None),
        (["--sensitivity"], True),
        (["--sensitivity", "exact"], "exact"),
        (["--sensitivity=exact"], "exact"),
        (["--no-sensitivity"], False),
    ],
)
def test_before_and_behind_the_models(flag: list[str], value: object) -> None:
    assert sensitivity(*flag, *PLACES) == value
    assert sensitivity(*PLACES, *flag) == value
    assert sensitivity("f", *flag, "q", "x") == value


def test_behind_two_dashes_it_is_a_name() -> None:
    args = command_parser("compare").parse(["--sensitivity", "--", "f", "q", "--sensitivity"])
    assert args.inputs == ["--sensitivity"]
    assert args.sensitivity is True


def test_what_was_typed_is_kept() -> None:
    args = command_parser("compare").parse(["--sensitivity", *PLACES])
    assert args.command_line == ("qdebug", "compare", "--sensitivity", *PLACES)


@pytest.mark.parametrize("value", ["maybe", 1, 0, None, ["exact"]])
def test_other_values_are_refused(value: object) -> None:
    (option,) = (o for o in CompareOptions.__dataclass_fields__.values() if o.name == "sensitivity")
    with pytest.raises(ValueError, match="neither true nor false nor 'exact'"):
        option.metadata["option"].kind.load(value)


def test_a_word_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="exact"):
        command_parser("compare").parse(["--sensitivity=maybe", *PLACES])


def test_the_file_and_the_command_line() -> None:
    config = Config(settings={"sensitivity": "exact"})
    for words, expected in (((), "exact"), (("--no-sensitivity",), False)):
        args = command_parser("compare").parse([*PLACES, *words])
        assert settled(CompareOptions, args, config)["sensitivity"] == expected
