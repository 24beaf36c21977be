"""What is said of a toolchain's file, hostile names included."""

from __future__ import annotations

from qdebug.reporters.encodings_words import model_rows, model_sentences, sentences
from qdebug.run.model import (
    CutInfo,
    EncodingsInfo,
    ModelInfo,
    Models,
    RestInfo,
    UnplacedEntry,
)


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


def model(cut: CutInfo | None) -> ModelInfo:
    return ModelInfo("m.onnx", "0" * 64, 13, 9, "", "float", cut=cut)


def test_what_was_cut_off_is_told_once_for_both() -> None:
    cut = CutInfo(("box\u202e", "b", "c", "d", "e"), ("Nms\u202e",), 7, 2, ("im\u202einfo",))
    rows = model_rows(Models(model(cut), model(cut)))
    assert rows == [
        (
            "both",
            "cut off at box\\u202e, b, c, d and 1 more, since ONNX Runtime has no Nms\\u202e: "
            "7 nodes not compared, 2 layers with weights among them",
        ),
        ("both", "not fed any more: im\\u202einfo, which only what was cut off reads"),
    ]
    asked = CutInfo(("a",), (), 1)
    assert model_rows(Models(model(asked), model(None))) == [
        ("float", "cut off at a: 1 node not compared")
    ]
    assert model_rows(Models(model(None), model(None))) == []
    assert model_sentences(model(asked)) == ["cut off at a: 1 node not compared"]
