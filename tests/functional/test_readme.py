"""Every qdebug command in the README runs, and what it promises is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from qdebug.config import load_config
from qdebug.run.store import load_run
from tests.conftest import ROOT
from tests.functional.conftest import Cli

README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def _commands() -> list[list[str]]:
    lines = [line for block in _blocks("console") for line in block.splitlines()]
    return [shlex.split(line[2:]) for line in lines if line.startswith("$ qdebug ")]


@pytest.fixture
def checkout(tmp_path: Path, sample_models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the sample models in it."""
    (tmp_path / "sample_models").symlink_to(sample_models, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_command_runs(checkout: Path, cli: Cli) -> None:
    commands = _commands()
    assert len(commands) >= 6
    for _, *arguments in commands:
        result = cli(*arguments)
        assert result.code in (0, 1), (arguments, result.err)
        assert "error" not in result.err
        assert result.out


def test_the_first_command_ends_in_a_summary_and_a_run(checkout: Path, cli: Cli) -> None:
    setup = _blocks("bash")[0].strip()
    arguments = shlex.split(setup.rpartition(".venv/bin/qdebug ")[2])
    assert arguments == _commands()[0][1:]
    result = cli(*arguments)
    assert "Wrote  int8_naive.qdrun" in result.out
    run = load_run("int8_naive.qdrun")
    assert result.code == run.exit_code
    assert f"{run.verdict.status.upper()}  " in result.out


def _words(text: str) -> str:
    """Text without its numbers, which differ a little between processors, and its layout."""
    return " ".join(re.sub(r"\d+(\.\d+)?", "#", text).split())


def test_the_output_it_shows_is_what_is_printed(checkout: Path, cli: Cli) -> None:
    (shown,) = _blocks("text")
    printed = _words(cli(*_commands()[0][1:]).out)
    for part in shown.strip().split("\n\n"):
        assert _words(part) in printed


def test_the_ci_script_runs_the_test_command_of_the_readme() -> None:
    command = _blocks("bash")[1].strip().rpartition(".venv/bin/")[2]
    assert command.startswith("python -m pytest")
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1] == command


def test_the_settings_are_understood(tmp_path: Path) -> None:
    file = tmp_path / "qdebug.toml"
    file.write_text(_blocks("toml")[0], encoding="utf-8")
    config = load_config(file)
    assert config.settings["fail_on"] == "warning"
    assert [limit.metric for limit in config.limits] == ["cosine", "sqnr_db", "task.f1"]
    assert config.overrides[0].match == "/model.22/*"


def test_the_python_example_runs(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(_blocks("python")[0], "README.md", "exec"))
    assert capsys.readouterr().out.split()[0] in ("pass", "warn", "fail")
