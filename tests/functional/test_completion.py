"""The completion scripts, in the shells that this machine has."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from qdebug.cli.command import COMMANDS
from tests.functional.conftest import Cli

_BASH = """
source "$1"; shift
function=$(complete -p qdebug | sed 's/.*-F \\([^ ]*\\).*/\\1/')
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
$function
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def bash() -> str:
    found = shutil.which("bash")
    if found is None:
        pytest.skip("bash is not installed")
    return found


@pytest.fixture
def script(cli: Cli, tmp_path: Path) -> Path:
    result = cli("completion", "bash")
    assert (result.code, result.err) == (0, "")
    file = tmp_path / "qdebug.bash"
    file.write_text(result.out, encoding="utf-8")
    return file


def _completed(bash: str, script: Path, *words: str) -> set[str]:
    done = subprocess.run(
        [bash, "--norc", "-c", _BASH, "bash", str(script), *words],
        capture_output=True, text=True, check=True, timeout=20, cwd=script.parent,
    )  # fmt: skip
    assert done.stderr == ""
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("qdebug", ""), {*COMMANDS}),
        (("qdebug", "comp"), {"compare", "completion"}),
        (("qdebug", "compare", "--sens"), {"--sensitivity"}),
        (("qdebug", "compare", "--fail-on", ""), {"error", "warning", "never"}),
        (("qdebug", "compare", "flo"), {"float.onnx"}),
        (("qdebug", "compare", "float.onnx", "qu"), {"quant.onnx"}),
        (("qdebug", "report", "-o", "flo"), {"float.onnx"}),
    ],
)
def test_bash_completes(
    words: tuple[str, ...], expected: set[str], bash: str, script: Path
) -> None:
    for name in ("float.onnx", "quant.onnx"):
        (script.parent / name).touch()
    assert expected <= _completed(bash, script, *words)
    if words[-1]:
        assert all(word.startswith(words[-1]) for word in _completed(bash, script, *words))


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_read_their_script(shell: str, cli: Cli, tmp_path: Path) -> None:
    result = cli("completion", shell)
    assert result.code == 0
    assert all(name in result.out for name in COMMANDS)
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed: its script was written but not read")
    file = tmp_path / f"qdebug.{shell}"
    file.write_text(result.out, encoding="utf-8")
    subprocess.run([found, "-n", str(file)], check=True, timeout=20)


def test_an_unknown_shell_is_refused(cli: Cli) -> None:
    result = cli("completion", "tcsh")
    assert result.code == 2
    assert "tcsh" in result.err
