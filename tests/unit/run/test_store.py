"""A stored run is there whole or not at all, and loads back equal from every form."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from qdebug.errors import RunError, UsageError
from qdebug.run import atomic
from qdebug.run.clean import cleaned
from qdebug.run.files import DirectoryFiles
from qdebug.run.model import Run
from qdebug.run.store import (
    MemoryWriter,
    RunWriter,
    default_destination,
    load_run,
    run_from_json,
    run_to_json,
)
from tests.support import synthetic_run


@pytest.fixture(scope="module")
def run() -> Run:
    return synthetic_run(50, samples=3)


def save(run: Run, path: Path, *, force: bool = False) -> Run:
    with RunWriter(path, force=force) as writer:
        for name in run.files.names():
            if name not in ("run.json", "hist.npz"):
                writer.add(name, run.files.read(name))
        return writer.commit(run, run.arrays)


def same(left: Run, right: Run) -> bool:
    """Equal but for the nine digits that are stored; NaN counts as equal to NaN."""
    return run_to_json(left) == run_to_json(right)


class TestRoundTrip:
    def test_directory(self, run: Run, tmp_path: Path) -> None:
        saved = save(run, tmp_path / "net.qdrun")
        loaded = load_run(tmp_path / "net.qdrun")
        assert same(loaded, run)
        assert same(saved, run)
        assert loaded.files.names() == saved.files.names()
        assert loaded.arrays.to_bytes() == run.arrays.to_bytes()
        kept = next(layer for layer in loaded.layers if layer.kept)
        name = f"tensors/float/{kept.index:04}.npy"
        assert loaded.files.array(name).shape == kept.shape

    def test_zip_with_and_without_its_folder(self, run: Run, tmp_path: Path) -> None:
        save(run, tmp_path / "net.qdrun")
        for prefix in ("", "net.qdrun/"):
            path = tmp_path / "net.zip"
            with zipfile.ZipFile(path, "w") as archive:
                for file in (tmp_path / "net.qdrun").rglob("*"):
                    archive.write(file, prefix + str(file.relative_to(tmp_path / "net.qdrun")))
            loaded = load_run(path)
            assert same(loaded, run)
            assert loaded.files.names() == load_run(tmp_path / "net.qdrun").files.names()

    def test_memory(self, run: Run) -> None:
        with MemoryWriter() as writer:
            writer.add("thumbs/0.png", b"png")
            kept = writer.commit(run, run.arrays)
        assert kept.files.read("thumbs/0.png") == b"png"
        assert kept.arrays.to_bytes() == run.arrays.to_bytes()

    def test_equal_runs_give_equal_bytes(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            save(synthetic_run(45, samples=2), tmp_path / f"{name}.qdrun")
        first, second = DirectoryFiles(tmp_path / "a.qdrun"), DirectoryFiles(tmp_path / "b.qdrun")
        assert first.names() == second.names()
        assert all(first.read(name) == second.read(name) for name in first.names())

    def test_hostile_names(self, tmp_path: Path) -> None:
        hostile = synthetic_run(40, samples=26, hostile_names=True)
        save(hostile, tmp_path / "[a] b.qdrun")
        path = tmp_path / "[a] b.qdrun"
        assert load_run(path, as_stored=True).samples == hostile.samples
        assert load_run(path).samples == cleaned(hostile).samples

    def test_a_file_name_that_is_not_utf8(self, run: Run, tmp_path: Path) -> None:
        name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
        odd = dataclasses.replace(run, notes=(name, "\\udce9 spelled out"))
        save(odd, tmp_path / "net.qdrun")
        loaded = load_run(tmp_path / "net.qdrun", as_stored=True)
        assert loaded.notes == odd.notes
        assert same(loaded, odd)

    def test_words_that_are_numbers_elsewhere(self, run: Run) -> None:
        for word in ("inf", "nan", "null", "12", "true"):
            layer = dataclasses.replace(run.layers[3], name=word, worst_sample=word, reason=word)
            assert layer.accumulated is not None
            assert layer.accumulated.sqnr_db == math.inf
            loaded = run_from_json(run_to_json(dataclasses.replace(run, layers=(layer,))))
            assert loaded.layers[0].name == loaded.layers[0].worst_sample == word
            assert loaded.layers[0].reason == word

    def test_keys_are_sorted_and_the_file_ends_in_a_newline(self, run: Run) -> None:
        text = run_to_json(run)
        assert text.endswith("}\n")
        assert list(json.loads(text)) == sorted(json.loads(text))


class TestAtomicity:
    def test_nothing_is_visible_before_commit(self, run: Run, tmp_path: Path) -> None:
        with RunWriter(tmp_path / "net.qdrun") as writer:
            writer.add("thumbs/0.png", b"x")
            assert not (tmp_path / "net.qdrun").exists()
            writer.commit(run, run.arrays)
        assert [path.name for path in tmp_path.iterdir()] == ["net.qdrun"]

    def test_an_exception_leaves_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(ZeroDivisionError), RunWriter(tmp_path / "net.qdrun") as writer:
            writer.add("thumbs/0.png", b"x")
            raise ZeroDivisionError
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL there")
    def test_a_killed_process_leaves_no_run_and_the_next_cleans_up(
        self, run: Run, tmp_path: Path
    ) -> None:
        script = (
            "import os, signal, sys; from pathlib import Path\n"
            "from qdebug.run.store import RunWriter\n"
            "with RunWriter(Path(sys.argv[1])) as writer:\n"
            "    writer.add('tensors/float/0.npy', b'x' * 1000)\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        target = tmp_path / "net[1].qdrun"
        done = subprocess.run([sys.executable, "-c", script, str(target)], check=False)
        assert done.returncode == -signal.SIGKILL
        left = sorted(path.suffix for path in tmp_path.iterdir())
        assert left == [".lock", ".partial"]
        with pytest.raises(RunError):
            load_run(target)
        save(run, target)
        assert [path.name for path in tmp_path.iterdir()] == ["net[1].qdrun"]

    def test_a_partial_run_of_a_living_process_is_left_alone(
        self, run: Run, tmp_path: Path
    ) -> None:
        """Process ids mean nothing across containers: what counts is the lock."""
        script = (
            "import sys; from pathlib import Path\n"
            "from qdebug.run.store import RunWriter\n"
            "with RunWriter(Path(sys.argv[1])) as writer:\n"
            "    writer.add('tensors/float/0.npy', b'x')\n"
            "    print('writing', flush=True)\n"
            "    sys.stdin.read()\n"
            "    writer.add('tensors/quant/0.npy', b'x')\n"
            "    assert len(list(writer.root.rglob('*.npy'))) == 2\n"
        )
        target = tmp_path / "net.qdrun"
        other = subprocess.Popen(
            [sys.executable, "-c", script, str(target)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert other.stdout is not None
        other.stdout.readline()
        save(run, target)
        other.communicate(b"", timeout=60)
        assert other.returncode == 0
        assert [path.name for path in tmp_path.iterdir()] == ["net.qdrun"]

    @pytest.mark.parametrize(("hours", "kept"), [(23, True), (25, False)])
    def test_a_partial_run_of_another_machine_is_left_alone_for_a_day(
        self, run: Run, tmp_path: Path, hours: int, kept: bool
    ) -> None:
        other = tmp_path / ".net.qdrun.abcdef-00000000.partial"
        other.mkdir()
        lock = other.with_suffix(".lock")
        lock.touch()
        before = time.time() - hours * 3600
        for path in (other, lock):
            os.utime(path, (before, before))
        save(run, tmp_path / "net.qdrun")
        assert other.exists() is lock.exists() is kept

    @pytest.mark.parametrize("pid", ["x", "", "²", "9" * 30])
    def test_odd_leftovers_do_no_harm(self, run: Run, tmp_path: Path, pid: str) -> None:
        (tmp_path / f".net.qdrun.{pid}.partial").mkdir()
        save(run, tmp_path / "net.qdrun")
        assert load_run(tmp_path / "net.qdrun").schema == run.schema

    def test_a_run_moved_aside_by_a_killed_process_comes_back(
        self, run: Run, tmp_path: Path
    ) -> None:
        save(run, tmp_path / "net.qdrun")
        dead = subprocess.Popen([sys.executable, "-c", ""])
        dead.wait()
        (tmp_path / "net.qdrun").rename(tmp_path / f".net.qdrun.{dead.pid}.old")
        assert same(load_run(tmp_path / "net.qdrun"), run)
        with pytest.raises(UsageError, match="exists already"):
            save(run, tmp_path / "net.qdrun")
        assert same(load_run(tmp_path / "net.qdrun"), run)

    @pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL there")
    @pytest.mark.parametrize("exchange", ["", "atomic.exchange = lambda one, other: False\n"])
    def test_a_kill_at_any_moment_of_the_replacement_leaves_a_whole_run(
        self, run: Run, tmp_path: Path, exchange: str
    ) -> None:
        """Killed after the n-th change to the folder, for every n, until it ends by itself."""
        script = (
            "import os, signal, sys; from pathlib import Path\n"
            "from qdebug.run import atomic\n"
            "from qdebug.run.store import RunWriter, load_run\n"
            + exchange
            + "left = int(sys.argv[2])\n"
            "def count(event, args):\n"
            "    global left\n"
            "    if event in ('os.rename', 'os.remove', 'os.rmdir', 'ctypes.dlsym'):\n"
            "        left -= 1\n"
            "        if left < 0: os.kill(os.getpid(), signal.SIGKILL)\n"
            "run = load_run(sys.argv[1])\n"
            "with RunWriter(Path(sys.argv[1]), force=True) as writer:\n"
            "    sys.addaudithook(count)\n"
            "    writer.commit(run, run.arrays)\n"
        )
        target = tmp_path / "net.qdrun"
        save(run, target)
        for steps in range(40):
            arguments = [sys.executable, "-c", script, str(target), str(steps)]
            done = subprocess.run(arguments, check=False, timeout=60)
            assert same(load_run(target), run), f"killed after {steps} steps"
            if done.returncode == 0:
                break
        assert 3 < steps < 39, "no moment was tried"
        save(run, target, force=True)
        assert [path.name for path in tmp_path.iterdir()] == ["net.qdrun"]

    def test_a_failing_replacement_keeps_the_old_run(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        save(run, tmp_path / "net.qdrun")
        monkeypatch.setattr(atomic, "exchange", lambda *_: False)
        rename = Path.rename

        def refuse(self: Path, target: Path) -> Path:
            if self.name.endswith(".partial"):
                raise PermissionError(13, "Permission denied")
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", refuse)
        newer = dataclasses.replace(run, notes=("newer",))
        with pytest.raises(RunError, match="Permission denied"):
            save(newer, tmp_path / "net.qdrun", force=True)
        assert [path.name for path in tmp_path.iterdir()] == ["net.qdrun"]
        assert load_run(tmp_path / "net.qdrun").notes == run.notes

    def test_a_full_disk_is_a_run_error(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(self: Path, data: bytes) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.raises(RunError, match="No space left on device") as caught:
            save(run, tmp_path / "net.qdrun")
        assert caught.value.hint is not None
        assert list(tmp_path.iterdir()) == []


class TestDestination:
    def test_an_existing_run_is_replaced_only_with_force(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "net.qdrun"
        save(run, path)
        with pytest.raises(UsageError, match="exists already") as caught:
            save(run, path)
        assert "--force" in (caught.value.hint or "")
        save(dataclasses.replace(run, notes=("second",)), path, force=True)
        assert load_run(path).notes == ("second",)
        assert [entry.name for entry in tmp_path.iterdir()] == ["net.qdrun"]

    @pytest.mark.parametrize("force", [False, True])
    def test_what_is_not_a_run_is_never_replaced(
        self, run: Run, tmp_path: Path, force: bool
    ) -> None:
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "me.jpg").write_text("x")
        (tmp_path / "file.qdrun").write_text("x")
        for name in ("photos", "file.qdrun"):
            with pytest.raises(UsageError, match="is not a qdebug run"):
                save(run, tmp_path / name, force=force)
        assert (tmp_path / "photos" / "me.jpg").exists()

    def test_a_run_that_appears_meanwhile_is_not_replaced(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "net.qdrun"
        with pytest.raises(UsageError, match="exists already"), RunWriter(path) as writer:
            path.mkdir()
            (path / "run.json").write_text(run_to_json(run))
            writer.commit(dataclasses.replace(run, notes=("late",)), run.arrays)
        assert load_run(path).notes == run.notes

    def test_a_parent_that_is_a_file(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(RunError, match="cannot write"):
            save(run, tmp_path / "file" / "net.qdrun")

    def test_default_names_count_up(self, tmp_path: Path) -> None:
        names = []
        for _ in range(3):
            path = default_destination("model.int8.onnx", tmp_path)
            path.mkdir()
            names.append(path.name)
        assert names == ["model.int8.qdrun", "model.int8-2.qdrun", "model.int8-3.qdrun"]


class TestLoading:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "not valid JSON"),
            ("{", "not valid JSON"),
            ("[" * 100_000, "not valid JSON"),
            ("[]", "names no qdebug.run schema"),
            ("{}", "names no qdebug.run schema"),
            ('{"schema": 1}', "names no qdebug.run schema"),
            ('{"schema": "qdebug.report/1"}', "names no qdebug.run schema"),
            ('{"schema": "qdebug.run/1"}', "run is incomplete"),
            ('{"schema": "qdebug.run/1", "layers": 3}', "run.layers should be a list"),
        ],
    )
    def test_damaged_json(self, tmp_path: Path, text: str, message: str) -> None:
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(RunError, match=message):
            load_run(tmp_path)

    @pytest.mark.parametrize("note", ["plain", "caf\udce9"])
    @pytest.mark.parametrize(
        ("part", "value", "message"),
        [
            ("index", "7", r"run\.layers\[7\]\.index should be of type int"),
            ("accumulated", 3, r"run\.layers\[7\]\.accumulated should be an object or null"),
            (
                "sample_sqnr_db",
                ["inf", "+inf"],
                r"run\.layers\[7\]\.sample_sqnr_db\[1\] cannot be '\+inf'",
            ),
            ("op", None, r"run\.layers\[7\]\.op should be of type str"),
        ],
    )
    def test_a_layer_that_does_not_fit_is_named(
        self, run: Run, part: str, value: object, message: str, note: str
    ) -> None:
        stored = json.loads(run_to_json(run))
        stored["notes"] = [note]
        stored["layers"][7][part] = value
        with pytest.raises(RunError, match=message):
            run_from_json(json.dumps(stored))

    def test_json_that_is_not_text(self, tmp_path: Path) -> None:
        (tmp_path / "run.json").write_bytes(b"\xff\xfe{}")
        with pytest.raises(RunError, match="not UTF-8"):
            load_run(tmp_path)

    @pytest.mark.parametrize("cut", [0.1, 0.5, 0.999])
    def test_truncated_json(self, run: Run, tmp_path: Path, cut: float) -> None:
        text = run_to_json(run)
        (tmp_path / "run.json").write_text(text[: int(cut * len(text))], encoding="utf-8")
        with pytest.raises(RunError, match="not valid JSON"):
            load_run(tmp_path)

    @pytest.mark.parametrize("version", ["2", "2.0", "0", "", "x"])
    def test_another_major_schema_is_refused_with_both_named(self, run: Run, version: str) -> None:
        text = run_to_json(dataclasses.replace(run, schema=f"qdebug.run/{version}"))
        with pytest.raises(RunError) as caught:
            run_from_json(text)
        assert f"qdebug.run/{version}" in caught.value.message
        assert "qdebug.run/1" in caught.value.message

    def test_a_newer_minor_schema_with_more_fields_loads(self, run: Run) -> None:
        value = json.loads(run_to_json(run))
        value["schema"] = "qdebug.run/1.7"
        value["novelty"] = {"a": 1}
        value["layers"][0]["novelty"] = 3
        loaded = run_from_json(json.dumps(value))
        assert loaded.layers[0].name == run.layers[0].name

    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(RunError, match="does not exist"):
            load_run(tmp_path / "no.qdrun")
        with pytest.raises(RunError, match=r"has no run\.json"):
            load_run(tmp_path)


def test_lines_are_as_json_writes_them(run: Run) -> None:
    odd = dataclasses.replace(run, notes=('caf\xe9 "quoted" \\ \n', "", "\U0001f600"))
    value = json.loads(run_to_json(odd, compact=True))
    lines = json.dumps(value, sort_keys=True, ensure_ascii=False, indent=1)
    assert run_to_json(odd) == lines + "\n"
