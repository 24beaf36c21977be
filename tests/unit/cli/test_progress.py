"""Progress on stderr."""

from __future__ import annotations

import io
import sys

import pytest

from qdebug.cli import progress as module
from qdebug.cli.progress import PlainProgress, progress_on_stderr
from qdebug.progress import Progress, Silent

Capture = pytest.CaptureFixture[str]


class _Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    made = _Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def _work(progress: Progress) -> None:
    progress.stage("running the models", 4)
    progress.note("one segment")
    progress.advance()


def test_a_log_gets_a_line_every_ten_seconds(clock: _Clock, capsys: Capture) -> None:
    progress = PlainProgress(verbose=False)
    _work(progress)
    assert capsys.readouterr().err == ""
    clock.now = 10.0
    progress.advance()
    progress.advance()
    assert capsys.readouterr().err == "qdebug: running the models 2/4\n"
    clock.now = 25.0
    progress.stage("measuring")
    assert capsys.readouterr().err == "qdebug: measuring\n"


def test_verbose_tells_stages_and_notes(capsys: Capture) -> None:
    with progress_on_stderr(quiet=False, verbose=True) as progress:
        _work(progress)
    assert capsys.readouterr().err == "qdebug: running the models\nqdebug: one segment\n"


def test_quiet_is_silent(capsys: Capture) -> None:
    with progress_on_stderr(quiet=True, verbose=True) as progress:
        assert isinstance(progress, Silent)
        _work(progress)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_a_terminal_gets_a_bar_that_vanishes(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress_on_stderr(quiet=False, verbose=True) as progress:
        _work(progress)
        progress.stage("measuring [bold]hostile[/bold]")
        progress.advance()
    shown = terminal.getvalue()
    assert "running the models" in shown
    assert "measuring [bold]hostile[/bold]" in shown
    assert "0/4" in shown
    assert "/?" not in shown
    assert "qdebug: one segment" in shown
    assert shown.endswith("\x1b[2K")
    assert capsys.readouterr().out == ""
