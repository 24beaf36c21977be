"""What an import drags in, seen in a clean interpreter."""

from __future__ import annotations

import re
import subprocess
import sys
import time

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


def _imported(statement: str) -> set[str]:
    """Top-level names of the modules that a statement imports."""
    code = f"{statement}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
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


def test_help_is_quick() -> None:
    """150 ms on an idle machine; the best of five, with room for a busy one."""
    code = "from qdebug.cli import main; main(['--help'])"
    took = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
        took.append(time.perf_counter() - started)
    assert min(took) < 0.45
