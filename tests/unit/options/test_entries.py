"""One entry makes the flag, the key, the parameter and their documentation."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable
from dataclasses import KW_ONLY, MISSING, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qdebug
from qdebug.cli.arguments import add_options, settled
from qdebug.cli.parser import command_parser
from qdebug.config import Config, config_schema, load_config
from qdebug.errors import UsageError
from qdebug.options import (
    CompareCommandOptions,
    CompareOptions,
    ConfigOptions,
    ExtractOptions,
    PreprocessOptions,
    config_options,
    options_of,
    takes,
    values,
)
from qdebug.options.entry import entry, option
from qdebug.options.shared import GROUPS, INPUT, WriteOptions
from qdebug.vendors.reference import read_spec

COMMANDS: dict[str, tuple[type, ...]] = {
    "compare": (CompareOptions, CompareCommandOptions),
    "extract": (ExtractOptions, ConfigOptions),
    "preprocess": (PreprocessOptions,),
    "env": (ConfigOptions,),
}
GENERAL = {"help", "quiet", "verbose", "debug", "color", "isolate", "max_unpacked"}
OWN = {"preprocess": {"action", "operands"}, "env": {"json"}}
"""Arguments that no other command has."""


@dataclass(frozen=True)
class Toy(WriteOptions):
    """A command's options."""

    model: str = field(metadata=entry("the model", kind=values.text("MODEL")))
    _: KW_ONLY
    cap: int = option(
        1 << 20, "the most bytes, 10 % of all", "--cap", kind=values.SIZE, group=INPUT, key=True
    )
    fast: bool = option(True, "hurry", "--fast", kind=values.SWITCH, group=INPUT, key=True)


@takes(Toy)
def weigh(options: Toy) -> int:
    """Weigh a model.

    Raises:
        QdebugError: it cannot be weighed.
    """
    return options.cap * 2 if options.fast else options.cap


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_options(parser, Toy)
    return parser.parse_args(list(words))


def test_an_entry_is_a_parameter() -> None:
    parameters = inspect.signature(weigh).parameters
    told = [(p.name, p.default, p.kind.description) for p in parameters.values()]
    assert told == [
        ("model", inspect.Parameter.empty, "positional or keyword"),
        ("force", False, "keyword-only"),
        ("cap", 1 << 20, "keyword-only"),
        ("fast", True, "keyword-only"),
    ]
    assert weigh("m", cap=5, fast=False) == 5
    assert weigh(model="m") == 2 << 20
    doc = inspect.getdoc(weigh) or ""
    assert doc.startswith("Weigh a model.\n\nArgs:\n    model: the model.\n")
    assert doc.endswith("    fast: hurry.\n\nRaises:\n    QdebugError: it cannot be weighed.")


def test_an_entry_is_an_argument() -> None:
    assert vars(parsed("m")) == {"model": "m", "force": None, "cap": None, "fast": None}
    given = parsed("m", "--cap", "3MiB", "--no-fast", "--force")
    assert vars(given) == {"model": "m", "force": True, "cap": 3 << 20, "fast": False}


def test_help_is_the_entry_s_text() -> None:
    parser = argparse.ArgumentParser()
    add_options(parser, Toy)
    assert "the most bytes, 10 % of all (default 1MiB)" in " ".join(parser.format_help().split())


def test_a_pipeline_of_the_file_may_be_in_a_toolchain_s_dialect() -> None:
    config = Config(Path("qdebug.toml"), {"preprocess": 'ncnn:"mean=[0] norm=[0.1] shape=[8,8,1]"'})
    args = command_parser("compare").parse(["f", "q", "x"])
    given = settled(CompareOptions, args, config)["preprocess"]
    assert (given.origin, given.notes[0]) == ("file", "qdebug.toml")
    assert given.spec == read_spec(config.settings["preprocess"]).spec


def test_the_command_line_wins_over_the_file_and_the_file_over_the_default() -> None:
    config = Config(Path("qdebug.toml"), {"cap": 7, "fast": False})
    assert settled(Toy, parsed("m"), Config()) == {"model": "m"}
    assert settled(Toy, parsed("m"), config) == {"model": "m", "cap": 7, "fast": False}
    chosen = settled(Toy, parsed("m", "--cap", "9", "--fast"), config)
    assert chosen == {"model": "m", "cap": 9, "fast": True}


