"""What holds for every installed reporter."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from qdebug.errors import QdebugError, RunError, UsageError
from qdebug.plugins import load_plugin, plugin_names, reporter_for
from qdebug.reporters.base import Reporter, write_file
from qdebug.run.model import Run
from qdebug.run.store import MemoryWriter
from tests.support import synthetic_run

OWN = ("csv", "html", "json", "junit", "markdown", "model_explorer", "notebook", "onnx", "png",
       "sarif", "svg", "zip")  # fmt: skip
FROM_A_RUN = tuple(name for name in OWN if name != "onnx")


def reporter(name: str) -> Reporter:
    made = load_plugin("reporters", name)
    assert isinstance(made, Reporter)
    return made


def test_they_are_registered() -> None:
    assert set(OWN) <= set(plugin_names("reporters"))


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("r.html", "html"), ("R.HTM", "html"), ("r.json", "json"), ("a.b.csv", "csv"),
        ("r.md", "markdown"), ("r.junit.xml", "junit"), ("TEST.xml", "junit"),
        ("r.sarif", "sarif"), ("r.sarif.json", "sarif"), ("r.nodedata.json", "model_explorer"),
        ("r.model-explorer.json", "model_explorer"), ("r.png", "png"), ("r.svg", "svg"),
        ("r.onnx", "onnx"), ("net.qdrun.zip", "zip"),
    ],
)  # fmt: skip
def test_the_suffix_decides(file: str, name: str) -> None:
    assert reporter_for(Path(file)) is reporter(name)


def test_an_unknown_suffix_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no reporter writes 'r\.docx'") as caught:
        reporter_for(Path("r.docx"))
    assert ".html" in (caught.value.hint or "")


@pytest.mark.parametrize("name", FROM_A_RUN)
@pytest.mark.parametrize("hostile", [False, True])
def test_equal_runs_give_equal_reports(name: str, hostile: bool) -> None:
    first, second = (synthetic_run(42, samples=3, hostile_names=hostile) for _ in range(2))
    made = reporter(name).render(first)
    assert made
    assert made == reporter(name).render(second)


@pytest.mark.parametrize("name", FROM_A_RUN)
def test_text_is_utf8_without_control_characters(name: str) -> None:
    run = synthetic_run(42, samples=26, hostile_names=True)
    odd = dataclasses.replace(run.samples[0], name="caf\udce9.png")
    made = reporter(name).render(dataclasses.replace(run, samples=(odd, *run.samples[1:])))
    if isinstance(made, str):
        made.encode()
        assert not [c for c in made if ord(c) < 32 and c != "\n"]


@pytest.mark.parametrize("name", FROM_A_RUN)
def test_a_run_with_nothing_in_it(name: str) -> None:
    run = synthetic_run(1, samples=1)
    empty = dataclasses.replace(
        run, layers=(), findings=(), outputs=(), samples=(), task=None, command=()
    )
    with MemoryWriter() as writer:
        assert reporter(name).render(writer.commit(empty, type(run.arrays)()))


class TestWriting:
    @pytest.fixture
    def run(self) -> Run:
        return synthetic_run(3, samples=1)

    def test_by_suffix_from_the_run(self, run: Run, tmp_path: Path) -> None:
        path = run.report(tmp_path / "new" / "r.csv")
        assert path.read_text(encoding="utf-8").startswith("index,name,op")
        assert b"\r" not in path.read_bytes()

    def test_an_existing_file_is_replaced_only_with_force(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "r.md"
        path.write_text("mine")
        with pytest.raises(UsageError, match="exists already"):
            run.report(path)
        assert path.read_text() == "mine"
        run.report(path, force=True)
        assert path.read_text(encoding="utf-8").startswith("## ✗ FAIL")
        assert [entry.name for entry in tmp_path.iterdir()] == ["r.md"]

    def test_a_folder_is_never_replaced(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "r.md").mkdir()
        with pytest.raises(UsageError, match="is a folder"):
            run.report(tmp_path / "r.md", force=True)

    def test_a_full_disk_leaves_the_old_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "r.md"
        path.write_text("mine")

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(RunError, match="No space left"):
            write_file(path, "new", force=True)
        assert path.read_text() == "mine"
        assert [entry.name for entry in tmp_path.iterdir()] == ["r.md"]

    def test_a_parent_that_is_a_file(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(QdebugError):
            run.report(tmp_path / "file" / "r.md")
