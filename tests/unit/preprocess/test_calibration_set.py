"""Calibration sets held against the pipeline, each mistake with its control."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from qdebug.errors import InputError
from qdebug.preprocess import PreprocessSpec
from qdebug.preprocess.apply import prepare_file
from qdebug.preprocess.calibration_set import judge_set, read_set
from qdebug.preprocess.model_input import ModelInput
from qdebug.run.model import Finding
from tests.support.preprocess_faults import render

SPEC = "letterbox 96 pad 114 | rgb | /255 | nchw"
IMAGENET = "letterbox 96 pad 114 | rgb | mean 123.675,116.28,103.53 std 58.395,57.12,57.375 | nchw"
COUNT = 24
Array = NDArray[Any]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("calibration")
    paths = [folder / f"scene{seed}.png" for seed in range(COUNT)]
    for seed, path in enumerate(paths):
        Image.fromarray(render(seed, 200, 120 + 2 * seed)).save(path)
    return paths


def dumped(folder: Path, pictures: Sequence[Path], spec: str, numbered: bool = True) -> Path:
    """Write a set as Horizon dumps it: a folder a tensor's name, files 0.npy and so on."""
    inner = folder / "images"
    inner.mkdir(parents=True)
    for number, path in enumerate(pictures):
        tensor = prepare_file(path, PreprocessSpec.parse(spec)).tensor
        np.save(inner / f"{number if numbered else path.stem}.npy", tensor)
    return folder


def judged(
    path: Path, spec: str = SPEC, pictures: Sequence[Path] = (), used: str | None = None
) -> tuple[Finding, ...]:
    pipeline = PreprocessSpec.parse(used) if used else None
    return judge_set(read_set(path), PreprocessSpec.parse(spec), pictures, pipeline)


def alarms(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    return [(f.slug, f.status) for f in findings if f.status in ("warn", "fail")]


def seen(findings: Sequence[Finding]) -> str:
    return "\n".join(f.seen for f in findings)


@pytest.mark.parametrize("spec", [SPEC, IMAGENET, "resize 96x96 | bgr | nchw"])
@pytest.mark.parametrize("with_pictures", [True, False])
def test_a_set_that_is_made_right_raises_nothing(
    tmp_path: Path, pictures: list[Path], spec: str, with_pictures: bool
) -> None:
    folder = dumped(tmp_path / "set", pictures, spec)
    found = judged(folder, spec, pictures if with_pictures else ())
    assert alarms(found) == []
    assert found[0].status == "pass"
    assert ("R and B are swapped" in seen(found)) is not with_pictures


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (SPEC.replace(" | /255", ""), "not divided by 255"),
        (SPEC.replace("/255", "/255 | /255"), "division by 255 is applied twice"),
        (IMAGENET, "ImageNet's mean and std"),
        (SPEC.replace("/255", "mean 127.5 std 127.5"), "the range -1..1"),
    ],
)
def test_another_normalization_is_told_by_the_grid_of_codes(
    tmp_path: Path, pictures: list[Path], made: str, words: str
) -> None:
    found = judged(dumped(tmp_path / "set", pictures, made))
    assert alarms(found) == [("calibration-set", "fail")]
    assert words in seen(found)


def test_numbers_in_the_opposite_order_are_told_where_they_show(
    tmp_path: Path, pictures: list[Path]
) -> None:
    mean, std = "103.53,116.28,123.675", "57.375,57.12,58.395"
    made = f"letterbox 96 pad 114 | rgb | mean {mean} std {std} | nchw"
    found = judged(dumped(tmp_path / "set", pictures, made), IMAGENET)
    assert alarms(found) == [("calibration-set", "fail")]
    assert "opposite channel order" in seen(found)


def test_swapped_channels_show_beside_the_pictures_only(
    tmp_path: Path, pictures: list[Path]
) -> None:
    folder = dumped(tmp_path / "set", pictures, SPEC.replace("rgb", "bgr"))
    alone = judged(folder)
    assert alarms(alone) == []
    assert "do not tell whether R and B are swapped" in seen(alone)
    assert alarms(judged(folder, SPEC, pictures)) == [("channel-order", "fail")]


@pytest.mark.parametrize("numbered", [True, False])
def test_a_stretch_in_place_of_a_letterbox_is_named(
    tmp_path: Path, pictures: list[Path], numbered: bool
) -> None:
    made = SPEC.replace("letterbox 96 pad 114", "resize 96x96")
    folder = dumped(tmp_path / "set", pictures, made, numbered)
    assert "None of 24 entries has the border" in seen(judged(folder))
    beside = judged(folder, SPEC, pictures)
    assert alarms(beside) == [("resize-geometry", "fail")]
    assert "In 6 of 6 entries held against their pictures" in seen(beside)


