"""How far a bias is corrected: as far as the pictures agree."""

from __future__ import annotations

import numpy as np

from qdebug.cure.bias import shrunk


def test_what_pictures_agree_on_is_corrected_in_full() -> None:
    apart = np.array([[0.5, -1.0], [0.5, -1.0], [0.5, -1.0]])
    np.testing.assert_allclose(shrunk(apart), [0.5, -1.0])


def test_what_they_do_not_agree_on_is_left() -> None:
    apart = np.array([[1.0, 0.4], [-1.0, 0.6], [1.0, 0.5], [-0.9, 0.5]])
    found = shrunk(apart)
    assert found[0] == 0
    assert 0.48 < found[1] < 0.5


def test_shrinking_errs_less_than_the_mean() -> None:
    """Of many channels whose true mean error is small beside what single pictures add."""
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 0.2, 4000)
    apart = truth + rng.normal(0, 1, (6, 4000))
    assert np.square(shrunk(apart) - truth).sum() < np.square(apart.mean(axis=0) - truth).sum()
