"""Which pictures decide, and which are refused."""

from __future__ import annotations

import numpy as np
import pytest

from qdebug.cure.pictures import MOST_HELD_OUT, MOST_SEARCHED, check_signal, split
from qdebug.errors import InputError, UsageError


@pytest.mark.parametrize("count", [4, 5, 8, 24, 200])
def test_a_third_decides_and_is_not_searched_on(count: int) -> None:
    found = split(count)
    assert not set(found.searched) & set(found.held_out)
    assert 1 <= len(found.held_out) <= MOST_HELD_OUT
    assert len(found.searched) <= MOST_SEARCHED
    assert max((*found.searched, *found.held_out)) < count


@pytest.mark.parametrize("count", [1, 3])
def test_too_few_are_refused(count: int) -> None:
    with pytest.raises(UsageError, match="too few to tune on"):
        split(count)


def test_equal_or_infinite_outputs_are_no_signal() -> None:
    value = np.arange(4, dtype=np.float32)
    check_signal([{"y": value}, {"y": value + 1}])
    check_signal([{"y": value}, {"y": value[:2]}])
    with pytest.raises(InputError, match="the same outputs on every picture"):
        check_signal([{"y": value}, {"y": value.copy()}])
    with pytest.raises(InputError, match="not finite"):
        check_signal([{"y": value}, {"y": value * np.float32("nan")}])
