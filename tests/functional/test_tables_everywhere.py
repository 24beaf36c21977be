"""A toolchain's table where a model is asked for, whatever its file is called."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from qdebug.cli.tune import is_model
from qdebug.reading.predictions import are_predictions
from qdebug.run.store import load_run
from tests.functional.conftest import Cli
from tests.support import pictures
from tests.support.graphs import SPEC
from tests.unit.vendors.test_tpu_mlir_encodings import QTABLE, TABLE


@pytest.fixture
def tables(here: Path) -> Path:
    """A table and a second one, both named as texts."""
    (here / "table.txt").write_text(TABLE)
    (here / "qtable.txt").write_text(QTABLE)
    return here


@pytest.fixture
def labelled(here: Path) -> str:
    """Pictures of two classes, a folder each."""
    for label in range(2):
        folder = here / "data" / f"{label}"
        folder.mkdir(parents=True)
        Image.fromarray(pictures.scene(label)).save(folder / "a.png")
    return "data"


def test_a_table_is_told_from_pictures_and_predictions(tables: Path) -> None:
    (tables / "list.txt").write_text("photo_0.png\nphoto_1.png\n")
    (tables / "found.txt").write_text("photo_0.png 1\nphoto_1.png 0\n")
    assert is_model("table.txt")
    assert not is_model("list.txt")
    assert not is_model("photo_0.png")
    assert not are_predictions(Path("table.txt"))
    assert are_predictions(Path("found.txt"))


def test_compare_takes_a_table_named_txt(tables: Path, cli: Cli) -> None:
    command = ("compare", "float.onnx", "table.txt", "photo_0.png", "-p", SPEC, "-o", "r.qdrun")
    assert cli(*command, "--fail-on", "never").code == 0
    info = load_run("r.qdrun").models.quant.encodings
    assert info is not None
    assert info.placed == 6


def test_evaluate_scores_a_table_s_twin(tables: Path, labelled: str, cli: Cli) -> None:
    given = ("evaluate", "float.onnx", "table.txt", "--data", labelled, "-p", SPEC)
    result = cli(*given, "--qtable", "qtable.txt", "-o", "e.qdrun")
    assert result.code == 0, result.err
    run = load_run("e.qdrun")
    (scores,) = run.datasets
    assert [row.model for row in scores.rows] == ["float.onnx", "table.txt"]
    cut = cli(*given, "--outputs", "fc", "-o", "f.qdrun")
    assert cut.code == 0, cut.err
