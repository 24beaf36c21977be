"""The JSON codec: round trips of every dataclass of the run, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Union

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdebug.errors import RunError
from qdebug.run import model
from qdebug.run.codec import decode, encode
from qdebug.run.decoding import json_fields

STORED = [
    model.Layer,
    model.OutputResult,
    model.Finding,
    model.Verdict,
    model.SampleInfo,
    model.TaskResult,
    model.QuantInfo,
    model.ToolInfo,
]


def strategy_for(hint: Any) -> st.SearchStrategy[Any]:  # noqa: PLR0911
    """Values of a type hint, built from the hint alone: independent of the codec."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        parts = {f.name: strategy_for(hints[f.name]) for f in json_fields(hint)}
        return st.builds(typing.cast(type, hint), **parts)
    if origin in (Union, types.UnionType):
        return st.one_of(*(strategy_for(option) for option in args))
    if origin is tuple and args[-1] is Ellipsis:
        return st.lists(strategy_for(args[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*(strategy_for(arg) for arg in args))
    if origin is Mapping:
        return st.dictionaries(st.text(max_size=8), strategy_for(args[1]), max_size=3)
    if origin is typing.Literal:
        return st.sampled_from(args)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: st.text(max_size=12),
        int: st.integers(),
        bool: st.booleans(),
        float: st.floats(),
        type(None): st.none(),
        Any: st.text(max_size=5) | st.integers(-9, 9) | st.none(),
    }
    return plain[hint]


@pytest.mark.parametrize("cls", STORED, ids=lambda cls: cls.__name__)
def test_every_value_survives_a_trip_through_json(cls: type) -> None:
    @settings(max_examples=40, deadline=None)
    @given(value=strategy_for(cls))
    def check(value: Any) -> None:
        text = json.dumps(encode(value), allow_nan=False)
        for stored in (json.loads(text), msgspec.Raw(text.encode())):
            back = decode(cls, stored)
            assert type(back) is cls
            assert json.dumps(encode(back), allow_nan=False) == text

    check()


def test_floats_keep_nine_digits_and_their_special_values() -> None:
    assert encode([math.inf, -math.inf, math.nan]) == ["inf", "-inf", "nan"]
    assert encode(1 / 3) == 0.333333333
    assert decode(float, "-inf") == -math.inf
    assert math.isnan(decode(float, "nan"))
    assert encode(encode(math.pi)) == encode(math.pi)


def test_numpy_values_become_plain_numbers() -> None:
    data = {"n": np.int64(3), "x": np.float32(0.1), "a": np.array([1.0, np.inf]), "b": np.bool_(1)}
    assert json.dumps(encode(data)) == '{"n": 3, "x": 0.100000001, "a": [1.0, "inf"], "b": true}'


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (float, "12"),
        (float, "Infinity"),
        (float, True),
        (float, None),
        (float, 10**400),
        (int, 1.5),
        (int, True),
        (str, 3),
        (bool, 1),
        (tuple[int, ...], "12"),
        (tuple[int, ...], [1, "2"]),
        (tuple[float, float], [1.0]),
        (model.Status, "passed"),
        (model.Status, ["pass"]),
        (Mapping[str, float], [1]),
        (model.Limit, "limit"),
        (model.Limit, {"metric": "cosine"}),
        (model.Finding, {"id": "QD301", "layers": 3}),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_place(hint: Any, value: Any) -> None:
    for stored in (value, msgspec.Raw(json.dumps(value).encode())):
        with pytest.raises(
            RunError, match=r"^run\.spot\S* (should|cannot be|does not fit|is incomp)"
        ):
            decode(hint, stored, "run.spot")


def test_the_place_names_the_element() -> None:
    limits = [{"metric": "cosine", "value": 1, "direction": "min"}, {"metric": 3}]
    with pytest.raises(RunError, match=r"run\.limits\[1\]\.metric should be of type str"):
        decode(tuple[model.Limit, ...], limits, "run.limits")


def test_unknown_fields_of_a_newer_version_are_ignored() -> None:
    value = {"metric": "cosine", "value": 0.99, "direction": "min", "colour": "red"}
    assert decode(model.Limit, value) == model.Limit("cosine", 0.99, "min")


def test_absent_optional_fields_take_their_default() -> None:
    assert decode(model.Unpaired, {"tensor": "t", "reason": "r"}) == model.Unpaired("t", "r", "")


def test_files_are_not_stored() -> None:
    assert "files" not in [f.name for f in json_fields(model.Run)]
