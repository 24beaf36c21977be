"""What stdout can show."""

from __future__ import annotations

import io
import sys

import pytest
from rich.text import Text

from qdebug.cli import terminal


class _Stdout(io.TextIOWrapper):
    def __init__(self, encoding: str = "utf-8", tty: bool = False) -> None:
        self.bytes = io.BytesIO()
        super().__init__(self.bytes, encoding=encoding, errors="backslashreplace", newline="")
        self._tty = tty

    def isatty(self) -> bool:
        return self._tty


@pytest.mark.parametrize(
    ("color", "environment", "tty", "wanted"),
    [
        ("auto", {}, True, True),
        ("auto", {}, False, False),
        ("auto", {"NO_COLOR": "1"}, True, False),
        ("auto", {"NO_COLOR": ""}, True, True),
        ("auto", {"FORCE_COLOR": "1"}, False, True),
        ("auto", {"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
        ("auto", {"TERM": "dumb"}, True, False),
        ("always", {"NO_COLOR": "1"}, False, True),
        ("never", {"FORCE_COLOR": "1"}, True, False),
    ],
)
def test_colours(
    monkeypatch: pytest.MonkeyPatch,
    color: terminal.Color,
    environment: dict[str, str],
    tty: bool,
    wanted: bool,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    stdout = _Stdout(tty=tty)
    monkeypatch.setattr(sys, "stdout", stdout)
    assert terminal.wants_color(color) is wanted
    terminal.write_styled(Text("word", style="bold red"), color)
    assert (b"\x1b[" in stdout.bytes.getvalue()) is wanted


@pytest.mark.parametrize(
    ("columns", "tty", "width"),
    [("72", True, 72), ("10", True, 40), ("500", True, 120), ("", False, 100), ("x", False, 100)],
)
def test_width(monkeypatch: pytest.MonkeyPatch, columns: str, tty: bool, width: int) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(sys, "stdout", _Stdout(tty=tty))
    assert terminal.columns() == width


@pytest.mark.parametrize(
    ("encoding", "able"), [("utf-8", True), ("cp1252", False), ("ascii", False), ("cp437", False)]
)
def test_encodings(monkeypatch: pytest.MonkeyPatch, encoding: str, able: bool) -> None:
    monkeypatch.setattr(sys, "stdout", _Stdout(encoding))
    assert terminal.speaks_unicode() is able


def test_lines_are_written_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = _Stdout()
    monkeypatch.setattr(sys, "stdout", stdout)
    text = "a[/b]c :smile: [bold]x 192.168.0.1 " + "y" * 300 + "\n"
    terminal.write_styled(Text(text), "auto")
    assert stdout.bytes.getvalue().decode() == text


def test_no_stdout_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    terminal.write("text")
    assert terminal.columns() == 100
    assert not terminal.speaks_unicode()
