"""A run from a stranger cannot drive the terminal, in no report and on no screen."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path

import pytest

from qdebug.plugins import load_plugin
from qdebug.run.clean import cleaned, may_hide
from qdebug.run.model import Run
from qdebug.run.store import load_run, run_from_json, run_to_json
from qdebug.vocabulary.names import visible
from tests.support import synthetic_run
from tests.support.attack import ATTACK, UNSAFE, attacking_run

FORMS = ("csv", "markdown", "junit", "sarif", "model_explorer", "notebook", "svg", "html", "json")


@pytest.fixture(scope="module")
def attacking() -> Run:
    return attacking_run()


def _stored(run: Run, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in run.files.names():
            archive.writestr(name, run.files.read(name))
        if "run.json" not in run.files.names():
            archive.writestr("run.json", json.dumps(json.loads(run_to_json(run))))
    return path


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("stored", [False, True])
def test_no_report_passes_it_on(attacking: Run, form: str, stored: bool, tmp_path: Path) -> None:
    run = load_run(_stored(attacking, tmp_path / "r.zip")) if stored else attacking
    made = load_plugin("reporters", form).render(run)
    assert UNSAFE.findall(made if isinstance(made, str) else made.decode()) == []


def test_every_text_of_a_run_that_was_read_is_visible(attacking: Run, tmp_path: Path) -> None:
    loaded = load_run(_stored(attacking, tmp_path / "r.zip"))
    assert loaded.layers[3].op == visible(f"Conv{ATTACK}")
    assert loaded.models.float.sha256 == visible(ATTACK)
    series = loaded.findings[0].evidence[1].data["series"]
    assert list(series) == [visible(f"float{ATTACK}"), visible(f"quant{ATTACK}")]
    assert run_to_json(loaded).isprintable() is False  # its own line breaks
    assert visible(run_to_json(loaded), lines=True) == run_to_json(loaded)


def test_json_escapes_what_it_keeps(attacking: Run) -> None:
    text = run_to_json(attacking)
    assert UNSAFE.findall(text) == []
    assert run_from_json(text).notes == attacking.notes


def test_a_sound_run_is_not_walked() -> None:
    run = synthetic_run(5, samples=1)
    named = dataclasses.replace(run, notes=("畳み込み — é",))
    assert not may_hide(json.dumps("畳み込み — é", ensure_ascii=False).encode())
    assert cleaned(named) == named


@pytest.mark.parametrize("character", sorted(set(ATTACK) - set("]0;owned31mgnpx")))
@pytest.mark.parametrize("ascii_only", [False, True])
def test_nothing_hostile_takes_the_quick_way(character: str, ascii_only: bool) -> None:
    assert may_hide(json.dumps(character, ensure_ascii=ascii_only).encode())


@pytest.mark.parametrize("begin", ["=", " =", "\uff1d", "\u3000\uff0b", "\uff20", "\xa0-"])
def test_no_cell_is_a_formula(begin: str) -> None:
    run = synthetic_run(3, samples=1)
    layer = dataclasses.replace(run.layers[0], name=f"{begin}cmd()")
    made = load_plugin("reporters", "csv").render(dataclasses.replace(run, layers=(layer,)))
    assert made.splitlines()[1].split(",")[1] == f"'{begin}cmd()"
