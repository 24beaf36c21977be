"""Fixtures for the tests of model repositories; pytest finds them by itself.

Nothing of qdebug is imported before a test asks for a fixture: pytest loads this module in every
project of the environment.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from qdebug.run.model import Run

_Path = str | os.PathLike[str]


class Compare(Protocol):
    """What the fixture ``qdebug_compare`` gives: ``qdebug.compare``, remembered for a session."""

    def __call__(
        self, float_model: _Path, quant_model: _Path, inputs: _Path, **options: Any
    ) -> Run:
        """The run of FLOAT, QUANT and INPUTS."""
        ...


class Baseline(Protocol):
    """What the fixture ``qdebug_baseline`` gives: an assertion."""

    def __call__(self, run: Run, path: _Path) -> None:
        """Fail where a run is worse than the stored one."""
        ...


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the two options."""
    group = parser.getgroup("qdebug", "accuracy of quantized models")
    group.addoption(
        "--qdebug-reports", metavar="DIR", help="write the HTML report of every comparison there"
    )
    group.addoption(
        "--qdebug-update", action="store_true", help="replace baselines by the runs of this session"
    )


@pytest.fixture(scope="session")
def qdebug_compare(pytestconfig: pytest.Config) -> Compare:
    """Compare two models: ``qdebug_compare(FLOAT, QUANT, INPUTS, **options)`` returns a run.

    Options are those of ``qdebug.compare``. Relative paths count from pytest's root directory.
    Equal requests are compared once a session. With ``--qdebug-reports DIR`` the HTML report of
    each comparison is written to ``DIR/QUANT.html``.
    """
    root = pytestconfig.rootpath
    reports = pytestconfig.getoption("--qdebug-reports")
    done: dict[str, Run] = {}

    def compare(float_model: _Path, quant_model: _Path, inputs: _Path, **options: Any) -> Run:
        import qdebug

        request = [root / path for path in (float_model, quant_model, inputs)]
        key = repr((request, sorted(options.items())))
        if key not in done:
            done[key] = qdebug.compare(*request, **options)
            if reports:
                _write_report(done[key], root / reports, request[1].stem)
        return done[key]

    return compare


@pytest.fixture
def qdebug_baseline(pytestconfig: pytest.Config) -> Baseline:
    """Assert that a run is no worse than a stored one: ``qdebug_baseline(RUN, "NAME.zip")``.

    Judged as ``qdebug diff`` judges. Without the file the test fails and says how to make it:
    ``pytest --qdebug-update`` writes or replaces it.
    """
    update = pytestconfig.getoption("--qdebug-update")

    def assert_no_worse(run: Run, path: _Path) -> None:
        __tracebackhide__ = True
        from qdebug.testing import assert_no_regression

        file = pytestconfig.rootpath / path
        if update:
            file.parent.mkdir(parents=True, exist_ok=True)
            run.report(file, force=True)
        elif not file.exists():
            pytest.fail(f"there is no baseline {path}; pytest --qdebug-update writes it", False)
        else:
            assert_no_regression(run, file)

    return assert_no_worse


def _write_report(run: Run, folder: Path, name: str) -> None:
    """The report under the quant model's name; further ones of that name get a number."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = sum(1 for _ in folder.glob(f"{name}*.html"))
    run.to_html(folder / (f"{name}-{taken + 1}.html" if taken else f"{name}.html"), force=True)
