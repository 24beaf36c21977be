"""The composite action, its steps run as a runner of GitHub Actions runs them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from qdebug.run.store import load_run
from tests.conftest import ROOT

ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
BASH = shutil.which("bash")
pytestmark = pytest.mark.skipif(BASH is None, reason="bash is not installed")


def _filled(text: str, given: dict[str, str]) -> str:
    return re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda match: given[match[1]], text)


def _run(folder: Path, **inputs: str) -> tuple[int, dict[str, str], str]:
    """Exit code, outputs and summary of the step that compares; nothing is installed."""
    given = {name: str(entry.get("default", "")) for name, entry in ACTION["inputs"].items()}
    given |= inputs
    (step,) = (step for step in ACTION["runs"]["steps"] if step.get("id") == "compare")
    written = {name: folder / f"{name}.txt" for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    for file in written.values():
        file.write_text("", encoding="utf-8")
    script = folder / "step.sh"
    script.write_text(_filled(step["run"], given), encoding="utf-8")
    shim = folder / "bin"
    shim.mkdir(exist_ok=True)
    for name, module in (("qdebug", "-m qdebug"), ("python", "")):
        file = shim / name
        file.write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n', encoding="utf-8")
        file.chmod(0o755)
    environment = {
        **os.environ,
        **{name: str(file) for name, file in written.items()},
        **{name: _filled(text, given) for name, text in step["env"].items()},
        "PATH": f"{shim}{os.pathsep}{os.environ['PATH']}",
    }
    assert BASH is not None
    done = subprocess.run(
        [BASH, "--noprofile", "--norc", "-eo", "pipefail", str(script)],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    lines = written["GITHUB_OUTPUT"].read_text(encoding="utf-8").splitlines()
    outputs = dict(line.split("=", 1) for line in lines)
    return done.returncode, outputs, written["GITHUB_STEP_SUMMARY"].read_text(encoding="utf-8")


@pytest.mark.slow
def test_it_compares_reports_and_ends_with_the_exit_code(here: Path) -> None:
    (here / "two words").mkdir()
    (here / "photo_0.png").rename(here / "two words" / "photo_0.png")
    inputs = "two words/photo_0.png\n\nphoto_1.png\n"
    code, outputs, summary = _run(
        here, float="float.onnx", quant="quant.onnx", inputs=inputs, options="--fail-on never"
    )
    run = load_run(here / "int8.qdrun")
    assert code == 0
    assert len(run.samples) == 2
    assert outputs == {
        "status": run.verdict.status, "report": "int8.html", "sarif": "int8.sarif",
    }  # fmt: skip
    assert summary.startswith("#")
    assert run.verdict.status.upper() in summary
    assert (here / "int8.html").is_file()


@pytest.mark.slow
def test_a_limit_fails_the_job_and_no_verdict_is_told(here: Path) -> None:
    given = {"float": "float.onnx", "quant": "quant.onnx", "inputs": "photo_0.png"}
    code, outputs, _ = _run(here, **given, options="--fail-under sqnr_db=200")
    assert (code, outputs["status"]) == (1, "fail")
    code, outputs, summary = _run(here, **(given | {"quant": 'no"$(touch oops)".onnx'}))
    assert (code, outputs, summary) == (2, {"status": "none"}, "")
    assert not (here / "oops").exists()


def test_every_input_is_used_and_documented() -> None:
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    used = set(re.findall(r"inputs\.(\w+)", text))
    assert used == set(ACTION["inputs"])
    page = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    assert [name for name in ACTION["inputs"] if f"`{name}`" not in page] == []
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step.get("run", ""), "inputs reach a script through its environment"
