"""The layers as a table of pandas."""

from __future__ import annotations

import dataclasses
import sys

import pytest

from qdebug.errors import UsageError
from qdebug.reporters.csv_table import COLUMNS
from qdebug.run.model import Run
from tests.support import synthetic_run


@pytest.fixture(scope="module")
def run() -> Run:
    return synthetic_run(60, samples=2)


def test_a_row_a_layer_with_the_columns_of_the_csv(run: Run) -> None:
    pytest.importorskip("pandas", reason="the extra pandas is not installed")
    table = run.to_pandas()
    assert ["index", *table.columns] == list(COLUMNS)
    assert list(table.index) == [layer.index for layer in run.layers]
    assert list(table["name"]) == [layer.name for layer in run.layers]
    for layer, value in zip(run.layers, table["accumulated_sqnr_db"], strict=True):
        assert layer.accumulated is None or value == pytest.approx(
            layer.accumulated.sqnr_db, nan_ok=True
        )
    assert table["local_sqnr_db"].dtype == "float64"


def test_a_run_without_layers_has_the_same_columns(run: Run) -> None:
    pytest.importorskip("pandas", reason="the extra pandas is not installed")
    table = dataclasses.replace(run, layers=()).to_pandas()
    assert ["index", *table.columns] == list(COLUMNS)
    assert table["accumulated_cosine"].dtype == "float64"


def test_without_pandas_it_says_how_to_get_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="pandas") as caught:
        run.to_pandas()
    assert caught.value.hint == 'pip install "qdebug[pandas]"'