@pytest.mark.parametrize(
    ("function", "owner"), [(qdebug.compare, CompareOptions), (qdebug.extract, ExtractOptions)]
)
def test_functions_have_the_parameters_of_their_entries(
    function: Callable[..., Any], owner: type
) -> None:
    parameters = inspect.signature(function).parameters
    doc = " ".join((inspect.getdoc(function) or "").split())
    assert list(parameters) == list(inspect.signature(owner).parameters)
    for item in options_of(owner):
        default = parameters[item.name].default
        assert default is (inspect.Parameter.empty if item.is_required else item.default)
        assert f" {item.name}: {' '.join(item.help.split())}." in doc


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_have_the_arguments_of_their_entries(command: str) -> None:
    actions = {action.dest: action for action in command_parser(command)._actions}
    entries = {item.name: item for owner in COMMANDS[command] for item in options_of(owner)}
    told = {name: item for name, item in entries.items() if item.flags or item.is_positional}
    assert set(actions) == {*told, *GENERAL, *OWN.get(command, ())}
    for name, item in told.items():
        assert item.group in ("", *GROUPS)
        assert set(item.flags) <= set(actions[name].option_strings)
        assert (actions[name].help or "").startswith(item.help)
        assert item.shown_default in (actions[name].help or "")


def test_the_schema_says_what_the_entries_say() -> None:
    properties = config_schema()["properties"]
    for name, item in config_options().items():
        assert properties[name]["description"] == item.help
        assert properties[name].get("default") == (item.default or None)
        if item.default is not None:
            assert item.kind.load(item.default) == item.default


def test_help_tells_defaults_once() -> None:
    text = " ".join(command_parser("compare").format_help().split())
    for shown in ("as 512MiB (default 256MiB)", "(default cpu)", "(default error)", "(default on)"):
        assert text.count(shown) == 1


def test_the_file_can_be_taken_back(tmp_path: Path) -> None:
    file = tmp_path / "qdebug.toml"
    file.write_text("sensitivity = true\nlocal = false", encoding="utf-8")
    words = ["f", "q", "x", "--no-sensitivity", "--local"]
    args = command_parser("compare").parse(words)
    chosen = settled(CompareOptions, args, load_config(file))
    assert (chosen["sensitivity"], chosen["local"]) == (False, True)


def test_plain_values_from_python_are_read_as_those_of_the_file() -> None:
    made = CompareOptions("f", "q", "x", max_memory="2GiB", vendor="RKNN", limit=np.int64(3))  # type: ignore[arg-type]
    assert (made.max_memory, made.vendor, made.limit) == (2 << 30, "rknn", 3)
    assert CompareOptions("f", "q", "x", max_memory=2 << 30).max_memory == 2 << 30


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"limit": 0}, "limit: 0 is not a whole number from 1"),
        ({"max_memory": 1 << 64}, "max_memory: 18446744073709551616 is more than"),
        ({"max_memory": "lots"}, "max_memory: 'lots' is not a size"),
        ({"keep_tensors": "some"}, "keep_tensors: 'some' is not none, all or worst:N"),
        ({"vendor": "tensort"}, "vendor: there is no toolchain 'tensort'"),
        ({"sensitivity": "yes"}, "sensitivity: 'yes' is neither true nor false"),
        ({"shape": "1,x"}, "shape: '1,x' is not a shape"),
    ],
)
def test_mistakes_from_python_name_the_parameter(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        CompareOptions("f", "q", "x", **given)
    assert message in caught.value.message


def test_the_types_are_those_of_the_entries() -> None:
    """mypy refuses each of these lines, or would call the comment unused."""
    with pytest.raises(TypeError, match="limt"):
        qdebug.compare("f", "q", "x", limt=3)  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="limit"):
        qdebug.compare("f", "q", "x", limit="many")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="inputs"):
        qdebug.compare("f", "q")  # type: ignore[call-arg]


def test_providers_of_the_sides() -> None:
    assert CompareOptions("f", "q", "x").providers == ("cpu", "cpu")
    one = CompareOptions("f", "q", "x", provider="cuda", quant_provider="cpu")
    assert one.providers == ("cuda", "cpu")


def test_what_must_be_given_has_no_default() -> None:
    required = [item.name for item in options_of(ExtractOptions) if item.default is MISSING]
    assert required == ["float_model", "quant_model", "layer", "inputs", "output"]
