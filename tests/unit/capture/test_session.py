"""How runs share processors and memory."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from qdebug.capture import session
from qdebug.capture.session import Session, SessionSettings, side_by_side
from qdebug.graph.model import Graph
from tests.support.nets import NetBuilder

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


@pytest.mark.parametrize("reordered", [False, True])
def test_what_a_transpose_reads_is_not_what_is_quantized_behind_it(*, reordered: bool) -> None:
    b = NetBuilder(0)
    made = b.op("Relu", b.input("x", [1, 2, 6]))
    turned = b.op("Transpose", made, perm=[0, 2, 1])
    step, zero = b.const(0.5), b.const(0, dtype=np.int8)
    real = b.op("DequantizeLinear", b.op("QuantizeLinear", turned, step, zero), step, zero)
    model = b.model(made, real)
    settings = SessionSettings(threads=1, reordered=reordered)
    x = np.linspace(0, 1, 12, dtype=np.float32).reshape(1, 2, 6)
    found = Session(model, Graph(model, Path(), "", is_made=True), settings).run({"x": x})
    assert found[made].tolist() == x.tolist()
    assert found[real].tolist() == (np.rint(x / 0.5) * 0.5).transpose(0, 2, 1).tolist()