WIDE = "letterbox 128x96 pad 114 | rgb | /255 | nchw"
"""A camera's aspect: pictures of that camera leave no border, stretched or not."""


def test_without_a_border_in_a_cameras_aspect_a_stretch_is_said_to_be_open(
    tmp_path: Path, pictures: list[Path]
) -> None:
    folder = dumped(
        tmp_path / "set", pictures, WIDE.replace("letterbox 128x96 pad 114", "resize 128x96")
    )
    alone = judged(folder, WIDE)
    assert alarms(alone) == []
    assert "nor whether they were stretched" in seen(alone)
    others = [tmp_path / f"own{seed}.png" for seed in range(6)]
    for seed, path in enumerate(others):
        Image.fromarray(render(500 + seed, 200, 120)).save(path)
    assert alarms(judged(folder, WIDE, others)) == [("calibration-set", "warn")]
    for seed, path in enumerate(others):
        Image.fromarray(render(500 + seed, 160, 120)).save(path)
    assert alarms(judged(folder, WIDE, others)) == []


def test_of_few_entries_a_stretch_is_said_to_be_open(tmp_path: Path, pictures: list[Path]) -> None:
    made = SPEC.replace("letterbox 96 pad 114", "resize 96x96")
    one = judged(dumped(tmp_path / "stretched", pictures[:1], made))
    assert "nor whether they were stretched" in seen(one)
    assert "None of" not in seen(one)
    right = judged(dumped(tmp_path / "right", pictures[:1], SPEC))
    assert "nor whether they were stretched" not in seen(right)


def test_pictures_of_the_models_size_without_a_border_are_named(
    tmp_path: Path, pictures: list[Path]
) -> None:
    letterboxed = PreprocessSpec.parse("letterbox 96 pad 114 | rgb | uint8 | nhwc")
    for kind in ("stretched", "letterboxed"):
        (tmp_path / kind).mkdir()
    for path in pictures:
        rgb = np.asarray(Image.open(path).resize((96, 96)))
        Image.fromarray(rgb).save(tmp_path / "stretched" / path.name)
        framed = prepare_file(path, letterboxed).tensor[0]
        Image.fromarray(framed).save(tmp_path / "letterboxed" / path.name)
    named = judged(tmp_path / "stretched")
    assert alarms(named) == [("calibration-set", "warn")]
    assert "of the model's size already, and none of them has the border" in seen(named)
    assert alarms(judged(tmp_path / "letterboxed")) == []


def test_a_border_that_the_pipeline_does_not_make_is_named(
    tmp_path: Path, pictures: list[Path]
) -> None:
    folder = dumped(tmp_path / "set", pictures, SPEC)
    stretched = SPEC.replace("letterbox 96 pad 114", "resize 96x96")
    assert "have a border of one value" in seen(judged(folder, stretched))
    assert "is 114 as a pixel code, the pipeline's is 0" in seen(
        judged(folder, SPEC.replace("114", "0"))
    )


def test_one_picture_is_too_few(tmp_path: Path, pictures: list[Path]) -> None:
    found = judged(dumped(tmp_path / "set", pictures[:1], SPEC), SPEC, pictures[:1])
    assert alarms(found) == [("calibration-set", "warn")]
    assert "holds 1 picture" in seen(found)


def test_copies_and_near_copies_are_counted(tmp_path: Path, pictures: list[Path]) -> None:
    found = judged(dumped(tmp_path / "a", [*pictures, *pictures[:3]], SPEC))
    assert "3 of 27 entries are copies" in seen(found)
    folder = dumped(tmp_path / "b", pictures[:4], SPEC)
    tensor = np.load(folder / "images" / "0.npy")
    for number in range(4, 24):
        np.save(folder / "images" / f"{number}.npy", tensor * np.float32(1 - number / 200))
    assert "nearly the same picture" in seen(judged(folder))


def test_noise_and_constants_are_no_pictures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (24, 3, 96, 96)).astype(np.float32) / 255
    codes[:2] = 0.5
    np.save(tmp_path / "set.npy", codes)
    found = judged(tmp_path / "set.npy")
    assert "22 of 24 entries are noise" in seen(found)
    assert "2 of 24 entries are one value throughout" in seen(found)


