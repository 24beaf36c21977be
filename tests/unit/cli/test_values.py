"""Values of options."""

from __future__ import annotations

import argparse
import math

import pytest

from qdebug.cli import values
from qdebug.run.model import Limit


def test_limits() -> None:
    assert values.lower_limit("cosine=0.99") == Limit("cosine", 0.99, "min", "flag")
    assert values.lower_limit("sqnr_db=inf").value == math.inf
    assert values.lower_limit("task.f1=0.9") == Limit("task.f1", 0.9, "min", "flag")


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
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        values.lower_limit(text)


@pytest.mark.parametrize(
    "text", ["1,3,640,640", "1x3x640x640", "[1, 3, 640, 640]", "(1,3,640,640)"]
)
def test_shapes(text: str) -> None:
    assert values.shape(text) == (1, 3, 640, 640)


@pytest.mark.parametrize("text", ["", "1,,3", "1,-3", "a,b", "0", "1,3.5"])
def test_bad_shapes(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a shape"):
        values.shape(text)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "", "²", "many"])
def test_whole_numbers(text: str) -> None:
    assert values.positive("32") == 32
    with pytest.raises(argparse.ArgumentTypeError, match="whole number from 1"):
        values.positive(text)


def test_sizes_and_tensors_to_keep_are_told_apart_from_nonsense() -> None:
    assert values.size("1GiB") == 1 << 30
    assert values.keep_tensors("worst:3") == "worst:3"
    with pytest.raises(argparse.ArgumentTypeError, match="is not a size"):
        values.size("big")
    with pytest.raises(argparse.ArgumentTypeError, match="worst:N"):
        values.keep_tensors("worst")


def test_toolchains() -> None:
    assert values.vendor("RKNN") == "rknn"
    assert values.vendor("ort") == "onnxruntime"
    with pytest.raises(argparse.ArgumentTypeError, match="did you mean 'tensorrt'"):
        values.vendor("tensort")
    with pytest.raises(argparse.ArgumentTypeError, match="known: onnxruntime, "):
        values.vendor("zzz")
