"""Every command and every example of the documentation runs, and every page is where it is said."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
from pathlib import Path

import pytest

from qdebug.run.filter import FIELDS
from qdebug.run.redact import KINDS
from tests.conftest import ROOT
from tests.functional.conftest import Cli

DOCS = ROOT / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))


def blocks(page: str, language: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[str]:
    """What a reader types, and what the recipes of CI systems run."""
    shell = [line[2:] for block in blocks(page, "console") for line in block.splitlines()]
    recipes = [line for block in blocks(page, "yaml") for line in block.splitlines()]
    found = [re.sub(r"^[\s-]*(run: )?", "", line) for line in recipes]
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
    request = ["compare", *(str(folder / name) for name in ("float.onnx", "int8.onnx", "shots"))]
    assert main([*request, "-q", "-o", str(folder / "int8.qdrun")]) in (0, 1)
    shutil.copytree(folder / "int8.qdrun", folder / "baseline.qdrun")
    assert (
        main(["report", str(folder / "int8.qdrun"), "-o", str(folder / "report.html"), "-q"]) == 0
    )
    return folder


@pytest.fixture
def here(compared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(compared)
    return compared


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_every_command_runs(page: str, here: Path, cli: Cli) -> None:
    for command in commands(page):
        words = shlex.split(command.partition(" >> ")[0])[1:]
        result = cli(*words)
        assert result.code in (0, 1), (command, result.err)
        assert result.err == "", command


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
    assert sorted(listed) == PAGES


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_pages_and_headings(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        name, _, anchor = target.partition("#")
        linked = DOCS / (name or page)
        assert linked.is_file(), target
        headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
        anchors = {re.sub(r"[^\w-]", "", title.lower().replace(" ", "-")) for title in headings}
        assert not anchor or anchor in anchors, target


def test_the_json_reference_is_that_of_the_data_model() -> None:
    spec = importlib.util.spec_from_file_location("json_page", DOCS / "json_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written = (DOCS / "json.md").read_text(encoding="utf-8")
    assert written == module.page(), "run python docs/json_page.py"


def test_every_filter_field_and_kind_of_redaction_is_explained() -> None:
    text = (DOCS / "filter.md").read_text(encoding="utf-8")
    assert [name for name in FIELDS if f"`{name}`" not in text] == []
    reports = (DOCS / "reports.md").read_text(encoding="utf-8")
    assert [kind for kind in KINDS if f"| `{kind}` |" not in reports] == []


def test_the_pre_commit_hook_runs_the_command() -> None:
    hook = (ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    assert re.search(r"^  entry: qdebug$", hook, re.MULTILINE)
    assert "- id: qdebug" in (DOCS / "ci.md").read_text(encoding="utf-8")
