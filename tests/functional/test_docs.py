"""Every command and every example of the documentation runs, and every page is where it is said."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.reading import Net, Runs, answers
from qdebug.metrics.metric import METRICS
from qdebug.options import (
    CompareCommandOptions,
    CompareOptions,
    ExtractOptions,
    PreprocessOptions,
    config_options,
    options_of,
)
from qdebug.preprocess import PreprocessSpec
from qdebug.preprocess.apply import prepare_file
from qdebug.preprocess.model_input import ModelInput
from qdebug.run.kinds import KINDS
from qdebug.run.layer_fields import FIELDS
from qdebug.run.redact import KINDS as REDACTIONS
from qdebug.vendors.reference import resolve_spec
from qdebug.vendors.registry import toolchains
from tests.conftest import ROOT
from tests.functional.conftest import Cli
from tests.support import dumps, labelled

DOCS = ROOT / "docs"
LIST, OPTIONS = "findings/index.md", "options.md"
MADE = {LIST: "findings_page", OPTIONS: "options_page"}
"""Pages that are made with the site, and by what."""
IMAGENET = "mean 123.675,116.28,103.53 std 58.395,57.12,57.375"
PAGES = sorted(
    path.relative_to(DOCS).as_posix() for path in (*DOCS.glob("*.md"), *DOCS.glob("*/*.md"))
)


def blocks(page: str, language: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[str]:
    """What a reader types, and what the recipes of CI systems run."""
    shell = [line[2:] for block in blocks(page, "console") for line in block.splitlines()]
    recipes = [line for block in blocks(page, "yaml") for line in block.splitlines()]
    found = [re.sub(r"^[\s-]*(run: )?", "", line) for line in recipes]
    found += [step for block in blocks(page, "groovy") for step in re.findall(r"sh '(.*)'", block)]
    return [line for line in [*shell, *found] if line.startswith("qdebug ")]


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The names that the documentation uses, and the run of its first command."""
    from qdebug.cli import main

    folder = tmp_path_factory.mktemp("docs")
    models = ROOT / "sample_models"
    shutil.copy(models / "classifier" / "float.onnx", folder)
    shutil.copy(models / "classifier" / "int8.onnx", folder)
    (folder / "shots").mkdir()
    for picture in sorted((models / "pictures" / "objects").iterdir())[:3]:
        shutil.copy(picture, folder / "shots")
    spec = resolve_spec("imagenet", ModelInput("images", "float32", (1, 3, 96, 96)), {}).spec
    assert spec is not None
    np.save(folder / "board.npy", prepare_file(folder / "shots" / "ball.jpg", spec).tensor)
    cone = folder / "shots" / "cone.jpg"
    pipeline = f"resize 96x96 cv2 linear | rgb | {IMAGENET} | nchw"
    dump = dumps.simulated(folder / "float.onnx", folder / "int8.onnx", cone, pipeline)
    dumps.write_npz(dump, folder / "dump.npz")
    (folder / "dumps").mkdir()
    dumps.write_npz(dump, folder / "dumps" / "cone.npz")
    fed = {"reference.npy": f"rgb | {IMAGENET} | nchw", "device.npy": "bgr | /255 | nhwc"}
    for name, rest in fed.items():
        made_by = PreprocessSpec.parse(f"resize 96x96 | {rest}")
        np.save(folder / name, prepare_file(cone, made_by).tensor)
    _write_labelled(folder)
    _write_stories(folder, dump, pipeline)
    request = ["compare", *(str(folder / name) for name in ("float.onnx", "int8.onnx", "shots"))]
    assert main([*request, "-q", "-o", str(folder / "int8.qdrun")]) in (0, 1)
    shutil.copytree(folder / "int8.qdrun", folder / "baseline.qdrun")
    assert (
        main(["report", str(folder / "int8.qdrun"), "-o", str(folder / "report.html"), "-q"]) == 0
    )
    return folder


def _write_labelled(folder: Path) -> None:
    """The data sets and the models of the page about scores."""
    file = labelled.coco(folder / "coco", most=4)
    file.rename(folder / "coco" / "instances_val2017.json")
    (folder / "detector").mkdir()
    for name in ("float.onnx", "int8.onnx"):
        shutil.copy(ROOT / "sample_models" / "detector" / name, folder / "detector")
    found = {"image_id": 100, "category_id": 1, "bbox": [10, 10, 50, 50], "score": 0.5}
    (folder / "board.json").write_text(json.dumps([found]), encoding="utf-8")
    rows = [f"shots/{p.name},{at}" for at, p in enumerate(sorted((folder / "shots").iterdir()))]
    (folder / "labels.csv").write_text("\n".join(["file,label", *rows]), encoding="utf-8")
    (folder / "answers.csv").write_text("\n".join(rows), encoding="utf-8")


