"""Loops kept as machine code: when they are compiled, where they lie, and what is never loaded."""

from __future__ import annotations

import ctypes
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import llvmlite.binding as llvm
import numpy as np
import platformdirs
import pytest

from qdebug import interrupts
from qdebug.metrics import kernels, machine_code
from qdebug.metrics.machine_code import Function, Loops
from tests.support import tiny_loops

SCALE = Loops("tests.support.tiny_loops", {"scale": "pnd"})
KERNELS = {name: kernels._LOOPS.parameters[name] for name in ("clipped", "finite_range")}


class _Compilations:
    """How often something was compiled; the first result is given again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        monkeypatch.setattr(machine_code, "_compiled", self._compiled)

    def _compiled(self, loops: Loops) -> list[Any]:
        self.count += 1
        return [_COMPILED[name] for name in loops.parameters]


_COMPILED: dict[str, Any] = {}


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Everything that the tests here need, compiled once."""
    for loops in (
        SCALE,
        Loops(SCALE.module, {"turn": "pn"}),
        Loops(kernels._LOOPS.module, KERNELS),
    ):
        _COMPILED.update(zip(loops.parameters, machine_code._compiled(loops), strict=True))


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> _Compilations:
    return _Compilations(monkeypatch)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the machine code is kept."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kept"))
    return tmp_path / "kept"


def _scaled(functions: dict[str, Function]) -> list[float]:
    values = np.array([1.0, 2.0, 3.0])
    functions["scale"](values.ctypes.data, values.size, 2.5)
    return [float(value) for value in values]


def test_what_was_kept_is_not_compiled_again(folder: Path, compilations: _Compilations) -> None:
    assert _scaled(machine_code.load(SCALE)) == [2.5, 5, 7.5]
    assert _scaled(machine_code.load(SCALE)) == [2.5, 5, 7.5]
    assert compilations.count == 1
    assert len(list(folder.iterdir())) == 1  # and no half file beside it


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "of another key"])
def test_damaged_machine_code_is_not_loaded_but_made_anew(
    folder: Path, compilations: _Compilations, damage: str
) -> None:
    machine_code.load(SCALE)
    (kept,) = folder.iterdir()
    whole = kept.read_bytes()
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 1
    other = machine_code._seal(b"other key", whole[32:]) + whole[32:]
    kept.write_bytes(
        {"cut": whole[:-7], "changed": bytes(changed), "empty": b"", "of another key": other}[
            damage
        ]
    )
    assert _scaled(machine_code.load(SCALE)) == [2.5, 5, 7.5]
    assert compilations.count == 2
    assert kept.read_bytes() == whole


def test_another_process_compiles_what_this_one_calls(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compilations: _Compilations
) -> None:
    """It looks where this one does, not in the working directory."""
    (tmp_path / "numba.py").write_text("raise SystemExit('another numba')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert _scaled(machine_code.load(SCALE, apart=True)) == [2.5, 5, 7.5]
    assert compilations.count == 0
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize("program", ["", "nowhere", "echo"])
def test_where_no_other_process_can_it_is_compiled_here(
    program: str, folder: Path, monkeypatch: pytest.MonkeyPatch, compilations: _Compilations
) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which(program) or program)
    assert _scaled(machine_code.load(SCALE, apart=True)) == [2.5, 5, 7.5]
    assert compilations.count == 1


def test_whoever_is_asked_to_stop_compiles_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, compilations: _Compilations
) -> None:
    """Neither the other process to its end, nor this one where that one ended."""
    waits = [sys.executable, "-c", "import time; time.sleep(600)"]
    monkeypatch.setattr(interrupts, "arrived", lambda: True)
    assert machine_code._told_by(waits) == b""
    for before in ([None], []):  # the signal arrives while the other one compiles, or before
        check = Mock(side_effect=[*before, KeyboardInterrupt])
        monkeypatch.setattr(interrupts, "check", check)
        with pytest.raises(KeyboardInterrupt):
            machine_code.load(SCALE, apart=True)
    assert compilations.count == 0


def test_without_a_place_to_keep_it_it_is_compiled_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compilations: _Compilations
) -> None:
    file = tmp_path / "a file, not a folder"
    file.touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(file))
    for _ in range(2):
        assert _scaled(machine_code.load(SCALE)) == [2.5, 5, 7.5]
    assert compilations.count == 2


def test_a_full_disk_leaves_no_half_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, compilations: _Compilations
) -> None:
    def write_half(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_half)
    assert _scaled(machine_code.load(SCALE)) == [2.5, 5, 7.5]
    assert list(folder.iterdir()) == []


