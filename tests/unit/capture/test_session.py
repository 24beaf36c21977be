"""How runs share processors and memory."""

from __future__ import annotations

import ctypes

import pytest

from qdebug.capture import session
from qdebug.capture.session import SessionSettings, side_by_side

MIB = 1 << 20


@pytest.mark.parametrize(
    ("threads", "memory", "count", "each"),
    [
        (1, 512 * MIB, 1, 1),
        (2, 512 * MIB, 2, 1),
        (16, 512 * MIB, 4, 4),
        (16, 256 * MIB, 2, 8),
        (16, 100 * MIB, 1, 16),
    ],
)
def test_runs_share_processors_and_memory(threads: int, memory: int, count: int, each: int) -> None:
    found, settings = side_by_side(SessionSettings(threads=threads), memory)
    assert (found, settings.threads) == (count, each)


def test_alone_a_run_leaves_the_threads_to_onnx_runtime() -> None:
    alone = SessionSettings(threads=0)
    assert side_by_side(alone, 1) == (1, alone)


def test_a_device_runs_one_after_the_other() -> None:
    device = SessionSettings(threads=8, provider="cuda")
    assert side_by_side(device, 1 << 40) == (1, device)


@pytest.mark.parametrize("error", [OSError, TypeError, AttributeError])
def test_memory_is_released_where_the_library_cannot_trim(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(_: str | None) -> None:
        raise error

    session._malloc_trim.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", without)
    session.release_memory()
    assert session._malloc_trim() is None
    session._malloc_trim.cache_clear()
