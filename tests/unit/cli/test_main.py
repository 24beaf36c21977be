"""Dispatch, help, typo suggestions, exit codes, and what stderr says."""

from __future__ import annotations

import argparse
import errno
import logging
import textwrap
from pathlib import Path

import numpy as np
import pytest

from qdebug import __version__
from qdebug.analysis.tasks.user import user_task
from qdebug.cli import command, main
from qdebug.cli.command import COMMANDS, help_text, load_command
from qdebug.cli.parser import command_parser, main_help
from qdebug.errors import ExitCode, RunError

Capture = pytest.CaptureFixture[str]


def test_alone_it_prints_help_that_begins_with_examples(capsys: Capture) -> None:
    assert main([]) == ExitCode.NO_VERDICT
    out = capsys.readouterr().out
    assert out == main_help()
    assert out.startswith("examples:\n  qdebug compare float.onnx int8.onnx photo.jpg\n")
    assert all(f"\n  {name}" in out for name in COMMANDS)


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["help"]])
def test_help(arguments: list[str], capsys: Capture) -> None:
    assert main(arguments) == ExitCode.PASS
    captured = capsys.readouterr()
    assert captured.out == main_help()
    assert captured.err == ""


@pytest.mark.parametrize("name", list(COMMANDS))
def test_help_of_each_command(name: str, capsys: Capture) -> None:
    assert main([name, "--help"]) == ExitCode.PASS
    out = capsys.readouterr().out
    assert out.startswith("examples:\n  ")
    assert f"usage: qdebug {name} " in out
    assert "exit codes:" in out
    assert main(["help", name]) == ExitCode.PASS
    assert capsys.readouterr().out == out


@pytest.mark.parametrize("name", list(COMMANDS))
def test_each_command_documents_itself_and_its_examples_parse(name: str) -> None:
    chosen = load_command(name)
    first, _, rest = help_text(chosen).partition("\n")
    assert first.endswith(".")
    assert rest == "" or rest.startswith("\n")
    assert chosen.examples
    assert all(f"qdebug {name}" in line for line in chosen.examples)


@pytest.mark.parametrize("width", ["60", "80", "100"])
def test_options_in_help_fit_narrow_terminals(width: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", width)
    text = command_parser("compare").format_help()
    options = text[text.index("\noptions:") : text.index("exit codes:")]
    assert max(map(len, options.splitlines())) <= int(width)


def test_version(capsys: Capture) -> None:
    assert main(["--version"]) == ExitCode.PASS
    assert capsys.readouterr().out == f"qdebug {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["comprae"], "there is no command 'comprae'", "did you mean: qdebug compare"),
        (["zzz"], "there is no command 'zzz'", "qdebug --help lists the commands"),
        (["--debgu", "compare"], "expected a command before --debgu", "qdebug --help"),
        (["show", "x", "--unmached"], "has no option --unmached", "did you mean --unmatched"),
        (["show", "x", "--zzz"], "has no option --zzz", "qdebug show --help lists"),
        (["show", "x", "y"], "unexpected argument 'y'", "see qdebug show --help"),
        (["show"], "arguments are required: RUN", "qdebug show --help"),
        (["compare", "f", "q"], "arguments are required: INPUT", "qdebug compare --help"),
        (["compare", "f", "q", "i", "--fail-on", "x"], "--fail-on: invalid choice", "--help"),
        (["show", "x", "--unmatched", "--layers", "y"], "not allowed with", "--help"),
    ],
)
def test_bad_usage_is_one_sentence_and_a_hint(
    arguments: list[str], message: str, hint: str, capsys: Capture
) -> None:
    assert main(arguments) == ExitCode.NO_VERDICT
    captured = capsys.readouterr()
    error, advice = captured.err.splitlines()
    assert error.startswith("qdebug: error: ")
    assert message in error
    assert advice.startswith("hint: ")
    assert hint in advice
    assert captured.out == ""