def _module(folder: Path, monkeypatch: pytest.MonkeyPatch, *, added: str = "") -> Loops:
    """The loops as a module of its own in a folder."""
    folder.mkdir(exist_ok=True)
    text = Path(tiny_loops.__file__).read_text(encoding="utf-8") + added
    (folder / "loops_of_a_test.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    return Loops("loops_of_a_test", SCALE.parameters)


def test_it_lies_beside_the_module_or_in_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compilations: _Compilations
) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    cache = tmp_path / "cache"
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda *_, **__: cache)
    loops = _module(tmp_path / "package", monkeypatch)
    beside = tmp_path / "package" / "__pycache__"

    machine_code.load(loops)
    assert len(list(beside.glob("*.machine-code"))) == 1
    assert not cache.exists()

    shutil.rmtree(beside)
    beside.touch()  # cannot be written to, whoever runs this test
    for _ in range(2):
        machine_code.load(loops)
    assert len(list(cache.iterdir())) == 1
    assert compilations.count == 2
    assert loops.module not in sys.modules


def test_other_loops_have_another_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loops = _module(tmp_path, monkeypatch)
    keys = {machine_code._key(loops), machine_code._key(Loops(loops.module, {"turn": "pn"}))}
    keys.add(machine_code._key(Loops(loops.module, loops.parameters, ("tests.support",))))
    _module(tmp_path, monkeypatch, added="# another text\n")
    assert len(keys | {machine_code._key(loops)}) == 4


def test_what_needs_numba_while_it_runs_is_called_where_numba_compiled_it(
    folder: Path, compilations: _Compilations
) -> None:
    values = np.array([1.0, 2.0, 3.0])
    turn = machine_code.load(Loops(SCALE.module, {"turn": "pn"}))["turn"]
    turn(values.ctypes.data, values.size)
    assert values.tolist() == [3, 2, 1]
    assert not folder.exists()


def test_they_are_compiled_where_numba_is_told_to_interpret(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Functions that loops call would be left as they are, which no machine code can call."""
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    added = (
        "from numba.extending import overload\n\n\ndef half(x):\n    return x / 2\n\n\n"
        "@overload(half)\ndef _half(x):\n    return half\n\n\n"
        "def halve(values, size):\n    array = carray(values, (size,), np.float64)\n"
        "    for at in range(size):\n        array[at] = half(array[at])\n"
    )
    loops = Loops(_module(tmp_path, monkeypatch, added=added).module, {"halve": "pn"})
    values = np.array([1.0, 2.0, 3.0])
    machine_code.load(loops)["halve"](values.ctypes.data, values.size)
    del sys.modules[loops.module]  # another test's is another file
    assert values.tolist() == [0.5, 1, 1.5]
    assert folder.exists()


@pytest.mark.parametrize("part", ["create_pass_builder", "create_mcjit_compiler"])
def test_with_another_llvmlite_the_numbers_are_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch, compilations: _Compilations, part: str
) -> None:
    monkeypatch.delattr(llvm, part)
    monkeypatch.setattr(kernels, "_RUN", machine_code.load(Loops(kernels._LOOPS.module, KERNELS)))
    values = np.array([-1, -1.5, 2, np.nan, 2.5], np.float32)
    assert kernels.finite_range(values) == (-1.5, 2.5)
    assert kernels.clipped(values, values + np.float32(1), -1.0, 2.0) == (2, 2)
    assert not folder.exists()


def test_the_c_library_s_own_functions_are_found() -> None:
    """LLVM would end the process for one that is not."""
    for name in machine_code._CALLED:
        assert llvm.address_of_symbol(name), name


def test_functions_take_whole_addresses() -> None:
    seen: list[tuple[Any, ...]] = []
    callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_double)(
        lambda *given: seen.append(given)
    )
    address = ctypes.cast(callback, ctypes.c_void_p).value
    assert address is not None
    SCALE.functions([address])["scale"](2**47 + 1, -(2**40), 0.1)
    assert seen == [(2**47 + 1, -(2**40), 0.1)]


@pytest.mark.parametrize(
    ("features", "given", "used"),
    [
        ("+avx2,+avx512f", None, "+avx2,+avx512f,-prefer-256-bit"),
        ("+avx2", None, None),
        ("+avx2,+avx512f", "+avx", "+avx"),
    ],
)
def test_vectors_are_as_wide_as_the_processor_s_unless_told_otherwise(
    features: str, given: str | None, used: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_code, "_features", lambda: features)
    config = SimpleNamespace(
        CPU_FEATURES=given, ENABLE_AVX=1, DISABLE_JIT=1, reload_config=lambda: None
    )
    with pytest.raises(ZeroDivisionError), machine_code._as_wanted(config):
        assert used == config.CPU_FEATURES
        raise ZeroDivisionError
    assert given == config.CPU_FEATURES
    assert config.DISABLE_JIT == 1
