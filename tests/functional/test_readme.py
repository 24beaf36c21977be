"""Every qdebug command in the README runs, and what it promises is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from qdebug.config import load_config
from qdebug.run.store import load_run
from tests.conftest import ROOT
from tests.functional.conftest import Cli, Result

README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def _commands() -> list[list[str]]:
    lines = [line for block in _blocks("console") for line in block.splitlines()]
    return [shlex.split(line[2:]) for line in lines if line.startswith("$ qdebug ")]


@pytest.fixture(scope="module")
def _checkout(tmp_path_factory: pytest.TempPathFactory, sample_models: Path) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "sample_models").symlink_to(sample_models, target_is_directory=True)
    return folder


@pytest.fixture
def checkout(_checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the sample models in it, the same one for every test."""
    monkeypatch.chdir(_checkout)
    return _checkout


@pytest.fixture(scope="module")
def _first() -> list[Result]:
    """What the first command left behind, once it has run."""
    return []


@pytest.fixture
def first(checkout: Path, cli: Cli, _first: list[Result]) -> Result:
    """What the first command leaves behind: a reader types it once, and goes on from its run."""
    if not _first:
        _first.append(cli(*_commands()[0][1:]))
    return _first[0]


def test_every_command_runs(first: Result, cli: Cli) -> None:
    (_, *begun), *others = _commands()
    assert len(others) >= 5
    results = [(begun, first), *((arguments, cli(*arguments)) for _, *arguments in others)]
    for arguments, result in results:
        assert result.code in (0, 1), (arguments, result.err)
        assert "error" not in result.err
        assert result.out


def test_the_first_command_ends_in_a_summary_and_a_run(first: Result) -> None:
    setup = _blocks("bash")[0].strip()
    arguments = shlex.split(setup.rpartition(".venv/bin/qdebug ")[2])
    assert arguments == _commands()[0][1:]
    assert "Wrote  int8_naive.qdrun" in first.out
    run = load_run("int8_naive.qdrun")
    assert first.code == run.exit_code
    assert f"{run.verdict.status.upper()}  " in first.out


def _words(text: str) -> str:
    """Text without its numbers, which differ a little between processors, and its layout."""
    return " ".join(re.sub(r"\d+(\.\d+)?", "#", text).split())


def test_the_output_it_shows_is_what_is_printed(first: Result) -> None:
    (shown,) = _blocks("text")
    printed = _words(first.out)
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
