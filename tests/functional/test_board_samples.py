"""``compare --board``: a folder with the dump of each sample."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qdebug
from qdebug.reporters.run_json import JsonReporter
from qdebug.run.model import Finding, Run
from qdebug.run.redact import ANONYMOUS, redact
from tests.functional.conftest import Cli
from tests.functional.test_board import SPEC, found, middle
from tests.support import dumps

NAMES = ("cone", "cross", "ring")
Sets = dict[str, dumps.Dump]


@pytest.fixture(scope="module")
def models(sample_models: Path) -> tuple[Path, Path]:
    return sample_models / "classifier" / "float.onnx", sample_models / "classifier" / "int8.onnx"


@pytest.fixture(scope="module")
def photos(sample_models: Path) -> list[Path]:
    return [sample_models / "pictures" / "objects" / f"{name}.jpg" for name in NAMES]


@pytest.fixture(scope="module")
def sets(models: tuple[Path, Path], photos: list[Path]) -> Sets:
    return {photo.stem: dumps.simulated(*models, photo, SPEC) for photo in photos}


@pytest.fixture
def compare(models: tuple[Path, Path], photos: list[Path]) -> Callable[..., Run]:
    def run(folder: Path, **options: Any) -> Run:
        return qdebug.compare(
            *models, list(photos), preprocess=SPEC, board=folder, task="none", **options
        )

    return run


def stored(sets: Sets, folder: Path, names: tuple[str, ...], suffix: str = ".npz") -> Path:
    """Each dump under a name of its own."""
    folder.mkdir()
    for name, dump in zip(names, sets.values(), strict=True):
        if suffix == ".npz":
            dumps.write_npz(dump, folder / f"{name}.npz")
        else:
            dumps.write_files(dump, folder / name, suffix)
    return folder


def drift(run: Run) -> Finding:
    return next(f for f in run.findings if f.slug == "board-drift")


@pytest.mark.parametrize(
    ("names", "by", "suffix"),
    [
        (NAMES, "name", ".npz"),
        (("cone.jpg", "cross.jpg", "ring.jpg"), "name", ".npy"),
        (("shot_001", "shot_002", "shot_003"), "number", ".npy"),
    ],
)
def test_each_sample_has_its_dump(
    names: tuple[str, ...],
    by: str,
    suffix: str,
    compare: Callable[..., Run],
    sets: Sets,
    tmp_path: Path,
) -> None:
    """The board is the simulation, so its error over all three is the simulation's."""
    run = compare(stored(sets, tmp_path / "boards", names, suffix))
    assert not found(run)
    assert run.board is not None
    assert run.board.samples == 3
    assert [dump.matched_by for dump in run.board.dumps] == [by] * 3
    assert [Path(dump.sample).stem for dump in run.board.dumps] == list(NAMES)
    assert not any(dump.fits for dump in run.board.dumps)
    assert any("3 dumps" in note for note in run.board.notes)
    assert drift(run).title == "The board is as good as the simulation"
    output = run.layers[-1]
    assert output.board is not None
    assert output.board.against_float is not None
    assert output.accumulated is not None
    assert output.board.against_float.sqnr_db == pytest.approx(output.accumulated.sqnr_db, abs=0.2)


def test_one_sample_shows_the_layer_that_is_wrong(
    compare: Callable[..., Run], sets: Sets, tmp_path: Path
) -> None:
    name = middle(sets["ring"])
    wrong = sets | {"ring": dumps.changed(sets["ring"], name, lambda v: v * np.float32(1.2))}
    run = compare(stored(wrong, tmp_path / "boards", NAMES))
    finding = found(run)
    assert set(finding) == {"board-layer"}
    assert run.layers[finding["board-layer"].layers[0]].float_tensor == name
    assert "ring" in finding["board-layer"].seen
    assert drift(run).status == "not_applicable"


