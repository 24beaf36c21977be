from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qdebug.errors import InputError
from qdebug.preprocess import PreprocessSpec, prepare, prepare_file
from qdebug.preprocess.behaviour import alternatives, confidence_of, hint_finding
from qdebug.preprocess.blind_spots import blind_spots
from qdebug.preprocess.check import check_picture
from qdebug.preprocess.compare_specs import compare_specs
from qdebug.preprocess.probe import render_probe, write_probe
from qdebug.preprocess.recover import Source

from .conftest import Picture

YOLO = PreprocessSpec.parse("yolo 320")


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The picture and its turned twin."""
    return write_probe(tmp_path_factory.mktemp("probe") / "probe.png")


def test_the_probe_is_the_same_each_time_and_has_no_blind_spot(
    probe: tuple[Path, Path], tmp_path: Path
) -> None:
    path, twin = probe
    assert np.array_equal(np.asarray(Image.open(path)), render_probe())
    for text in ("yolo 320", "yolo 640", "imagenet", "resize 416x416 cv2 linear | bgr | nchw"):
        assert blind_spots(Source.read(path), PreprocessSpec.parse(text)) == ()
    turned = prepare_file(twin, YOLO).tensor
    assert np.abs(turned - prepare_file(path, YOLO).tensor).mean() < 0.02
    with pytest.raises(InputError, match="too small"):
        write_probe(tmp_path / "tiny.png", (20, 20))


@pytest.mark.parametrize(
    ("text", "slugs"),
    [
        ("letterbox 320 pad 114 | bgr | /255 | nchw", {"channel-order"}),
        ("letterbox 320 pad 113 | rgb | /255 | nchw", {"pad-value"}),
        ("letterbox 320 pad 114 pil bicubic | rgb | /255 | nchw", {"interpolation"}),
        ("letterbox 320 pad 114 cv2 area | rgb | /255 | nchw", {"interpolation"}),
        ("resize 320x320 | rgb | /255 | nchw", {"resize-geometry"}),
        ("letterbox 320 | rgb | nv12 601 limited read 601 full | /255 | nchw", {"yuv-range"}),
        ("letterbox 320 | rgb | flip vertical | rgb | /255 | nchw", {"flip-rotate"}),
    ],
)
def test_on_the_probe_every_fault_shows(
    probe: tuple[Path, Path], text: str, slugs: set[str]
) -> None:
    path, _ = probe
    fed = prepare_file(path, PreprocessSpec.parse(text)).tensor
    result = check_picture(path, fed, YOLO)
    assert {f.slug for f in result.findings if f.status in ("warn", "fail")} == slugs


def test_two_pipelines_are_compared_in_words_and_on_the_picture(
    save: Callable[..., Path], picture: Picture
) -> None:
    path = save(picture)
    other = PreprocessSpec.parse("letterbox 320 pad 114 | bgr | /255 | nhwc")
    result = compare_specs(YOLO, other, path, lambda x: [x])
    assert [d.slug for d in result.differences] == ["channel-order", "layout"]
    gap = np.abs(
        prepare(picture, "rgb", YOLO).tensor[:, ::-1] - prepare(picture, "rgb", YOLO).tensor
    )
    assert result.max_codes == pytest.approx(gap.max() * 255, rel=1e-4)
    assert result.mean_codes == pytest.approx(gap.mean() * 255, rel=1e-4)
    assert result.output_sqnr_db is not None
    same = compare_specs(YOLO, YOLO, path, lambda x: [x])
    assert (same.differences, same.max_codes, same.output_sqnr_db) == ((), 0.0, float("inf"))
    assert compare_specs(YOLO, PreprocessSpec.parse("imagenet"), path).max_codes is None


def test_confidence_is_read_from_classifications_and_detections() -> None:
    logits = np.array([[0.0, 5.0, 1.0]])
    assert confidence_of([logits]) == pytest.approx(0.9755, abs=1e-3)
    assert confidence_of([np.array([[0.2, 0.8]])]) == pytest.approx(0.8)
    old = np.zeros((1, 100, 7))
    old[0, 3] = [320, 320, 50, 60, 0.9, 0.1, 0.8]
    assert confidence_of([old]) == pytest.approx(0.72)
    new = np.zeros((1, 6, 100))
    new[0, :, 3] = [320, 320, 50, 60, 0.3, 0.6]
    assert confidence_of([new]) == pytest.approx(0.6)
    assert confidence_of([np.zeros((1, 3, 8, 8))]) is None


def test_the_usual_suspects_are_tried() -> None:
    assert set(alternatives(YOLO)) == {
        "BGR instead of RGB",
        "0..255",
        "-1..1",
        "ImageNet's mean and std",
        "stretched",
    }


def test_a_model_that_is_surer_of_bgr_gives_a_hint_and_no_verdict(
    save: Callable[..., Path], picture: Picture
) -> None:
    path = save(picture)
    blue = prepare(picture, "rgb", YOLO).tensor[:, ::-1]

    def model(x: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> list[object]:
        return [np.array([[0.0, 6.0 if np.array_equal(x, blue) else 0.5]])]

    finding = hint_finding(YOLO, [path], model)  # type: ignore[arg-type]
    assert (finding.status, finding.confidence) == ("info", "low")
    assert "BGR instead of RGB" in finding.seen
    silent = hint_finding(YOLO, [path], lambda x: [np.array([[0.1, 0.9]])])
    assert silent.status == "pass"
    unknown = hint_finding(YOLO, [path], lambda x: [np.zeros((1, 3, 4, 4))])
    assert unknown.status == "not_applicable"
