"""Boxes as other programs write them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qdebug.datasets import Dataset, LabelledPicture
from qdebug.errors import InputError
from qdebug.reading.predictions import read_predictions

BOX = [10.0, 20.0, 40.0, 60.0]


@pytest.fixture
def pictures(tmp_path: Path) -> Dataset:
    found = []
    for name in ("one", "two"):
        place = tmp_path / f"{name}.png"
        Image.new("RGB", (100, 80)).save(place)
        found.append(LabelledPicture(place.name, place, ""))
    return Dataset("the inputs", "", "detection", tuple(found))


def test_three_forms_give_the_same_boxes(pictures: Dataset, tmp_path: Path) -> None:
    coco = tmp_path / "board.json"
    row = {"image_id": "one.png", "category_id": 3, "bbox": [10, 20, 30, 40], "score": 0.5}
    coco.write_text(json.dumps([row]), encoding="utf-8")
    plain = tmp_path / "board.csv"
    plain.write_text("one.png,10,20,40,60,0.5,3\n", encoding="utf-8")
    headed = tmp_path / "headed.csv"
    headed.write_text("class,conf,file,x,y,w,h\n3,0.5,one.png,10,20,30,40\n", encoding="utf-8")
    yolo = tmp_path / "labels"
    yolo.mkdir()
    (yolo / "one.txt").write_text("3 0.25 0.5 0.3 0.5 0.5\n", encoding="utf-8")
    for place, form in (
        (coco, "COCO results"),
        (plain, "boxes as CSV"),
        (headed, "boxes as CSV"),
        (yolo, "YOLO text"),
    ):
        found = read_predictions(place, pictures)
        assert found.form == form
        assert np.allclose(found.answers[0], [[*BOX, 0.5, 3]])
        assert len(found.answers[1]) == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("3 0.25 0.5 0.3 0.5\n", "line 1 of one.txt is no box with a score"),
        ("3 0.25 0.5 0.3 0.5 nan\n", "line 1 of one.txt is not finite"),
        ("a b c d e f\n", "line 1 of one.txt is no box with a score"),
    ],
)
def test_a_line_of_yolo_text_that_is_no_box(
    pictures: Dataset, tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "one.txt").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=told) as caught:
        read_predictions(tmp_path / "labels", pictures)
    assert "0 to 1" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("one.png,10,20,40,60,0.5\n", "this is no box"),
        ("one.png,10,20,40,60,inf,1\n", "is not finite"),
        ("file,x1,y1,score,class\none.png,1,2,0.5,1\n", "no column for x2, y2 or w, h"),
        ("none.png,10,20,40,60,0.5,1\n", "none of its 1 image id"),
    ],
)
def test_a_csv_that_holds_no_boxes(pictures: Dataset, tmp_path: Path, text: str, told: str) -> None:
    place = tmp_path / "board.csv"
    place.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=told):
        read_predictions(place, pictures)


def test_a_file_that_is_not_there(pictures: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_predictions(tmp_path / "board.json", pictures)