def test_options_may_stand_between_the_inputs() -> None:
    parser = command_parser("compare")
    args = parser.parse(["f", "q", "a.png", "--limit", "3", "b.png", "-"])
    assert args.inputs == ["a.png", "b.png", "-"]
    assert args.limit == 3
    assert args.command_line[:2] == ("qdebug", "compare")


class _Failing:
    """Fail in the way a test asks for."""

    examples = ("qdebug failing",)
    error: BaseException = RuntimeError("x")

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """No arguments."""

    def run(self, args: argparse.Namespace) -> int:
        raise self.error


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> type[_Failing]:
    monkeypatch.setattr(command, "COMMANDS", {**COMMANDS, "failing": f"{__name__}:_Failing"})
    return _Failing


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (RunError("a is b", "do c"), 2, ["qdebug: error: a is b", "hint: do c"]),
        (RunError("a is b"), 2, ["qdebug: error: a is b", f"hint: {RunError.usual_hint}"]),
        (KeyboardInterrupt(), 130, ["qdebug: interrupted"]),
        (KeyboardInterrupt("nothing done"), 130, ["qdebug: interrupted: nothing done"]),
        (
            OSError(errno.ENOSPC, "No space left on device", "x.json"),
            2,
            [
                "qdebug: error: x.json: No space left on device",
                "hint: check the path, its rights and the room on the disk",
            ],
        ),
        (
            MemoryError(),
            2,
            [
                "qdebug: error: the machine has too little memory for this",
                "hint: try a smaller --max-memory or --limit",
            ],
        ),
        (
            ZeroDivisionError("division by zero"),
            2,
            [
                "qdebug: error: internal error (ZeroDivisionError: division by zero)",
                "hint: run again with --debug and report the traceback",
            ],
        ),
        (
            RunError("bad name two\nlines \x1b[31m\u202e"),
            2,
            [
                "qdebug: error: bad name two\\nlines \\x1b[31m\\u202e",
                f"hint: {RunError.usual_hint}",
            ],
        ),
    ],
)
def test_every_exception_becomes_a_sentence_and_a_code(
    failing: type[_Failing],
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    error: BaseException,
    code: int,
    lines: list[str],
) -> None:
    monkeypatch.setattr(failing, "error", error)
    assert main(["failing"]) == code
    captured = capsys.readouterr()
    assert captured.err.splitlines() == lines
    assert captured.out == ""


def test_debug_shows_the_traceback_before_the_sentence(
    failing: type[_Failing], capsys: Capture
) -> None:
    assert main(["failing", "--debug"]) == ExitCode.NO_VERDICT
    err = capsys.readouterr().err
    assert err.startswith("Traceback (most recent call last):")
    assert err.splitlines()[-2] == "qdebug: error: internal error (RuntimeError: x)"


class _Logging(_Failing):
    """Log, and succeed."""

    examples = ("qdebug logging",)

    def run(self, args: argparse.Namespace) -> int:
        logging.getLogger("qdebug.checks").debug("a check crashed")
        return 0


@pytest.mark.parametrize(
    ("arguments", "err"), [([], ""), (["--debug"], "qdebug.checks: a check crashed\n")]
)
def test_the_log_is_shown_with_debug_only(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, arguments: list[str], err: str
) -> None:
    monkeypatch.setattr(command, "COMMANDS", {**COMMANDS, "logging": f"{__name__}:_Logging"})
    assert main(["logging", *arguments]) == 0
    assert capsys.readouterr().err == err
    assert not logging.getLogger("qdebug").handlers


def test_the_task_of_ones_own_in_the_help_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = command_parser("compare").format_help()
    block = textwrap.dedent(text[text.index("  # depth.py\n") :])
    (tmp_path / "depth.py").write_text(block, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    outputs = [{"depth": np.full((1, 2), value, np.float32)} for value in (3.0, 1.0)]
    effect = user_task("depth.py:measure").judge(*outputs)
    assert effect.facts == {"depth_error": 2.0}
