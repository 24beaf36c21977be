"""Fixtures of the whole suite: a calm environment, golden files, real models."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent
ZOO = ROOT.parent / "shared" / "zoo"
GOLDEN = Path(__file__).parent / "golden"

Golden = Callable[[str, str], None]

# The same examples in every run: what fails here fails everywhere.
hypothesis.settings.register_profile("repeatable", derandomize=True)
hypothesis.settings.load_profile("repeatable")


def pytest_configure(config: pytest.Config) -> None:
    """Workers that share the machine get processors of their own.

    Each would start a thread for every processor otherwise, and they would wait for one another.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0"))
    if not workers or not hasattr(os, "sched_setaffinity"):
        return
    number = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
    allowed = sorted(os.sched_getaffinity(0))
    if own := allowed[number % workers :: workers]:
        os.sched_setaffinity(0, own)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Neighbouring tests go to one worker: both would make what those of a file share.

    That is in place of the default; what ``--dist`` asks for stays.
    """
    if config.getoption("dist") != "load":
        return None
    from xdist.scheduler import WorkStealingScheduling  # type: ignore[import-untyped, unused-ignore]

    return WorkStealingScheduling(config, log)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write the golden files instead of comparing"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that use the ``zoo`` fixture are ``zoo`` tests."""
    for item in items:
        if "zoo" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.zoo)
        if item.get_closest_marker("zoo") and not ZOO.is_dir():
            reason = "the folder of real models, ../shared/zoo, is not beside this checkout"
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def _calm_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Terminal settings of the machine that runs the tests do not reach them."""
    for name in ("NO_COLOR", "FORCE_COLOR", "QDEBUG_ASCII", "SOURCE_DATE_EPOCH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture(scope="session")
def zoo() -> Path:
    """The folder of real models."""
    return ZOO


@pytest.fixture(scope="session")
def sample_models() -> Path:
    """The trained pairs of this repository."""
    return ROOT / "sample_models"


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compare a text with ``tests/golden/NAME``, byte for byte."""
    update = bool(request.config.getoption("--update-golden"))

    def check(name: str, text: str) -> None:
        file = GOLDEN / name
        if update:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text.encode())
        assert text == file.read_bytes().decode(), f"{name}: see --update-golden"

    return check
