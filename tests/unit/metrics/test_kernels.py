"""What of the kernels does not show in the moments: where they are kept, and what they count."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pytest

from qdebug.metrics import kernels

Array = npt.NDArray[Any]


@pytest.mark.parametrize(
    "error", [RuntimeError("no locator available"), OSError(28, "No space left on device")]
)
def test_without_a_place_for_a_cache_a_kernel_is_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    real = numba.njit

    def njit(*args: Any, cache: bool = False, **options: Any) -> Any:
        if cache:
            raise error
        return real(*args, **options)

    monkeypatch.setattr(numba, "njit", njit)

    @kernels._kernel(numba.float64(numba.float64))
    def twice(value: float) -> float:
        return 2 * value

    assert twice(21.0) == 42.0


def test_kernels_kept_for_other_sums_have_another_name() -> None:
    @kernels._kernel(numba.float64(numba.float64))
    def half(value: float) -> float:
        return value / 2

    key = kernels._KEY.hexdigest()[:12]
    assert half.__qualname__.endswith(key)  # the name of the kept file
    assert half(21.0) == 10.5


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
