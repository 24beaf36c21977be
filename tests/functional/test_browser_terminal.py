"""The browser in a real pseudo terminal: what only the way through a terminal can break."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qdebug.run.store import RunWriter
from tests.support import synthetic_run

pty = pytest.importorskip("pty", reason="there are no pseudo terminals here")
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]P_^].*?(?:\x07|\x1b\\)|\x1b.")


def _read(terminal: int, until: str, seconds: float) -> str:
    """What is drawn until a text is there; escape sequences are left out."""
    seen, end = "", time.monotonic() + seconds
    while until not in _ESCAPES.sub("", seen) and time.monotonic() < end:
        if select.select([terminal], [], [], 0.1)[0]:
            seen += os.read(terminal, 65536).decode("utf-8", "replace")
    return _ESCAPES.sub("", seen)


def test_keys_sent_at_once_reach_the_filter(tmp_path: Path) -> None:
    run = synthetic_run(layers=60, samples=2)
    stored = tmp_path / "a.qdrun"
    with RunWriter(stored) as writer:
        writer.commit(run, run.arrays)
    joins = sum(layer.op == "Concat" for layer in run.layers)
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
    command = [sys.executable, "-m", "qdebug", "browse", str(stored)]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    try:
        assert "60 of 60" in _read(ours, "60 of 60", 30)
        os.write(ours, b"/op:Concat\r")
        seen = _read(ours, f"{joins} of 60", 15)
        assert f"{joins} of 60" in seen
        assert "Esc closes" not in seen
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)
