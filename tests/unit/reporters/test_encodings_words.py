"""What is said of a toolchain's file, hostile names included."""

from __future__ import annotations

from qdebug.reporters.encodings_words import sentences
from qdebug.run.model import EncodingsInfo, RestInfo, UnplacedEntry


def test_what_was_read_placed_and_left() -> None:
    info = EncodingsInfo(
        "cali_table",
        "TPU-MLIR calibration table",
        "tpu-mlir",
        4,
        2,
        (
            UnplacedEntry("a\u202e", "no tensor has that name"),
            UnplacedEntry("b", "no tensor has that name"),
        ),
        (RestInfo("stays float", 3),),
        ("single codes differ",),
    )
    assert sentences(info) == [
        "TPU-MLIR calibration table: 2 of 4 entries placed",
        "not used: a\\u202e and 1 more: no tensor has that name",
        "without an entry: 3 tensors: stays float",
        "single codes differ",
    ]
    assert sentences(None) == []