def test_second_dumps_of_each_sample(
    compare: Callable[..., Run], sets: Sets, tmp_path: Path
) -> None:
    """One sample of three is not the same again; a sample without a second dump is told."""
    first = stored(sets, tmp_path / "boards", NAMES)
    same = compare(first, board_again=stored(sets, tmp_path / "same", NAMES, ".npy"))
    assert not found(same)
    name = middle(sets["ring"])
    other = sets | {"ring": dumps.changed(sets["ring"], name, lambda v: v + np.float32(0.5))}
    again = stored(other, tmp_path / "again", NAMES)
    (again / "cone.npz").unlink()
    run = compare(first, board_again=again)
    finding = found(run)
    assert set(finding) == {"board-unstable"}
    assert run.layers[finding["board-unstable"].layers[0]].float_tensor == name
    assert run.board is not None
    assert "--board-again: 1 input without a dump" in run.board.notes


@pytest.mark.parametrize("with_input", [True, False])
def test_a_dump_beside_another_sample(
    with_input: bool, compare: Callable[..., Run], sets: Sets, tmp_path: Path
) -> None:
    first = next(iter(sets["cone"]))
    given = {
        name: {tensor: v for tensor, v in dump.items() if with_input or tensor != first}
        for name, dump in sets.items()
    }
    exchanged = {"cone": given["cone"], "cross": given["ring"], "ring": given["cross"]}
    run = compare(stored(exchanged, tmp_path / "boards", NAMES))
    finding = found(run)
    assert set(finding) == {"board-input"}
    assert finding["board-input"].status == "fail"
    assert "2 of 3 dumps" in finding["board-input"].seen
    assert run.board is not None
    fits = {Path(d.sample).stem: Path(d.fits).stem for d in run.board.dumps if d.fits}
    assert fits == {"cross": "ring", "ring": "cross"}


def test_fewer_and_more_dumps_than_samples(
    compare: Callable[..., Run], sets: Sets, tmp_path: Path
) -> None:
    folder = stored(sets, tmp_path / "boards", NAMES)
    shutil.move(folder / "cone.npz", folder / "elsewhere.npz")
    run = compare(folder)
    assert not found(run)
    assert run.board is not None
    assert [Path(dump.sample).stem for dump in run.board.dumps] == ["cross", "ring"]
    notes = " ".join(run.board.notes)
    assert "1 dump of no input that was given" in notes
    assert "1 input without a dump" in notes


@pytest.mark.parametrize("names", [("a", "b", "c"), ("0", "1", "3"), ("5", "6", "7")])
def test_nothing_is_guessed(
    names: tuple[str, ...],
    cli: Cli,
    models: tuple[Path, Path],
    photos: list[Path],
    sets: Sets,
    tmp_path: Path,
) -> None:
    folder = stored(sets, tmp_path / "boards", names)
    out = tmp_path / "r"
    result = cli("compare", *map(str, [*models, *photos]), "-p", SPEC, "--board", str(folder),
                 "-o", str(out))  # fmt: skip
    assert result.code == 2
    assert "it is not certain which input each is of" in result.err
    assert not out.exists()


def test_one_dump_of_tensors_in_numbered_folders_is_one_dump(
    compare: Callable[..., Run], sets: Sets, tmp_path: Path
) -> None:
    """Places in one dump share no names."""
    folder = tmp_path / "board"
    folder.mkdir()
    items = list(sets["cone"].items())
    half = len(items) // 2
    for name, part in (("0", items[:half]), ("1", items[half:])):
        dumps.write_files(dict(part), folder / name, ".npy")
    run = compare(folder)
    assert run.board is not None
    assert (run.board.samples, run.board.tensors) == (1, len(items))
    assert not run.board.dumps


def test_a_single_dump_named_after_a_later_sample(
    compare: Callable[..., Run], sets: Sets, tmp_path: Path
) -> None:
    run = compare(dumps.write_npz(sets["ring"], tmp_path / "ring.npz"))
    assert not found(run)
    assert run.board is not None
    assert [Path(dump.sample).stem for dump in run.board.dumps] == ["ring"]


def test_redacted(compare: Callable[..., Run], sets: Sets, tmp_path: Path) -> None:
    run = compare(stored(sets, tmp_path / "secrets", NAMES, ".npy"))
    text = JsonReporter().render(redact(run, ANONYMOUS))
    assert not any(word in text for word in (*NAMES, "secrets"))
