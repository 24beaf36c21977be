"""Labelled data sets: every form says the same, and what is wrong is one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qdebug.datasets import BoxTruth, Dataset, read_dataset, scan
from qdebug.errors import InputError
from tests.support import labelled


def _boxes(dataset: Dataset) -> dict[str, list[list[float]]]:
    found = {}
    for picture in dataset.pictures:
        assert isinstance(picture.truth, BoxTruth)
        rows = np.column_stack([picture.truth.classes, picture.truth.xyxy])
        found[picture.path.name] = np.round(rows, 3).tolist()
    return found


def _drawn() -> dict[str, list[list[float]]]:
    return {
        name: [[labelled.DETECTED.index(o["class"]), *map(float, o["box"])] for o in objects]
        for name, objects in labelled.scenes().items()
    }


@pytest.mark.parametrize("make", [labelled.coco, labelled.yolo])
def test_boxes_are_what_was_drawn(make: Callable[[Path], Path], tmp_path: Path) -> None:
    dataset = scan(read_dataset(make(tmp_path)))
    assert dataset.task == "detection"
    assert dataset.classes == labelled.DETECTED
    assert _boxes(dataset) == _drawn()
    empty = sum(not objects for objects in labelled.scenes().values())
    assert any(f"{empty} picture" in note for note in dataset.notes) == bool(empty)


def test_a_folder_and_its_parts_are_recognized(tmp_path: Path) -> None:
    labelled.yolo(tmp_path)
    places = (tmp_path, tmp_path / "labels", tmp_path / "images", tmp_path / "data.yaml")
    assert {tuple(_boxes(scan(read_dataset(p)))) for p in places} == {tuple(sorted(_drawn()))}
    labelled.coco(tmp_path / "coco")
    assert read_dataset(tmp_path / "coco").form == "COCO JSON"


@pytest.mark.parametrize("make", [labelled.labels_csv, labelled.class_folders])
def test_classes(make: Callable[[Path], Path], tmp_path: Path) -> None:
    dataset = read_dataset(make(tmp_path / "set"))
    found = {p.path.name: p.truth for p in dataset.pictures}
    wanted = {n: labelled.CLASSES.index(w) for n, w in labelled.truth("objects").items()}
    assert found == wanted


def test_folders_without_numbers_count_in_sorted_order(tmp_path: Path) -> None:
    for name in ("zebra", "ant"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / name / "a.png")
    dataset = read_dataset(tmp_path)
    assert dataset.classes == ("ant", "zebra")
    assert [p.truth for p in dataset.pictures] == [0, 1]


def test_text_and_masks(tmp_path: Path) -> None:
    Image.new("RGB", (8, 4)).save(tmp_path / "a.png")
    (tmp_path / "list.txt").write_text("a.png\tHello, world\n", encoding="utf-8")
    dataset = read_dataset(tmp_path / "list.txt")
    assert (dataset.task, dataset.pictures[0].truth) == ("text", "Hello, world")
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.eye(4, dtype=np.uint8)).save(tmp_path / "masks" / "a.png")
    segmented = read_dataset(tmp_path)
    assert (segmented.task, len(segmented.pictures)) == ("segmentation", 1)


def test_exif_turns_relative_boxes(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # seen upright, it is 4 wide and 8 high
    Image.new("RGB", (8, 4)).save(tmp_path / "images" / "a.jpg", exif=exif)
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 1 1", encoding="utf-8")
    (picture,) = scan(read_dataset(tmp_path)).pictures
    assert isinstance(picture.truth, BoxTruth)
    assert picture.truth.xyxy.tolist() == [[0, 0, 4, 8]]


def _without_picture(folder: Path) -> Path:
    file = labelled.coco(folder)
    (folder / "images" / "scene_1.jpg").unlink()
    return file


def _edited(folder: Path, change: Callable[[dict[str, list[dict[str, object]]]], object]) -> Path:
    file = labelled.coco(folder)
    value = json.loads(file.read_text(encoding="utf-8"))
    change(value)
    file.write_text(json.dumps(value), encoding="utf-8")
    return file


def _yolo_line(line: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        labelled.yolo(folder)
        (folder / "labels" / "scene_1.txt").write_text(line, encoding="utf-8")
        return folder

    return make


def _csv(text: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        labelled.labels_csv(folder)
        (folder / "labels.csv").write_text(text, encoding="utf-8")
        return folder / "labels.csv"

    return make


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "picture missing": (_without_picture, "1 of 8 pictures are not there: scene_1.jpg"),
    "category from 0": (
        lambda f: _edited(f, lambda v: v["annotations"][0].update(category_id=0)),
        "category_id 0 is not among its categories",
    ),
    "picture twice": (
        lambda f: _edited(f, lambda v: v["images"].append(dict(v["images"][0], id=9999))),
        "is listed twice",
    ),
    "id twice": (
        lambda f: _edited(f, lambda v: v["images"][0].update(id=v["images"][1]["id"])),
        "occurs twice",
    ),
    "bbox of three": (
        lambda f: _edited(f, lambda v: v["annotations"][0].update(bbox=[1, 2, 3])),
        "is not four numbers",
    ),
    "empty": (lambda f: _edited(f, lambda v: v["images"].clear()), "holds no picture"),
    "pixels in YOLO": (_yolo_line("0 100 100 20 20"), "line 1 of scene_1.txt is not in 0..1"),
    "class beyond": (_yolo_line("6 0.5 0.5 0.1 0.1"), "class 6 of 6, counted from 0"),
    "words in YOLO": (_yolo_line("0 a b c d"), "is not 'class x y width height'"),
    "word for a class": (_csv("file,label\nball.jpg,ball\n"), "line 2 of labels.csv"),
    "listed twice": (_csv("file,label\nball.jpg,0\nball.jpg,1\n"), "lists ball.jpg twice"),
    "no such picture": (_csv("file,label\nnone.jpg,0\n"), "1 of 1 pictures are not there"),
    "strange headings": (_csv("file,weight\nball.jpg,0\n"), "its headings are file, weight"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_said(case: str, tmp_path: Path) -> None:
    make, said = BAD[case]
    with pytest.raises(InputError) as error:
        scan(read_dataset(make(tmp_path)))
    assert said in error.value.message
    assert error.value.hint


def test_odd_boxes_are_counted(tmp_path: Path) -> None:
    def spoil(value: dict[str, list[dict[str, object]]]) -> None:
        value["annotations"][0]["bbox"] = [5000, 5000, 10, 10]
        value["annotations"][1]["bbox"] = [10, 10, 0, 5]
        value["annotations"][2]["image_id"] = 424242

    notes = read_dataset(_edited(tmp_path, spoil)).notes
    for said in ("1 box outside the picture", "1 box without an area", "1 box of pictures"):
        assert any(note.startswith(said) for note in notes), notes


def test_broken_pictures_stop_or_are_left_out(tmp_path: Path) -> None:
    labelled.coco(tmp_path)
    (tmp_path / "images" / "scene_2.jpg").write_bytes(b"no picture")
    dataset = read_dataset(tmp_path)
    with pytest.raises(InputError, match=r"1 picture of 8 cannot be read: scene_2\.jpg") as error:
        scan(dataset)
    assert error.value.hint is not None
    assert "--skip-broken" in error.value.hint
    left = scan(dataset, skip_broken=True)
    assert len(left.pictures) == 7
    assert "1 broken picture left out: scene_2.jpg" in left.notes


def test_yaml_runs_no_code(tmp_path: Path) -> None:
    labelled.yolo(tmp_path)
    evil = "!!python/object/apply:os.system ['touch evil']"
    (tmp_path / "data.yaml").write_text(evil, encoding="utf-8")
    with pytest.raises(InputError, match="not valid YAML"):
        read_dataset(tmp_path / "data.yaml")


@pytest.mark.parametrize("line", ["0 0.5 0.5 0.2", "cat 0.5 0.5 0.2 0.2", "-1 0.5 0.5 0.2 0.2"])
def test_a_picture_s_label_file_is_read_whatever_it_holds(line: str, tmp_path: Path) -> None:
    """It is not left out as another text: that would be a picture without objects."""
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / f"{name}.png")
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.2", encoding="utf-8")
    (tmp_path / "labels" / "README.txt").write_text("made by hand", encoding="utf-8")
    assert len(read_dataset(tmp_path).pictures) == 2
    (tmp_path / "labels" / "b.txt").write_text(line, encoding="utf-8")
    with pytest.raises(InputError, match=r"line 1 of b\.txt"):
        read_dataset(tmp_path)
