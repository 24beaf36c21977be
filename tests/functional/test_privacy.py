"""A comparison writes its output and nothing else, and opens no socket.

ONNX Runtime's wheels can record and send events of their own; native code is not seen by Python's
audit hooks, so the system calls themselves are watched.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.functional.conftest import command, environment
from tests.support.graphs import SPEC

PAIR = ("compare", "float.onnx", "quant.onnx", ".", "-p", SPEC)
CACHES = ("MPLCONFIGDIR", "NUMBA_CACHE_DIR")
"""Compiled loops and fonts are kept between runs where these say; not here."""


def _home(tmp_path: Path) -> dict[str, str]:
    """Settings of a user without any file, whose caches are elsewhere."""
    home, caches = tmp_path / "home", tmp_path / "caches"
    home.mkdir()
    places = {"HOME": str(home), "USERPROFILE": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    return places | {name: str(caches / name) for name in CACHES}


STRACE = shutil.which("strace")


@pytest.mark.skipif(STRACE is not None, reason="the test of system calls sees this and more")
def test_nothing_is_written_to_the_users_folders(here: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        command(*PAIR),
        env=environment(**_home(tmp_path)),
        capture_output=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "home").rglob("*")) == []
    assert (here / "quant.qdrun").is_dir()


@pytest.mark.skipif(STRACE is None, reason="needs strace")
@pytest.mark.slow
def test_no_socket_is_opened_and_no_file_written_elsewhere(here: Path, tmp_path: Path) -> None:
    record = tmp_path / "calls"
    watched = "trace=socket,connect,open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2"
    done = subprocess.run(
        ["strace", "-f", "--seccomp-bpf", "-qq", "-e", watched, "-o", str(record), *command(*PAIR)],
        env=environment(**_home(tmp_path)),
        capture_output=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "home").rglob("*")) == []
    assert (here / "quant.qdrun").is_dir()
    calls = record.read_text(errors="replace").splitlines()
    assert any("run.json" in call for call in calls), "the calls were not recorded"
    assert [call for call in calls if re.search(r"\b(socket|connect)\(", call)] == []
    elsewhere = [place for place in map(_written, calls) if place and not _is_ours(place, tmp_path)]
    assert elsewhere == []


def _written(call: str) -> str | None:
    """The path that a call wrote or made; None where it only read, or failed."""
    found = re.search(r'\b(?:open(?:at)?|creat|mkdir(?:at)?)\((?:AT_FDCWD, )?"([^"]*)"(.*)', call)
    if found is None or " = -1 " in call:
        return None
    makes = re.search(r"\b(mkdir|mkdirat|creat)\(", call) is not None
    return found[1] if makes or re.search(r"O_(WRONLY|RDWR|CREAT)", found[2]) else None


def _is_ours(place: str, tmp_path: Path) -> bool:
    is_bytecode = "__pycache__" in place or place.endswith(".pyc")
    is_device = place.startswith(("/dev/", "/proc/self/"))
    inside = not place.startswith("/") or place.startswith(str(tmp_path))
    return is_bytecode or is_device or inside
