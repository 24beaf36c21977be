"""Which rectangle of a tensor a report shows."""

from __future__ import annotations

import numpy as np
import pytest

from qdebug.capture.crop import MAX_VALUES, crop_window


def window_of(
    shape: tuple[int, ...], axis: int | None, *bad: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Window of a tensor of ones whose quant side is lost at some places."""
    f = np.ones(shape, np.float32)
    q = f.copy()
    for place in bad:
        q[place] = 0
    return crop_window(f, q, axis)


class TestAnImage:
    def test_the_worst_channel_around_the_worst_place(self) -> None:
        start, size = window_of((1, 8, 200, 300), 1, (0, 5, 150, 20))
        assert size == (1, 1, 64, 64)
        assert start[1] == 5
        assert start[2] <= 150 < start[2] + 64
        assert start[3] <= 20 < start[3] + 64

    def test_of_several_dead_channels_the_strongest(self) -> None:
        f = np.ones((1, 4, 10, 10), np.float32)
        f[0, 2] = 3
        q = f.copy()
        q[0, 1:3] = 0
        assert crop_window(f, q, 1)[0][1] == 2

    def test_channels_on_the_last_axis_and_a_second_sample(self) -> None:
        start, size = window_of((2, 10, 12, 3), 3, (1, 4, 4, 2))
        assert (start, size) == ((1, 0, 0, 2), (1, 10, 12, 1))

    def test_a_head_with_anchors(self) -> None:
        start, size = window_of((1, 3, 20, 20, 85), 4, (0, 2, 7, 7, 60))
        assert (start, size) == ((0, 2, 0, 0, 60), (1, 1, 20, 20, 1))


class TestATable:
    @pytest.mark.parametrize(("shape", "axis"), [((1, 84, 8400), 1), ((1, 8400, 84), 2)])
    def test_all_channels_beside_the_worst_boxes(self, shape: tuple[int, ...], axis: int) -> None:
        bad = (0, 50, 5000) if axis == 1 else (0, 5000, 50)
        start, size = window_of(shape, axis, bad)
        boxes = 3 - axis
        assert size[axis] == 84
        assert size[boxes] == MAX_VALUES // 84
        assert start[boxes] <= 5000 < start[boxes] + size[boxes]

    def test_a_weak_dead_channel_draws_the_eye_from_a_strong_sound_one(self) -> None:
        f = np.ones((1, 2000, 5), np.float32) * 0.5
        f[..., 0] = 600
        q = f.copy()
        q[0, :, 0] += 1
        q[0, 1500, 4] = 0
        f[0, 1500, 4] = 0.9
        start, size = crop_window(f, q, 2)
        assert start[1] <= 1500 < start[1] + size[1]

    def test_a_vector_and_a_single_value(self) -> None:
        assert window_of((1, 1000), 1, (0, 7)) == ((0, 0), (1, 1000))
        assert window_of((1, 9000), 1, (0, 8999)) == ((0, 9000 - MAX_VALUES), (1, MAX_VALUES))
        assert window_of((), None) == ((), ())
        assert window_of((1, 1), 1, (0, 0)) == ((0, 0), (1, 1))


class TestOddValues:
    def test_equal_sides_show_the_largest_values(self) -> None:
        f = np.zeros((1, 1, 200, 200), np.float32)
        f[0, 0, 180, 180] = 1
        start, size = crop_window(f, f, 1)
        assert start[2] + size[2] > 180
        assert start[3] + size[3] > 180

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_values_that_are_not_finite(self, value: float) -> None:
        f = np.ones((1, 3, 70, 70), np.float32)
        q = f.copy()
        q[0, 1] = value
        start, size = crop_window(f, q, 1)
        assert start[1] == 1
        assert size == (1, 1, 64, 64)

    def test_it_never_holds_more_than_it_may(self) -> None:
        rng = np.random.default_rng(3)
        for _ in range(200):
            axes = int(rng.integers(0, 5))
            most = (1, 3 * MAX_VALUES, 300, 60, 25)[axes]  # some tensors of each are too large
            shape = tuple(int(n) for n in rng.integers(1, most, axes))
            axis = int(rng.integers(len(shape))) if shape and rng.random() < 0.7 else None
            f = rng.normal(size=shape).astype(np.float32)
            start, size = crop_window(f, f + rng.normal(size=shape).astype(np.float32), axis)
            assert np.prod(size, dtype=int) <= MAX_VALUES
            assert all(
                a >= 0 and a + n <= whole for a, n, whole in zip(start, size, shape, strict=True)
            )
            assert sum(n > 1 for n in size) <= 2
