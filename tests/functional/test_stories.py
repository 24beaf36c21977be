"""What the stories tell is what the commands do."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.functional.conftest import Cli

STORIES = [
    page
    for page in sorted((ROOT / "docs/stories").glob("*.md"))
    if "```sh\n" in page.read_text(encoding="utf-8")  # prompts are run with those of all pages
]


@pytest.mark.parametrize("page", STORIES, ids=lambda page: page.stem)
def test_a_story_ends_as_it_is_told(
    page: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("classifier", "detector", "pictures"):
        shutil.copytree(ROOT / "sample_models" / folder, tmp_path / folder)
    text = page.read_text(encoding="utf-8")
    told = re.findall(r"^```text\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (shell,) = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    out = ""
    for line in shell.splitlines():
        threads = ["--threads", "1"] if line.startswith("qdebug tune") else []
        result = cli(*shlex.split(line)[1:], *threads)
        assert result.code == 0, result.err
        out += result.out
    # Decibels depend on the machine; which cures are taken, and of what, does not.
    for cure in re.findall(r"^  ✓ (.*?):", told[0], re.MULTILINE):
        assert cure.split(" by ")[0] in out
    for block in told[1:]:
        assert any(
            file.is_file() and file.read_text(errors="replace").strip() == block.strip()
            for file in tmp_path.glob("*_qtable*")
        ) or any(file.read_text().strip() == block.strip() for file in tmp_path.glob("*.args"))
