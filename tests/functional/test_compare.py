"""``qdebug compare`` from the command line to the files it leaves."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from qdebug.run.schema import run_schema
from qdebug.run.store import load_run, tensor_file
from tests.functional.conftest import Cli, run_in_process_of_its_own
from tests.support import HOSTILE_NAMES
from tests.support.graphs import SPEC

PAIR = ("compare", "float.onnx", "quant.onnx")


def test_the_main_job(here: Path, cli: Cli) -> None:
    result = cli(*PAIR, "photo_0.png", "-p", SPEC)
    assert result.code == 0
    assert result.err == ""
    assert len(result.out.splitlines()) <= 25
    order = [
        "PASS  Gives the float model's top-1 class on 1 of 1 sample",
        "why ",
        "where ",
        "resize 16x16 cv2 linear | rgb | /255 | nchw",
        "as given on the command line",
        "Wrote  quant.qdrun",
        "Next   qdebug browse quant.qdrun",
    ]
    places = [result.out.index(words) for words in order]
    assert places == sorted(places)
    run = load_run(here / "quant.qdrun")
    assert run.verdict.status == "pass"
    assert len(run.layers) >= 7


def test_what_is_inferred_is_said(here: Path, cli: Cli) -> None:
    result = cli(*PAIR, "photo_0.png")
    assert result.code == 0
    assert "inferred from the models and these pictures" in " ".join(result.out.split())
    assert "doubtful in part" in " ".join(result.out.split())
    run = load_run(here / "quant.qdrun")
    assert run.preprocess.float.origin == "inferred"
    assert f'say it with -p "{run.preprocess.float.spec}"' in run.preprocess.float.notes


@pytest.mark.parametrize(
    ("inputs", "samples"),
    [
        (["photo_0.png", "photo_1.png"], 2),
        (["."], 3),
        (["photo_[01].png"], 2),
        (["list.txt"], 2),
        (["tensor.npy"], 1),
        (["tensors.npz"], 1),
        (["raw.bin", "--shape", "1,3,16,16", "--dtype", "float32"], 1),
        (["images=photo_0.png"], 1),
        ([".", "--limit", "2"], 2),
    ],
)
def test_kinds_of_input(here: Path, cli: Cli, inputs: list[str], samples: int) -> None:
    value = np.random.default_rng(0).random((1, 3, 16, 16), np.float32)
    if inputs != ["."] and inputs[0] != ".":
        np.save("tensor.npy", value)
        np.savez("tensors.npz", images=value)
        value.tofile("raw.bin")
        Path("list.txt").write_text("photo_2.png\nphoto_1.png\n", encoding="utf-8")
    result = cli(*PAIR, *inputs, "-p", SPEC, "-o", "out.qdrun")
    assert result.code == 0, result.err
    assert len(load_run(here / "out.qdrun").samples) == samples


def test_a_list_on_stdin(here: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("photo_2.png\nphoto_0.png\n"))
    assert cli(*PAIR, "-", "-p", SPEC).code == 0
    names = [sample.name for sample in load_run(here / "quant.qdrun").samples]
    assert names == ["photo_2.png", "photo_0.png"]


def test_json_on_stdout_is_pure_and_valid(here: Path, cli: Cli) -> None:
    result = cli(*PAIR, "photo_0.png", "-p", SPEC, "--json", "-")
    assert result.code == 0
    assert result.err == ""
    value = json.loads(result.out)
    jsonschema.validate(value, run_schema())
    assert result.out == (here / "quant.qdrun" / "run.json").read_text(encoding="utf-8")


def test_json_and_schema_in_files(here: Path, cli: Cli) -> None:
    result = cli(*PAIR, "photo_0.png", "-p", SPEC, "--json", "out/result.json")
    assert result.code == 0
    assert "out/result.json" in result.out
    schema = json.loads(cli("schema").out)
    jsonschema.validate(json.loads(Path("out/result.json").read_text(encoding="utf-8")), schema)


def test_two_runs_are_equal_apart_from_their_timing(here: Path, cli: Cli) -> None:
    texts = []
    for _ in range(2):
        result = cli(*PAIR, ".", "-p", SPEC, "-o", "a.qdrun", "--force")
        assert result.code == 0
        files = {
            file.relative_to("a.qdrun").as_posix(): file.read_bytes()
            for file in sorted(Path("a.qdrun").rglob("*"))
            if file.is_file()
        }
        run = json.loads(files["run.json"])
        assert run.pop("timing")["total_s"] > 0
        files["run.json"] = json.dumps(run, sort_keys=True).encode()
        texts.append(files)
    assert texts[0] == texts[1]


def test_the_run_names_no_folder_of_this_machine(here: Path, cli: Cli) -> None:
    models = [str(here / "float.onnx"), str(here / "quant.onnx")]
    result = cli("compare", *models, str(here / "photo_0.png"), "-p", SPEC, f"-o={here}/a.qdrun")
    assert result.code == 0, result.err
    text = (here / "a.qdrun" / "run.json").read_text(encoding="utf-8")
    assert str(here) not in text
    assert str(here.parent) not in text
    command = load_run(here / "a.qdrun").command
    assert command[:5] == ("qdebug", "compare", "float.onnx", "quant.onnx", "photo_0.png")
    assert command[5:7] == ("-p", SPEC)


def test_kept_tensors_are_arrays_on_disk(here: Path, cli: Cli) -> None:
    assert cli(*PAIR, "photo_0.png", "-p", SPEC, "--keep-tensors", "all").code == 0
    run = load_run(here / "quant.qdrun")
    kept = [layer for layer in run.layers if layer.kept]
    assert len(kept) == len(run.layers)
    for layer in kept:
        for side in ("float", "quant"):
            name = tensor_file(side, layer.index)
            array = np.load(here / "quant.qdrun" / name, mmap_mode="r")
            assert array.dtype == np.float32
            assert array.size == np.prod(layer.shape)


@pytest.mark.parametrize(
    ("options", "code", "word"),
    [
        ([], 0, "PASS"),
        (["--fail-under", "cosine=0.5"], 0, "PASS"),
        (["--fail-under", "sqnr_db=99"], 1, "FAIL"),
        (["--fail-under", "cosine=0.5", "--fail-under", "sqnr_db=99"], 1, "FAIL"),
        (["--fail-under", "sqnr_db=99", "--fail-on", "never"], 0, "FAIL"),
        (["--fail-under", "sqnr_db=99", "--fail-on", "warning"], 1, "FAIL"),
    ],
)
def test_limits_decide_the_exit_code(
    here: Path, cli: Cli, options: list[str], code: int, word: str
) -> None:
    result = cli(*PAIR, "photo_0.png", "-p", SPEC, "-q", *options)
    assert result.code == code, result.err
    assert result.out.startswith(f"{word}  ")
    if word == "FAIL":
        assert "(≥ 99, flag)" in result.out


def test_existing_results_are_not_replaced_unasked(here: Path, cli: Cli) -> None:
    assert cli(*PAIR, "photo_0.png", "-p", SPEC, "-o", "a.qdrun").code == 0
    before = (here / "a.qdrun" / "run.json").read_bytes()
    refused = cli(*PAIR, "photo_1.png", "-p", SPEC, "-o", "a.qdrun")
    assert refused.code == 2
    assert "a.qdrun exists already" in refused.err
    assert (here / "a.qdrun" / "run.json").read_bytes() == before
    assert cli(*PAIR, "photo_1.png", "-p", SPEC, "-o", "a.qdrun", "--force").code == 0
    assert (here / "a.qdrun" / "run.json").read_bytes() != before


def test_default_names_get_a_number(here: Path, cli: Cli) -> None:
    for name in ("quant.qdrun", "quant-2.qdrun", "quant-3.qdrun"):
        assert f"Wrote  {name}" in cli(*PAIR, "photo_0.png", "-p", SPEC).out
        assert (here / name / "run.json").is_file()


def test_settings_from_a_file_and_flags_over_them(here: Path, cli: Cli) -> None:
    (here / "qdebug.toml").write_text(
        f'preprocess = "{SPEC}"\nlimit = 2\n[limits]\nsqnr_db = 99\n', encoding="utf-8"
    )
    failed = cli(*PAIR, ".")
    assert failed.code == 1
    assert "(≥ 99, qdebug.toml)" in failed.out
    run = load_run(here / "quant.qdrun")
    assert len(run.samples) == 2
    assert run.preprocess.float.origin == "file"
    assert run.preprocess.float.notes == ("qdebug.toml",)
    passed = cli(*PAIR, ".", "--limit", "1", "--fail-under", "sqnr_db=3", "-o", "b.qdrun")
    assert passed.code == 0
    assert "(≥ 3, flag)" in passed.out
    assert len(load_run(here / "b.qdrun").samples) == 1
    assert cli(*PAIR, ".", "-p", SPEC, "--config", "none", "-o", "c.qdrun").code == 0
    assert len(load_run(here / "c.qdrun").samples) == 3


def test_the_provider_of_both_sides_wins_over_one_side_s_in_the_file(here: Path, cli: Cli) -> None:
    (here / "qdebug.toml").write_text('float_provider = "abacus"\nlimit = 1\n', encoding="utf-8")
    refused = cli(*PAIR, ".", "-p", SPEC)
    assert refused.code == 2
    assert "abacus" in refused.err
    assert cli(*PAIR, ".", "-p", SPEC, "--provider", "cpu").code == 0


def test_limits_of_single_layers(here: Path, cli: Cli) -> None:
    (here / "qdebug.toml").write_text(
        '[[override]]\nmatch = "fc"\nsqnr_db = 99\n', encoding="utf-8"
    )
    result = cli(*PAIR, "photo_0.png", "-p", SPEC)
    assert result.code == 1
    assert "layer-limit" in result.out
    finding = next(f for f in load_run(here / "quant.qdrun").findings if f.slug == "layer-limit")
    assert finding.status == "fail"
    assert [load_run(here / "quant.qdrun").layers[i].name for i in finding.layers] == ["fc"]


def test_verbose_tells_what_it_does_on_stderr(here: Path, cli: Cli) -> None:
    result = cli(*PAIR, "photo_0.png", "-p", SPEC, "-v")
    assert "qdebug: running both models\n" in result.err
    assert "note" in result.out


def test_hostile_file_names(here: Path, cli: Cli) -> None:
    photo = (here / "photo_0.png").read_bytes()
    folder = here / "hostile"
    folder.mkdir()
    usable = [
        name
        for name in HOSTILE_NAMES
        if not set(name) & set('/\\\0<>:"|?*') and len(name.encode()) < 200
    ]
    for name in usable:
        (folder / f"{name}.png").write_bytes(photo)
    result = cli(*PAIR, "hostile", "-p", SPEC, "-v")
    assert result.code == 0, result.err
    for line in (result.out + result.err).splitlines():
        assert line.isprintable()
    samples = {sample.name for sample in load_run(here / "quant.qdrun").samples}
    assert len(samples) == len(usable)


def test_a_file_name_that_begins_with_a_dash(here: Path, cli: Cli) -> None:
    (here / "-photo.png").write_bytes((here / "photo_0.png").read_bytes())
    assert cli("compare", "-p", SPEC, "--", "float.onnx", "quant.onnx", "-photo.png").code == 0


@pytest.mark.parametrize("columns", ["40", "60", "100"])
def test_narrow_terminals(
    here: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    result = cli(*PAIR, "photo_0.png", "-p", SPEC, "-o", "a.qdrun")
    body = result.out[: result.out.index("Wrote")]
    assert max(map(len, body.splitlines())) <= int(columns)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp437", "latin-1"])
def test_terminals_without_unicode(here: Path, encoding: str) -> None:
    name = here / "名前.png"
    (here / "photo_0.png").rename(name)
    done = run_in_process_of_its_own(
        *PAIR, "名前.png", "-p", SPEC, "-v", PYTHONIOENCODING=encoding, LC_ALL="C.UTF-8"
    )
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode(encoding)
    assert text.isascii()
    assert "PASS  Gives the float model's top-1 class" in text
    assert "\\u540d\\u524d.png" in text


@pytest.mark.parametrize(
    ("arguments", "changes", "coloured"),
    [
        ([], {}, False),
        ([], {"FORCE_COLOR": "1"}, True),
        ([], {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
        (["--color", "never"], {"FORCE_COLOR": "1"}, False),
    ],
)
def test_colours(here: Path, arguments: list[str], changes: dict[str, str], coloured: bool) -> None:
    done = run_in_process_of_its_own(*PAIR, "photo_0.png", "-p", SPEC, *arguments, **changes)
    assert done.returncode == 0
    assert (b"\x1b[" in done.stdout) is coloured
    assert b"\x1b" not in done.stderr
