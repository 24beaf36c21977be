"""How values of options are read."""

from __future__ import annotations

import math

import pytest

from qdebug.options import values
from qdebug.run.model import Limit


def test_limits() -> None:
    assert values.LIMIT.parse("cosine=0.99") == Limit("cosine", 0.99, "min", "flag")
    assert values.LIMIT.parse("sqnr_db=inf").value == math.inf
    assert values.LIMIT.parse("task.f1=0.9") == Limit("task.f1", 0.9, "min", "flag")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cosine", "is not METRIC=VALUE"),
        ("cosine=", "'' is not a number"),
        ("cosine=high", "'high' is not a number"),
        ("cosine=nan", "'nan' is not a number"),
        ("cosin=1", "did you mean 'cosine'"),
        ("snr=1", "did you mean 'sqnr_db'"),
        ("mse=1", "mse is not better when it is higher"),
        ("gain=1", "gain is not better when it is higher"),
    ],
)
def test_bad_limits(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        values.LIMIT.parse(text)


@pytest.mark.parametrize(
    "text", ["1,3,640,640", "1x3x640x640", "[1, 3, 640, 640]", "(1,3,640,640)"]
)
def test_shapes(text: str) -> None:
    assert values.SHAPE.parse(text) == (1, 3, 640, 640)


@pytest.mark.parametrize("text", ["", "1,,3", "1,-3", "a,b", "0", "1,3.5"])
def test_bad_shapes(text: str) -> None:
    with pytest.raises(ValueError, match="is not a shape"):
        values.SHAPE.parse(text)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "", "²", "many"])
def test_whole_numbers(text: str) -> None:
    assert values.COUNT.parse("32") == 32
    with pytest.raises(ValueError, match="whole number from 1"):
        values.COUNT.parse(text)


@pytest.mark.parametrize(("given", "message"), [("1025", "more than 1024"), ("0", "from 1")])
def test_threads_and_processes(given: str, message: str) -> None:
    assert values.AT_ONCE.parse("1024") == values.AT_ONCE.load(1024) == 1024
    with pytest.raises(ValueError, match=message):
        values.AT_ONCE.parse(given)
    with pytest.raises(ValueError, match=message):
        values.AT_ONCE.load(int(given))


def test_sizes_and_tensors_to_keep_are_told_apart_from_nonsense() -> None:
    assert values.SIZE.parse("1GiB") == 1 << 30
    assert values.KEEP.parse("worst:3") == "worst:3"
    with pytest.raises(ValueError, match="is not a size"):
        values.SIZE.parse("big")
    with pytest.raises(ValueError, match="worst:N"):
        values.KEEP.parse("worst")


def test_toolchains() -> None:
    assert values.VENDOR.parse("RKNN") == "rknn"
    assert values.VENDOR.parse("ort") == "onnxruntime"
    with pytest.raises(ValueError, match="did you mean 'tensorrt'"):
        values.VENDOR.parse("tensort")
    with pytest.raises(ValueError, match="known: onnxruntime, "):
        values.VENDOR.parse("zzz")
