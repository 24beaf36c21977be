"""NumPy's files, sound and damaged: one kind of exception, one line."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qdebug.npy import array_of_npy, map_npy


def content(array: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array), allow_pickle=True)
    return buffer.getvalue()


SOUND = content(np.arange(6, dtype=np.float32).reshape(2, 3))
DAMAGED = {
    "empty": b"",
    "no magic": b"PK\x03\x04",
    "cut in the header": SOUND[:40],
    "cut in the values": SOUND[:-1],
    "an open bracket": SOUND.replace(b"(2, 3), }", b"(2, 3,   "),
    "no Python": SOUND.replace(b"'descr'", b"'desc r"),
    "more values than a machine has": SOUND.replace(b"(2, 3), }  ", b"(9999999), }"[:11]),
    "a negative side": SOUND.replace(b"(2, 3)", b"(-2,3)"),
    "a type that there is not": SOUND.replace(b"<f4", b"<q9"),
    "objects": content([{}]),
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_damage_is_one_line(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "a.npy"
    file.write_bytes(data)
    for refusal in (_refusal(array_of_npy, data), _refusal(map_npy, file)):
        assert refusal
        assert "\n" not in refusal
        assert "allow_pickle" not in refusal


def _refusal(read: Callable[[Any], object], given: bytes | Path) -> str:
    try:
        read(given)
    except ValueError as error:
        return str(error)
    return ""


def test_every_changed_byte_of_a_header(tmp_path: Path) -> None:
    file = tmp_path / "a.npy"
    header = len(SOUND) - 24
    rng = np.random.default_rng(0)
    for at in range(header):
        for byte in (0, int(rng.integers(256)), ord("("), ord("'")):
            data = SOUND[:at] + bytes([byte]) + SOUND[at + 1 :]
            file.write_bytes(data)
            refusals = _refusal(array_of_npy, data), _refusal(map_npy, file)
            assert "\n" not in "".join(refusals)


@pytest.mark.parametrize("array", [np.zeros((0, 3), np.float32), np.float32(2.0), np.ones((2, 3))])
def test_sound_files_are_the_same_either_way(array: Any, tmp_path: Path) -> None:
    file = tmp_path / "a.npy"
    np.save(file, array)
    assert np.array_equal(map_npy(file), array)
    assert np.array_equal(array_of_npy(file.read_bytes()), array)