def _write_stories(folder: Path, dump: dumps.Dump, pipeline: str) -> None:
    """What boards of the stories dumped and answered."""
    models = folder / "float.onnx", folder / "int8.onnx"
    fed = prepare_file(folder / "shots" / "cone.jpg", PreprocessSpec.parse(pipeline)).tensor
    dumps.write_npz(dumps.run_both(*models, (fed - 0.45) / 0.23), folder / "twice.npz")
    convs = [name for name, value in dump.items() if value.ndim == 4 and "Conv" in name]
    off = dumps.changed(dump, convs[len(convs) // 2], lambda v: v * np.float32(1.02))
    dumps.write_npz(off, folder / "gain.npz")
    pair = folder / "detector" / "float.onnx", folder / "detector" / "int8.onnx"
    scenes = sorted((folder / "coco" / "images").glob("scene_*.jpg"))
    spec = "letterbox 320 pad 114 | rgb | /255 | nchw"
    net = Net("detector", pair, spec, scenes, "v8", (320, 320), {}, pictures=len(scenes))
    runs = Runs.of(net, np.random.default_rng(0))
    work = folder / "work"
    work.mkdir()
    for mistake, name in (("sigmoid-twice", "boxes"), ("stretch-undone", "stretch")):
        answers(runs, mistake, work).rename(folder / f"{name}.json")


@pytest.fixture
def here(compared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(compared)
    return compared


def unexpected(err: str) -> list[str]:
    """Lines on stderr that do not tell the progress, which a slow machine is told."""
    told = ("qdebug: error", "qdebug: warning")
    lines = err.splitlines()
    return [x for x in lines if not x.startswith("qdebug: ") or x.startswith(told)]


@pytest.fixture(scope="module")
def ran() -> set[str]:
    """Commands that an earlier page has shown: many pages begin with the same one."""
    return set()


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_every_command_runs(page: str, here: Path, ran: set[str], cli: Cli) -> None:
    for command in dict.fromkeys(commands(page)):
        if command in ran:
            continue
        ran.add(command)
        words = shlex.split(command.partition(" >> ")[0])[1:]
        result = cli(*words)
        assert result.code in (0, 1), (command, result.err)
        assert not unexpected(result.err), command


@pytest.mark.slow
@pytest.mark.parametrize("page", ["python.md", "ci.md"])
def test_every_python_example_runs(page: str, here: Path) -> None:
    examples = blocks(page, "python")
    assert examples
    for example in examples:
        space: dict[str, object] = {"__name__": "example"}
        exec(compile(example, page, "exec"), space)
        for name, value in list(space.items()):
            if name.startswith("test_") and callable(value):
                value()


def test_pages_and_navigation_are_the_same() -> None:
    listed = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    findings = [kind.page for kind in KINDS.values()]  # linked from their list
    assert sorted([*listed, *findings]) == sorted([*PAGES, *MADE])


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_pages_and_headings(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        name, _, anchor = target.partition("#")
        linked = Path(os.path.normpath((DOCS / page).parent / name)) if name else DOCS / page
        maker = MADE.get(linked.relative_to(DOCS).as_posix())
        assert maker or linked.is_file(), target
        if linked.suffix != ".md":
            continue  # a picture
        body = script(maker).page() if maker else linked.read_text(encoding="utf-8")
        headings = re.findall(r"^#+ (.+)$", body, re.MULTILINE)
        anchors = {re.sub(r"[^\w-]", "", title.lower().replace(" ", "-")) for title in headings}
        assert not anchor or anchor in anchors, target


def script(name: str) -> Any:
    """A script of the documentation, as a module."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_options_has_every_option_and_key() -> None:
    text = script("options_page").page()
    for owner in (CompareOptions, CompareCommandOptions, ExtractOptions, PreprocessOptions):
        for option in options_of(owner):
            assert not option.flags or f"`{option.flags[0]}" in text
    assert [key for key in config_options() if f" | `{key}` | " not in text] == []
    rows = re.findall(r"^\|.*", text, re.MULTILINE)
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}


def test_the_json_reference_is_that_of_the_data_model() -> None:
    written = (DOCS / "json.md").read_text(encoding="utf-8")
    assert written == script("json_page").page(), "run python docs/json_page.py"


def test_the_list_of_findings_has_a_row_a_kind() -> None:
    row = r"^\| (QD\d+) \| \[`(\S+)`\]\((\S+)\) \| .+\. \|$"
    rows = re.findall(row, script("findings_page").page(), re.MULTILINE)
    assert rows == [(k.id, k.slug, f"{k.slug}.md") for k in KINDS.values()]


def test_the_site_s_pages_name_every_metric() -> None:
    tables = script("tables")
    text = tables.on_page_markdown((DOCS / "json.md").read_text(encoding="utf-8"), page=None)
    assert "<!-- table" not in text
    assert [name for name in METRICS if f"| `{name}` |" not in text] == []


@pytest.mark.parametrize("slug", KINDS)
def test_a_finding_s_page_tells_meaning_proof_and_cure(slug: str) -> None:
    text = (DOCS / "findings" / f"{slug}.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    assert parts[1::2] == ["What it means", "Verify", "Fix"]
    assert all(len(part.strip()) > 40 for part in parts[2::2])
    known = {vendor.title for vendor in toolchains()}
    assert set(re.findall(r"^\| ([^|`]+?) \| ", text, re.MULTILINE)) - {"toolchain"} <= known


def test_every_filter_field_and_kind_of_redaction_is_explained() -> None:
    text = script("tables").with_tables((DOCS / "filter.md").read_text(encoding="utf-8"))
    assert [name for name in FIELDS if f"`{name}`" not in text] == []
    reports = (DOCS / "reports.md").read_text(encoding="utf-8")
    assert [kind for kind in REDACTIONS if f"| `{kind}` |" not in reports] == []


def test_the_pre_commit_hook_runs_the_command() -> None:
    hook = (ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    assert re.search(r"^  entry: qdebug$", hook, re.MULTILINE)
    assert "- id: qdebug" in (DOCS / "ci.md").read_text(encoding="utf-8")


def test_every_key_of_the_browser_is_listed() -> None:
    from qdebug.tui.keys import KEYS, spoken

    text = (DOCS / "browser.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `.+` \|.*\| `\w+\.\w+` \|$", text, re.MULTILINE))
    assert rows == {f"| `{spoken(key.keys)}` | {key.about} | `{key.id}` |" for key in KEYS}
