from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from qdebug.errors import InputError, QdebugError, UsageError
from qdebug.preprocess import (
    Contract,
    ModelInput,
    PreprocessSpec,
    RawFormat,
    Sample,
    find_samples,
    prepare,
)

from .conftest import Picture, render

Save = Callable[..., Path]
SPEC = PreprocessSpec.parse("letterbox 64 pad 114 | rgb | /255 | nchw")
IMAGE = ModelInput("images", "float32", (1, 3, 64, 64))
ONE = Contract((IMAGE,), SPEC)
TWO = Contract((IMAGE, ModelInput("scale", "float32", (1, 2))), SPEC)


def tensor(seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(seed).random((1, 3, 64, 64), np.float32)


def find(*arguments: object, contract: Contract = ONE, **options: object) -> list[Sample]:
    return find_samples([str(a) for a in arguments], contract, **options)  # type: ignore[arg-type]


def test_a_folder_is_sorted_naturally_and_skips_what_is_no_input(
    save: Save, tmp_path: Path
) -> None:
    for number in (10, 2, 1):
        save(render(number, 40, 30), f"shots/img{number}.png")
    (tmp_path / "shots" / "notes.md").write_text("no input")
    (tmp_path / "shots" / ".hidden.png").write_text("no input")
    np.save(tmp_path / "shots" / "img3.npy", tensor())
    names = [sample.name for sample in find(tmp_path / "shots")]
    assert names == ["img1.png", "img2.png", "img3.npy", "img10.png"]


def test_globs_are_expanded_here_and_names_stay_relative_and_unique(
    save: Save, tmp_path: Path
) -> None:
    for folder in ("a", "b"):
        save(render(0, 40, 30), f"{folder}/x.png")
    names = [sample.name for sample in find(tmp_path / "*" / "x.png", tmp_path / "a" / "x.png")]
    assert names == ["a/x.png", "b/x.png", "a/x.png#2"]


def test_lists_come_from_a_file_or_stdin(
    save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(render(0, 40, 30), "shots/with space.png")
    save(render(1, 40, 30), "shots/two.png")
    listing = tmp_path / "shots" / "list.txt"
    listing.write_text("# calibration\nwith space.png\n\ntwo.png 17\n")
    names = [sample.name for sample in find(listing)]
    assert names == ["with space.png", "two.png"]
    monkeypatch.chdir(tmp_path)
    (sample,) = find("-", stdin=io.StringIO("shots/two.png\n"))
    assert sample.name == "two.png"


def test_limit_counts_samples(save: Save, tmp_path: Path) -> None:
    np.save(tmp_path / "calib.npy", np.concatenate([tensor(i) for i in range(5)]))
    samples = find(tmp_path / "calib.npy", limit=3)
    assert [sample.name for sample in samples] == [f"calib.npy[{i}]" for i in range(3)]
    assert np.array_equal(samples[2].load()["images"], tensor(2))
    assert len({sample.sha256 for sample in samples}) == 3
    with pytest.raises(UsageError, match="at least 1"):
        find(tmp_path / "calib.npy", limit=0)


def test_a_picture_is_preprocessed(save: Save, picture: Picture) -> None:
    (sample,) = find(save(picture))
    expected = prepare(picture, "rgb", SPEC)
    assert sample.has_picture
    assert np.array_equal(sample.load()["images"], expected.tensor)
    assert sample.picture is not None
    assert sample.geometry == expected.geometry


def test_the_geometry_is_known_before_the_tensor_is_asked_for(save: Save, picture: Picture) -> None:
    (sample,) = find(save(picture))
    assert sample.geometry == prepare(picture, "rgb", SPEC).geometry


def test_every_tensor_file_gives_its_values(tmp_path: Path) -> None:
    values = tensor()
    np.save(tmp_path / "a.npy", values[0])
    np.savez(tmp_path / "b.npz", whatever=values)
    values.astype("<f4").tofile(tmp_path / "c.bin")
    proto = onnx.numpy_helper.from_array(values, "images")
    (tmp_path / "d.pb").write_bytes(proto.SerializeToString())
    samples = find(tmp_path)
    assert [sample.name for sample in samples] == ["a.npy", "b.npz", "c.bin", "d.pb"]
    for sample in samples:
        assert not sample.has_picture
        assert np.array_equal(sample.load()["images"], values)
        assert sample.picture is None
        assert sample.geometry is None


def test_raw_files_take_the_shape_and_type_said(tmp_path: Path) -> None:
    codes = np.arange(3 * 64 * 64, dtype=np.uint8).reshape(1, 3, 64, 64)
    codes.tofile(tmp_path / "x.raw")
    (sample,) = find(tmp_path / "x.raw", raw=RawFormat(None, "uint8"))
    assert np.array_equal(sample.load()["images"], codes.astype(np.float32))
    with pytest.raises(InputError, match="12288 bytes") as caught:
        find(tmp_path / "x.raw")
    assert caught.value.hint == "with this shape it would fit: uint8, int8"


def test_several_inputs_by_name_by_archive_and_by_list(tmp_path: Path) -> None:
    scale = np.ones((1, 2), np.float32)
    np.save(tmp_path / "i1.npy", tensor(1))
    np.save(tmp_path / "i2.npy", tensor(2))
    np.save(tmp_path / "scale.npy", scale)
    np.savez(tmp_path / "all.npz", images=tensor(3), scale=scale, other=scale)
    named = find(
        f"images={tmp_path / 'i1.npy'}",
        f"images={tmp_path / 'i2.npy'}",
        f"scale={tmp_path / 'scale.npy'}",
        contract=TWO,
    )
    assert [np.array_equal(s.load()["images"], tensor(i)) for i, s in enumerate(named, 1)] == [
        True
    ] * 2
    assert all(np.array_equal(s.load()["scale"], scale) for s in named)
    (archived,) = find(tmp_path / "all.npz", contract=TWO)
    assert archived.load().keys() == {"images", "scale"}
    (tmp_path / "list.txt").write_text("i1.npy scale.npy\n")
    (listed,) = find(tmp_path / "list.txt", contract=TWO)
    assert np.array_equal(listed.load()["images"], tensor(1))


def test_the_quant_side_sees_the_same_picture_in_its_own_terms(
    save: Save, picture: Picture
) -> None:
    quant_spec = PreprocessSpec.parse("letterbox 64 pad 114 | rgb | offset -128 | int8 | nhwc")
    quant = Contract((ModelInput("input", "int8", (1, 64, 64, 3)),), quant_spec)
    path = save(picture)
    (sample,) = find_samples([str(path)], ONE, quant)
    pixels = np.rint(sample.load("float")["images"] * 255).transpose(0, 2, 3, 1)
    assert np.array_equal(sample.load("quant")["input"].astype(np.float32) + 128, pixels)


def test_a_tensor_file_is_said_again_for_the_quant_side(
    save: Save, picture: Picture, tmp_path: Path
) -> None:
    quant_spec = PreprocessSpec.parse("letterbox 64 pad 114 | bgr | offset -128 | int8 | nhwc")
    quant = Contract((ModelInput("images", "int8", (1, 64, 64, 3)),), quant_spec)
    path = save(picture)
    np.save(tmp_path / "fed.npy", prepare(picture, "rgb", SPEC).tensor)
    from_picture, from_tensor = (
        find_samples([str(p)], ONE, quant)[0].load("quant")["images"]
        for p in (path, tmp_path / "fed.npy")
    )
    assert np.array_equal(from_picture, from_tensor)
    other = Contract(
        quant.inputs, PreprocessSpec.parse("resize 64x64 | bgr | offset -128 | int8 | nhwc")
    )
    with pytest.raises(UsageError, match="another geometry"):
        find_samples([str(tmp_path / "fed.npy")], ONE, other)[0].load("quant")


def test_only_the_layout_is_changed_without_a_pipeline(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", tensor())
    plain = Contract((IMAGE,), None)
    quant = Contract((ModelInput("other", "float32", (1, 64, 64, 3)),), None)
    (sample,) = find_samples([str(tmp_path / "x.npy")], plain, quant)
    assert np.array_equal(sample.load("quant")["other"], tensor().transpose(0, 2, 3, 1))


def test_a_fixed_batch_is_filled_with_the_picture(save: Save, picture: Picture) -> None:
    contract = Contract((ModelInput("images", "float32", (2, 3, 64, 64)),), SPEC)
    batch = find(save(picture), contract=contract)[0].load()["images"]
    assert batch.shape == (2, 3, 64, 64)
    assert np.array_equal(batch[0], batch[1])


def _nan(folder: Path) -> list[str]:
    values = tensor()
    values[0, 1, 2, 3] = np.nan
    np.save(folder / "bad.npy", values)
    return [str(folder / "bad.npy")]


def _nhwc(folder: Path) -> list[str]:
    np.save(folder / "bad.npy", tensor().transpose(0, 2, 3, 1))
    return [str(folder / "bad.npy")]


def _small(folder: Path) -> list[str]:
    np.save(folder / "bad.npy", np.zeros((1, 3, 32, 32), np.float32))
    return [str(folder / "bad.npy")]


def _cut(folder: Path) -> list[str]:
    np.save(folder / "bad.npy", tensor())
    content = (folder / "bad.npy").read_bytes()
    (folder / "bad.npy").write_bytes(content[: len(content) // 2])
    return [str(folder / "bad.npy")]


def _pickled(folder: Path) -> list[str]:
    np.save(folder / "bad.npy", np.array([{"a": 1}], object), allow_pickle=True)
    return [str(folder / "bad.npy")]


def _keys(folder: Path) -> list[str]:
    np.savez(folder / "bad.npz", image=tensor(), b=tensor())
    return [str(folder / "bad.npz")]


def _proto(folder: Path) -> list[str]:
    (folder / "bad.pb").write_bytes(b"\xff\xfe garbage")
    return [str(folder / "bad.pb")]


def _empty(folder: Path) -> list[str]:
    (folder / "shots").mkdir()
    return [str(folder / "shots")]


def _no_usable(folder: Path) -> list[str]:
    (folder / "shots").mkdir()
    (folder / "shots" / "a.md").write_text("x")
    return [str(folder / "shots")]


def _typo(folder: Path) -> list[str]:
    np.save(folder / "street.npy", tensor())
    return [str(folder / "stret.npy")]


def _heic(folder: Path) -> list[str]:
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    return [str(folder / "phone.heic")]


def _list(folder: Path) -> list[str]:
    (folder / "list.txt").write_text("\nnone.png\n")
    return [str(folder / "list.txt")]


def _empty_list(folder: Path) -> list[str]:
    (folder / "list.txt").write_text("# nothing\n")
    return [str(folder / "list.txt")]


@pytest.mark.parametrize(
    ("make", "message", "hint"),
    [
        (_nan, "bad.npy holds 1 NaN values for input 'images', the first at [0, 1, 2, 3]", "wrote"),
        (_nhwc, "shape [1, 64, 64, 3], input 'images' takes [1, 3, 64, 64] float32", "nchw"),
        (_small, "shape [1, 3, 32, 32]", "64x64"),
        (_cut, "bad.npy is damaged", ""),
        (_pickled, "bad.npy is damaged", ""),
        (_keys, "bad.npz holds nothing under the model's input name 'images'", "'image'?"),
        (_proto, "bad.pb is not an ONNX TensorProto", ""),
        (_empty, "folder shots has no picture", "it is empty"),
        (_no_usable, "folder shots has no picture", "1 other files"),
        (_typo, "stret.npy does not exist", "street.npy"),
        (_heic, "phone.heic is HEIC", "PNG or JPEG"),
        (_list, "line 2 of list.txt names a file that does not exist: none.png", ""),
        (_empty_list, "list.txt names no file", ""),
        (lambda folder: [str(folder / "*.jpg")], "nothing matches", ""),
        (lambda folder: [], "no input is given", "folder"),
        (lambda folder: ["image=x.npy"], "the model has no input 'image'", "'images'?"),
    ],
)
def test_bad_inputs(
    tmp_path: Path, make: Callable[[Path], list[str]], message: str, hint: str
) -> None:
    with pytest.raises(QdebugError) as caught:
        for sample in find(*make(tmp_path)):
            sample.load()
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


def test_contradictions_between_arguments(tmp_path: Path) -> None:
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", tensor())
    a, b = tmp_path / "a.npy", tmp_path / "b.npy"
    with pytest.raises(UsageError, match="2 inputs: images, scale"):
        find(a, contract=TWO)[0].load()
    with pytest.raises(UsageError, match="given as NAME=path and others are not"):
        find(a, f"scale={b}", contract=TWO)
    three = Contract((*TWO.inputs, ModelInput("c", "float32", (1,))), SPEC)
    with pytest.raises(UsageError, match="has 2 files where another has 3"):
        find(*[f"images={a}"] * 3, *[f"scale={a}"] * 2, contract=three)
    with pytest.raises(InputError, match="gives nothing for the model's input 'scale'"):
        find(f"images={a}", contract=TWO)[0].load()


def test_a_picture_without_a_pipeline_is_refused(save: Save, picture: Picture) -> None:
    with pytest.raises(UsageError, match="nothing says how"):
        find(save(picture), contract=Contract((IMAGE,), None))[0].load()


def test_integer_inputs_take_only_whole_numbers(tmp_path: Path) -> None:
    ids = Contract((ModelInput("ids", "int64", (1, "seq")),), None)
    np.save(tmp_path / "ids.npy", np.array([[1.0, 2.0]]))
    assert find(tmp_path / "ids.npy", contract=ids)[0].load()["ids"].dtype == np.int64
    np.save(tmp_path / "ids.npy", np.array([[1.5, 2.0]]))
    with pytest.raises(InputError, match="takes int64"):
        find(tmp_path / "ids.npy", contract=ids)[0].load()