def test_the_toolchains_own_words_are_compared_for_pictures(pictures: list[Path]) -> None:
    folder = pictures[0].parent
    unsaid = judged(folder)
    assert alarms(unsaid) == []
    assert "does not show" in seen(unsaid)
    stretched = SPEC.replace("letterbox 96 pad 114", "resize 96x96")
    assert alarms(judged(folder, SPEC, (), stretched)) == [("resize-geometry", "fail")]
    assert alarms(judged(folder, SPEC, (), SPEC)) == []


def test_another_domain_is_a_hint(tmp_path: Path, pictures: list[Path]) -> None:
    dark = []
    for number in range(12):
        rgb = render(100 + number, 200, 120) // 8
        dark.append(tmp_path / f"night{number}.png")
        Image.fromarray(rgb).save(dark[-1])
    folder = dumped(tmp_path / "set", pictures, SPEC.replace("pad 114", "pad 0"))
    night = judged(folder, SPEC.replace("pad 114", "pad 0"), dark)
    assert "another domain" in seen(night)
    assert all(f.status != "fail" for f in night)


def archive(path: Path, tensors: Array) -> None:
    np.savez(path, images=tensors, other=np.zeros(3, np.float32))


def raw(path: Path, tensors: Array) -> None:
    tensors.tofile(path)


@pytest.mark.parametrize(("name", "write"), [("set.npz", archive), ("set.f32", raw)])
def test_other_files_are_read_with_the_models_input(
    tmp_path: Path, pictures: list[Path], name: str, write: Callable[[Path, Array], None]
) -> None:
    spec = PreprocessSpec.parse(SPEC)
    tensors = np.concatenate([prepare_file(path, spec).tensor for path in pictures])
    write(tmp_path / name, tensors)
    item = ModelInput("images", "float32", (1, 3, 96, 96))
    entries = read_set(tmp_path / name, item)
    assert len(entries) == COUNT
    assert alarms(judge_set(entries, spec)) == []


@pytest.mark.parametrize("content", ["bytes", "floats", "encoded"])
def test_datum_records_of_an_lmdb_are_read(
    tmp_path: Path, pictures: list[Path], content: str
) -> None:
    lmdb = pytest.importorskip("lmdb")
    folder = tmp_path / "cali_lmdb"
    with lmdb.open(str(folder), map_size=1 << 26) as database, database.begin(write=True) as put:
        for number, path in enumerate(pictures):
            put.put(f"{number:08d}_{path.name}".encode(), record(path, content))
    stretched = "resize 96x96 | bgr | /255 | nchw"
    entries = read_set(folder)
    assert len(entries) == COUNT
    assert entries[1].name == "cali_lmdb[00000001_scene1.png]"
    found = judge_set(entries, PreprocessSpec.parse(stretched), pictures)
    assert alarms(found) == ([] if content != "floats" else [("missing-scale", "fail")])
    assert ("holds integers" in seen(found)) == (content != "floats")
    boxed = judge_set(entries, PreprocessSpec.parse("letterbox 96 pad 114 | bgr | nchw"), pictures)
    assert ("resize-geometry", "fail") in alarms(boxed)


def record(path: Path, content: str) -> bytes:
    """A Datum record, written field by field: tag, length, value."""
    bgr = cv2.resize(cv2.imread(str(path)), (96, 96))  # type: ignore[arg-type]
    head = b"\x08" + varint(3) + b"\x10" + varint(96) + b"\x18" + varint(96)
    planes = np.ascontiguousarray(bgr.transpose(2, 0, 1))
    if content == "bytes":
        return head + b"\x22" + varint(planes.size) + planes.tobytes()
    if content == "floats":
        values = planes.astype("<f4").tobytes()
        return head + b"\x32" + varint(len(values)) + values
    code = cv2.imencode(".png", bgr)[1].tobytes()
    return head + b"\x22" + varint(len(code)) + code + b"\x38\x01"


def varint(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def test_what_is_no_set_is_refused_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_set(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no calibration set"):
        read_set(tmp_path / "empty")
    (tmp_path / "data.mdb").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="LMDB"):
        read_set(tmp_path)
    (tmp_path / "a.raw").write_bytes(bytes(10))
    with pytest.raises(InputError, match="neither its shape"):
        read_set(tmp_path / "a.raw")
    np.save(tmp_path / "words.npy", np.zeros(5, np.float32))
    with pytest.raises(InputError, match="no picture's tensor"):
        judged(tmp_path / "words.npy")
