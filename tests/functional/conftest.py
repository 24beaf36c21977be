"""Running the real command, in this process or in one of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from qdebug.cli import main
from tests.support import graphs, pictures


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str


Cli = Callable[..., Result]


@pytest.fixture(scope="session")
def _pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pair")
    graphs.write_pair(folder)
    for number in range(3):
        Image.fromarray(pictures.scene(number)).save(folder / f"photo_{number}.png")
    return folder


@pytest.fixture
def here(_pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with ``float.onnx``, ``quant.onnx`` and ``photo_[0-2].png``."""
    folder = tmp_path / "here"
    shutil.copytree(_pair, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Cli:
    """``qdebug ARGUMENTS`` in this process, with everything that reaches the two streams."""

    def run(*arguments: str) -> Result:
        capfd.readouterr()
        code = main(arguments)
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    return run


def command(*arguments: str) -> list[str]:
    """``python -m qdebug ARGUMENTS``."""
    return [sys.executable, "-m", "qdebug", *arguments]


def environment(**changes: str) -> dict[str, str]:
    """This process's environment, changed, with this checkout importable from anywhere."""
    root = str(Path(__file__).resolve().parents[2])
    return {**os.environ, "PYTHONPATH": root, "PYTHONUTF8": "0", **changes}


def run_in_process_of_its_own(
    *arguments: str, **changes: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the command with changes to the environment."""
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        check=False,
        env=environment(**changes),
        timeout=100,
    )


@pytest.fixture
def shots(here: Path) -> Path:
    """The working directory with six more photos in ``shots``, and a range that is too wide."""
    model = onnx.load(here / "quant.onnx")
    (scale,) = (t for t in model.graph.initializer if t.name == "t2_s")
    scale.CopyFrom(onnx.numpy_helper.from_array(np.float32(600 / 255), "t2_s"))
    onnx.save(model, here / "quant.onnx")
    onnx.save(model, here / "old.onnx")
    folder = here / "shots"
    folder.mkdir()
    for number in range(6):
        Image.fromarray(pictures.scene(number)).save(folder / f"{number}.png")
    return here
