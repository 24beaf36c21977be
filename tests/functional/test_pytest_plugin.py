"""The fixtures, used by a repository of its own in a pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_TEST = """
def test_int8(qdebug_compare, qdebug_baseline):
    run = qdebug_compare("float.onnx", "quant.onnx", "photo_0.png")
    assert qdebug_compare("float.onnx", "quant.onnx", "photo_0.png") is run
    qdebug_baseline(run, "baselines/int8.zip")
"""
_WORSE = """
import dataclasses

def test_int8(qdebug_compare, qdebug_baseline):
    run = qdebug_compare("float.onnx", "quant.onnx", "photo_0.png")
    layers = tuple(
        dataclasses.replace(
            x, accumulated=dataclasses.replace(x.accumulated, sqnr_db=x.accumulated.sqnr_db - 20)
        )
        if x.accumulated else x
        for x in run.layers
    )
    qdebug_baseline(dataclasses.replace(run, layers=layers), "baselines/int8.zip")
"""


def _pytest(folder: Path, *options: str) -> tuple[int, str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        env=environment,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_a_repository_holds_its_model_against_a_baseline(here: Path) -> None:
    (here / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (here / "test_model.py").write_text(_TEST, encoding="utf-8")
    code, said = _pytest(here)
    assert code == 1
    assert "pytest --qdebug-update writes it" in said
    code, said = _pytest(here, "--qdebug-update", "--qdebug-reports", "reports")
    assert code == 0, said
    assert (here / "baselines" / "int8.zip").is_file()
    assert [path.name for path in (here / "reports").iterdir()] == ["quant.html"]
    code, said = _pytest(here)
    assert code == 0, said
    (here / "test_model.py").write_text(_WORSE, encoding="utf-8")
    code, said = _pytest(here)
    assert code == 1
    assert "accumulated SQNR" in said
    assert "regressions" in said


def test_the_fixtures_are_documented_and_load_nothing_of_qdebug(tmp_path: Path) -> None:
    code, said = _pytest(tmp_path, "--fixtures")
    assert code in (0, 5), said
    for name in ("qdebug_compare", "qdebug_baseline"):
        assert name in said
    check = "import qdebug.pytest_plugin, sys; print('numpy' in sys.modules, 'onnx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
