"""What of the kernels does not show in the moments: what they count, and what they refuse."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from qdebug.metrics import kernels
from qdebug.metrics.metric import FIELDS
from qdebug.metrics.moments import Moments, measure

Array = npt.NDArray[Any]


def test_a_process_that_measures_needs_no_numba() -> None:
    program = (
        "import sys, numpy as np\n"
        "from qdebug.metrics.histogram import PairHistogram\n"
        "from qdebug.metrics.moments import measure\n"
        "f = np.ones((2, 3), np.float32)\n"
        "assert measure(f, f + 1).ee == 6\n"
        "PairHistogram().add(f.reshape(-1), f.reshape(-1))\n"
        "assert 'numba' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=100)


def test_kernels_take_arrays_that_cannot_be_written_to() -> None:
    f = np.arange(6, dtype=np.float32)
    f.flags.writeable = False
    assert kernels.clipped(f, f + np.float32(1), 1.0, 4.0) == (2, 2)


def test_what_lies_on_a_limit_is_not_clipped_and_nan_is_not_either() -> None:
    f = np.array([-1, -1.5, 2, 2.5, np.nan], np.float32)
    q = np.array([-1, -1, 2, 2, 0], np.float32)
    assert kernels.clipped(f, q, -1.0, 2.0) == (2, 0.5)


def test_codes_beyond_the_ends_are_the_last_ones() -> None:
    seen = np.zeros(4, np.bool_)
    values = np.array([-9, 0.4, 99, np.inf], np.float32)
    kernels.mark_codes(values, 0.0, 1.0, seen)
    assert seen.tolist() == [True, False, False, True]


def test_halves_are_rounded_to_the_even_code() -> None:
    seen = np.zeros(6, np.bool_)
    kernels.mark_codes(np.array([0.5, 3.5], np.float32), 0.0, 1.0, seen)
    assert np.flatnonzero(seen).tolist() == [0, 4]


def test_every_second_value_is_counted() -> None:
    values = np.array([0, 100, 1, 100, 2, 100], np.float32)[::2]
    counts = np.zeros(3, np.int64)
    kernels.count_in_bins(values, 0.0, 1.0, counts)
    assert counts.tolist() == [1, 1, 1]
    assert kernels.finite_range(values) == (0, 2)


def test_backward_askew_and_repeated_values_are_counted_too() -> None:
    values = np.arange(6, dtype=np.float32)
    askew = np.frombuffer(b"x" + values.tobytes(), np.float32, offset=1)
    assert not askew.flags.aligned
    for same in (values[::-1], askew, np.broadcast_to(values[3:4], (5,))):
        assert kernels.finite_range(same) == (float(same.min()), float(same.max()))


@pytest.mark.parametrize("array", [
    np.zeros(3), np.zeros((4, 5))[1:, 2:], np.broadcast_to(np.float32(1), (3, 2)), np.zeros((0, 3)),
])  # fmt: skip
def test_an_array_says_where_its_values_begin(array: Array) -> None:
    assert kernels._address(array) == array.ctypes.data


F = np.zeros((2, 3, 4), np.float32)
READ_ONLY = np.zeros((3, len(FIELDS)))
READ_ONLY.flags.writeable = False
FLAT, COUNTS, TABLE = F.reshape(-1), np.zeros(4, np.int64), np.zeros((3, len(FIELDS)))


@pytest.mark.parametrize(
    ("kernel", "arguments"),
    [
        (kernels.add_pairs, ([(F.astype(np.float64), F, TABLE)],)),
        (kernels.add_pairs, ([(F, F.astype(">f4"), TABLE)],)),
        (kernels.add_pairs, ([(F, F[:1], TABLE)],)),
        (kernels.add_pairs, ([(F, F.transpose(), TABLE)],)),
        (kernels.add_pairs, ([(F[:, :, ::2], F[:, :, ::2], TABLE)],)),
        (kernels.add_pairs, ([(F, F, TABLE[:2])],)),
        (kernels.add_pairs, ([(F, F, TABLE[:, :-1])],)),
        (kernels.add_pairs, ([(F, F, TABLE.astype(np.float32))],)),
        (kernels.add_pairs, ([(F, F, READ_ONLY)],)),
        (kernels.add_pairs, ([(F, F.tolist(), TABLE)],)),
        (kernels.add_pairs, ([(FLAT, FLAT, TABLE)],)),
        (kernels.add_pairs, ([(F, F, TABLE), (F, F, TABLE[:2])],)),
        (kernels.clipped, (FLAT, FLAT[1:], 0.0, 1.0)),
        (kernels.clipped, (FLAT[::2], FLAT[::2], 0.0, 1.0)),
        (kernels.finite_range, (FLAT.astype(np.float64),)),
        (kernels.finite_range, (F,)),
        (kernels.count_in_bins, (FLAT, 0.0, 1.0, COUNTS.astype(np.int32))),
        (kernels.count_in_bins, (FLAT, 0.0, 1.0, COUNTS[:0])),
        (kernels.count_in_bins, (FLAT, 0.0, 1.0, COUNTS[::2])),
        (kernels.add_weighted, (FLAT, FLAT[1:], 1.0, np.zeros((4, 8)), np.zeros(3))),
        (kernels.add_weighted, (FLAT, FLAT, 1.0, np.zeros((3, 8)), np.zeros(3))),
        (kernels.add_weighted, (FLAT, FLAT, 1.0, np.zeros((4, 0)), np.zeros(3))),
        (kernels.add_weighted, (FLAT, FLAT, 1.0, np.zeros((4, 8)), np.zeros(2))),
        (kernels.mark_codes, (FLAT, 0.0, 1.0, np.zeros(4, np.uint8))),
        (kernels.mark_codes, (FLAT, 0.0, 1.0, np.zeros(0, np.bool_))),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    kernel: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    with pytest.raises(TypeError):
        kernel(*arguments)


@pytest.mark.parametrize("shape", [(0, 3, 5), (2, 0, 5), (2, 3, 0), (0, 4, 1), (4, 0, 1), (0,)])
def test_of_no_values_nothing_is_added(shape: tuple[int, ...]) -> None:
    nothing = np.zeros(shape, np.float32)
    axis = 1 if len(shape) == 3 else None
    table = measure(nothing, nothing, axis).table
    assert np.array_equal(table, Moments.empty(len(table)).table)


def test_flat_arrays_without_a_value() -> None:
    nothing, sums, zeros = np.zeros(0, np.float32), np.zeros((4, 8)), np.zeros(3)
    counts, seen = np.zeros(2, np.int64), np.zeros(2, np.bool_)
    assert kernels.finite_range(nothing) == (np.inf, -np.inf)
    assert kernels.clipped(nothing, nothing, 0.0, 1.0) == (0, 0)
    kernels.count_in_bins(nothing, 0.0, 1.0, counts)
    kernels.mark_codes(nothing, 0.0, 1.0, seen)
    kernels.add_weighted(nothing, nothing, 1.0, sums, zeros)
    assert not (counts.any() or seen.any() or sums.any() or zeros.any())


@pytest.mark.parametrize("low", [np.nan, np.inf, -np.inf, 1e300, -1e300])
def test_bins_that_lie_nowhere_lead_nowhere_else(low: float) -> None:
    values, room = np.arange(9, dtype=np.float32), np.zeros(12, np.int64)
    kernels.count_in_bins(values, low, 1.0, room[4:8])
    assert (room[4:8].sum(), room.sum()) == (9, 9)
    seen = np.zeros(12, np.bool_)
    kernels.mark_codes(values, low, 1.0, seen[4:8])
    assert (seen[4:8].sum(), seen.sum()) == (1, 1)


@pytest.mark.parametrize("axis", [None, 1])
def test_what_lay_in_memory_before_is_not_counted(
    monkeypatch: pytest.MonkeyPatch, axis: int | None
) -> None:
    f = np.arange(30, dtype=np.float32).reshape(6, 5)
    expected = measure(f, f + np.float32(1), axis).table
    empty = np.empty

    def used(*args: Any, **kwargs: Any) -> Array:
        array = empty(*args, **kwargs)
        array[...] = np.nan
        return array

    monkeypatch.setattr(np, "empty", used)
    assert np.array_equal(measure(f, f + np.float32(1), axis).table, expected)
