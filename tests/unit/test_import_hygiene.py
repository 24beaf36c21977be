"""What an import drags in, seen in a clean interpreter."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT

_SHOWING = ("rich", "textual", "matplotlib")
_SHOWS = {"cli", "reporters", "tui"}
_ENGINE = sorted(
    file.parent.name
    for file in (ROOT / "qdebug").glob("*/__init__.py")
    if file.parent.name not in _SHOWS
)
_HEAVY = ("numpy", "onnx", "onnxruntime", "cv2", "PIL", "jinja2", *_SHOWING)


_ELSEWHERE = {
    "ssl": "URLs",
    "http": "URLs",
    "asyncio": "the browser",
    "multiprocessing": "--workers",
    "qdebug.sharding.local": "--workers",
    "qdebug.vendors.encodings": "a toolchain's file",
    "qdebug.vendors.rknn": "a toolchain's file",
    "qdebug.encodings": "a toolchain's file",
    "qdebug.board.measure": "--board",
    "qdebug.dumps": "--board",
    "qdebug.preprocess.infer": "no -p",
    "qdebug.preprocess.recover": "--fed",
    "qdebug.options.tune": "qdebug tune",
    "qdebug.cure": "qdebug tune, or a ranking",
}
"""What takes long to load, and where it is needed: not by a comparison of two graphs."""


def _imported(statement: str) -> set[str]:
    """Top-level names of the modules that a statement imports."""
    return {name.partition(".")[0] for name in _modules(statement)}


def _modules(statement: str) -> set[str]:
    """Names of the modules that are loaded after a statement."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import qdebug",
        "from qdebug.cli import main",
        "from qdebug.cli.parser import main_help; main_help()",
        "from qdebug.cli.parser import command_parser as p; p('compare').format_help()",
        "import qdebug.errors, qdebug.plugins, qdebug.progress",
    ],
)
def test_starting_up_imports_nothing_heavy(statement: str) -> None:
    assert not _imported(statement) & set(_HEAVY)


@pytest.mark.parametrize("package", _ENGINE)
def test_the_engine_does_not_know_how_it_is_shown(package: str) -> None:
    code = (
        f"import importlib, pkgutil, qdebug.{package} as package\n"
        "for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "    importlib.import_module(module.name)"
    )
    assert not _imported(code) & set(_SHOWING)


def test_every_package_of_the_engine_is_under_contract() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    contract = text.partition("The engine does not know how it is shown")[2].partition("]")[0]
    assert set(re.findall(r'"qdebug\.(\w+)"', contract)) == set(_ENGINE)


def test_showing_a_run_needs_neither_the_engine_nor_heavy_libraries() -> None:
    found = _imported("import qdebug.reporters.console, qdebug.run.store")
    assert not found & {"onnx", "onnxruntime", "cv2", "matplotlib", "textual"}


def test_a_comparison_of_two_graphs_loads_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    samples = ROOT / "sample_models"
    models = [str(samples / "classifier" / name) for name in ("float.onnx", "int8.onnx")]
    picture = str(min((samples / "pictures" / "objects").glob("*.jpg")))
    numbers = "mean 123.675,116.28,103.53 std 58.395,57.12,57.375"
    spec = f"resize 96x96 cv2 linear | rgb | {numbers} | nchw"
    words = ["compare", *models, picture, "-p", spec, "-q", "-o", str(tmp_path / "a.qdrun")]
    found = _modules(f"from qdebug.cli import main\nassert main({words!r}) == 0")
    assert "qdebug.checks.mixed_range" in found
    assert not found & set(_ELSEWHERE)


def test_sensitivity_waits_for_no_compiler() -> None:
    assert "numba" not in _imported("import qdebug.comparison.sensitivity")


def test_help_is_quick() -> None:
    """150 ms on an idle machine; the best of five, with room for a busy one."""
    code = "from qdebug.cli import main; main(['--help'])"
    took = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
        took.append(time.perf_counter() - started)
    assert min(took) < 0.45


@pytest.mark.parametrize(("given", "expected"), [(None, "4"), ("20", "20")])
def test_the_command_lets_no_thread_of_numpy_spin(given: str | None, expected: str) -> None:
    """Unless its user has chosen otherwise."""
    statement = (
        "import os, sys; sys.argv = ['qdebug', '--version']; from qdebug.__main__ import main\n"
        "main(); print(os.environ['OPENBLAS_THREAD_TIMEOUT'])"
    )
    environment = {**os.environ, "OPENBLAS_THREAD_TIMEOUT": given or ""}
    if given is None:
        del environment["OPENBLAS_THREAD_TIMEOUT"]
    done = subprocess.run(
        [sys.executable, "-c", statement],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split()[-1] == expected
