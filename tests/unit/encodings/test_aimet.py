"""AIMET's encodings: three versions, read and written; what cannot be meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdebug.encodings import Encoding, Encodings, Entry
from qdebug.encodings.aimet import Version, is_aimet, read_aimet, write_aimet
from qdebug.encodings.source import Source
from qdebug.errors import EncodingsError

ENCODINGS = Encodings(
    (
        Entry("x", Encoding.linear("uint8", 0.02, 114)),
        Entry("y", Encoding.linear("int16", 1e-4)),
        Entry("half", Encoding("float16")),
        Entry("w", Encoding.linear("int8", [0.1, 0.2, 0.3], 0, 0), "weight"),
    )
)


def source(content: bytes | str | dict[str, Any]) -> Source:
    if isinstance(content, dict):
        content = json.dumps(content)
    return Source(Path("a.encodings"), content if isinstance(content, bytes) else content.encode())


def test_every_part_of_an_encoding_survives_the_newest_form() -> None:
    second = np.asarray(0.5, np.float32)
    full = Encodings(
        (
            *ENCODINGS.entries,
            Entry("x", Encoding.linear("int4", 0.1, narrow=True), readers=("a", "b")),
            Entry("e", Encoding.linear("int8", [0.1, 0.2], 0, 1, dequantize_scale=second)),
            Entry("b", Encoding.linear("int4", np.ones((4, 2)), 0, 1, block_size=32), "weight"),
            Entry("conv", Encoding("float16"), "node"),
        )
    )
    written = source(write_aimet(full))
    assert is_aimet(written)
    assert read_aimet(written).entries == full.entries
    assert write_aimet(read_aimet(written)) == written.content


@pytest.mark.parametrize("version", ["1.0.0", "0.6.1"])
def test_older_forms_hold_the_same_grid(version: Version) -> None:
    written = source(write_aimet(ENCODINGS, version))
    assert is_aimet(written)
    again = read_aimet(written)
    assert write_aimet(again, version) == written.content
    found = {entry.name: entry for entry in again.entries}
    assert found["x"].encoding == ENCODINGS.entries[0].encoding
    assert found["y"].encoding == ENCODINGS.entries[1].encoding
    assert found["half"].encoding == Encoding("float16")
    assert found["w"].kind == "weight"
    # The axis is that of the weight's operator: these forms do not say it.
    assert found["w"].encoding == Encoding.linear("int8", [0.1, 0.2, 0.3])


@given(
    bits=st.sampled_from([4, 8, 16]),
    offset=st.integers(-(2**16), 0),
    symmetric=st.booleans(),
    scale=st.floats(2**-20, 1000, width=32),
)
def test_offsets_are_meant_for_unsigned_codes(
    bits: int, offset: int, symmetric: bool, scale: float
) -> None:
    offset = -((-offset) % 2**bits)
    item = {"name": "x", "dtype": "INT", "bw": bits, "is_sym": symmetric, "enc_type": "PER_TENSOR"}
    item |= {"scale": [scale], "offset": [float(offset)]}
    content = {"version": "1.0.0", "activation_encodings": [item], "param_encodings": []}
    (entry,) = read_aimet(source(content)).entries
    low, high = entry.encoding.quantizer().real_range
    step = float(np.float32(scale))
    assert low == pytest.approx(offset * step)
    assert high == pytest.approx((offset + 2**bits - 1) * step)


BAD: list[tuple[str, Any, str]] = [
    ("cut off", '{"version": "2.0.0", "encodings": [', "line 1: it is no JSON"),
    ("empty", {"version": "2.0.0", "encodings": []}, "it has no entries"),
    (
        "zero",
        {"version": "2.0.0", "encodings": [{"name": "x", "output_dtype": "int8", "y_scale": 0}]},
        "the scale of 'x' is 0",
    ),
    (
        "type",
        {"version": "2.0.0", "encodings": [{"name": "x", "output_dtype": "what", "y_scale": 1}]},
        "an entry is not understood",
    ),
    (
        "twice",
        '{"version": "0.6.1", "activation_encodings": {"x": [], "x": []}, "param_encodings": {}}',
        "'x' stands in it twice",
    ),
    (
        "two",
        {
            "version": "2.0.0",
            "encodings": [{"name": "x", "output_dtype": "int8", "y_scale": 1}] * 2,
        },
        "'x' has a second entry",
    ),
    (
        "zero",
        {
            "version": "2.0.0",
            "encodings": [
                {"name": "x", "output_dtype": "int8", "y_scale": 1, "y_zero_point": -129}
            ],
        },
        "the zero point of 'x' is -129; int8 holds -128 to 127",
    ),
    (
        "no integer",
        {
            "version": "2.0.0",
            "encodings": [
                {"name": "x", "output_dtype": "int8", "y_scale": 1, "y_zero_point": -(10**30)}
            ],
        },
        "an entry is not understood",
    ),
    (
        "blocks",
        {
            "version": "1.0.0",
            "activation_encodings": [],
            "param_encodings": [
                {"name": "w\u202e", "dtype": "INT", "bw": 4, "enc_type": "LPBQ", "is_sym": True}
            ],
        },
        "'w\\u202e' has a scale for each block",
    ),
]


@pytest.mark.parametrize(("content", "message"), [x[1:] for x in BAD], ids=[x[0] for x in BAD])
def test_what_cannot_be_meant_is_one_sentence(content: Any, message: str) -> None:
    with pytest.raises(EncodingsError, match=r"^a\.encodings") as caught:
        read_aimet(source(content))
    assert message in caught.value.message
    assert "\n" not in caught.value.message
