"""Reading a run's files from a directory, a zip and a page, sound or damaged or hostile."""

from __future__ import annotations

import base64
import gzip
import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from qdebug.errors import RunError
from qdebug.run.arrays import HIST_NPZ, RunArrays
from qdebug.run.files import DirectoryFiles, MemoryFiles, ZipFiles, files_in_html


def npy(array: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array), allow_pickle=True)
    return buffer.getvalue()


def make_zip(path: Path, content: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def page(tmp_path: Path, run: bytes | str, files: str = "{}", body: str = "") -> Path:
    packed = run if isinstance(run, str) else base64.b64encode(gzip.compress(run)).decode()
    path = tmp_path / "report.html"
    path.write_text(
        f'<!doctype html><p>{body}</p><script type="text/plain" id="qdebug-run">{packed}</script>'
        f'<script type="application/json" id="qdebug-files">{files}</script>',
        encoding="utf-8",
    )
    return path


class TestDirectory:
    def test_names_and_content(self, tmp_path: Path) -> None:
        (tmp_path / "thumbs").mkdir()
        (tmp_path / "thumbs" / "0.png").write_bytes(b"png")
        (tmp_path / "run.json").write_bytes(b"{}")
        files = DirectoryFiles(tmp_path)
        assert files.names() == ["run.json", "thumbs/0.png"]
        assert files.read("thumbs/0.png") == b"png"

    def test_arrays_are_mapped_not_read(self, tmp_path: Path) -> None:
        (tmp_path / "a.npy").write_bytes(npy([[1.5, 2.5]]))
        array = DirectoryFiles(tmp_path).array("a.npy")
        assert isinstance(array, np.memmap)
        assert array.tolist() == [[1.5, 2.5]]

    @pytest.mark.parametrize("array", [np.zeros((0, 3), np.float32), np.float32(2.0)])
    def test_empty_and_scalar_arrays(self, tmp_path: Path, array: np.ndarray) -> None:
        (tmp_path / "a.npy").write_bytes(npy(array))
        loaded = DirectoryFiles(tmp_path).array("a.npy")
        assert loaded.shape == array.shape
        assert np.array_equal(loaded, array)

    @pytest.mark.parametrize(
        "name",
        ["../secret", "thumbs/../../secret", "/etc/passwd", "..\\secret", "C:secret", "a\0b"],
    )
    def test_names_that_leave_the_run_are_refused(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "secret").write_text("s")
        root = tmp_path / "a.qdrun"
        root.mkdir()
        with pytest.raises(RunError, match="outside the run"):
            DirectoryFiles(root).read(name)

    @pytest.mark.skipif(sys.platform == "win32", reason="making links needs a privilege there")
    def test_links_that_leave_the_run_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("s")
        root = tmp_path / "a.qdrun"
        root.mkdir()
        (root / "link").symlink_to(tmp_path / "secret")
        with pytest.raises(RunError, match="outside the run"):
            DirectoryFiles(root).read("link")

    def test_a_missing_file_names_the_run_and_the_file(self, tmp_path: Path) -> None:
        with pytest.raises(RunError, match=r"cannot read thumbs/9\.png"):
            DirectoryFiles(tmp_path).read("thumbs/9.png")

    @pytest.mark.parametrize("data", [b"", b"\x93NUMPY", npy([1.0])[:-3], npy([object()])])
    def test_damaged_or_pickled_arrays_are_refused(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "a.npy").write_bytes(data)
        with pytest.raises(RunError, match=r"a\.npy"):
            DirectoryFiles(tmp_path).array("a.npy")
        with pytest.raises(RunError, match=r"a\.npy"):
            MemoryFiles({"a.npy": data}).array("a.npy")


class TestZip:
    @pytest.mark.parametrize("prefix", ["", "net.qdrun/", "deep/er/net.qdrun/"])
    def test_the_run_is_found_in_root_or_folder(self, tmp_path: Path, prefix: str) -> None:
        content = {f"{prefix}run.json": b"{}", f"{prefix}tensors/float/0.npy": npy([3.0])}
        files = ZipFiles.open(make_zip(tmp_path / "r.zip", content))
        assert files.names() == ["run.json", "tensors/float/0.npy"]
        assert files.read("run.json") == b"{}"
        assert files.array("tensors/float/0.npy").tolist() == [3.0]

    def test_other_files_of_the_archive_are_not_part_of_the_run(self, tmp_path: Path) -> None:
        content = {"readme.txt": b"", "a.qdrun/run.json": b"{}", "b.qdrun.bak/x/run.json": b"[]"}
        files = ZipFiles.open(make_zip(tmp_path / "r.zip", content))
        assert files.names() == ["run.json"]
        assert files.read("run.json") == b"{}"

    def test_an_archive_without_a_run(self, tmp_path: Path) -> None:
        with pytest.raises(RunError, match=r"holds no run\.json"):
            ZipFiles.open(make_zip(tmp_path / "r.zip", {"x": b""}))

    @pytest.mark.parametrize("data", [b"", b"PK\x03\x04 but no more", b"text"])
    def test_no_archive(self, tmp_path: Path, data: bytes) -> None:
        path = tmp_path / "r.zip"
        path.write_bytes(data)
        with pytest.raises(RunError, match="not a readable zip"):
            ZipFiles.open(path)

    def test_a_flipped_byte_is_noticed(self, tmp_path: Path) -> None:
        path = make_zip(tmp_path / "r.zip", {"run.json": b"{}" * 50})
        data = bytearray(path.read_bytes())
        data[60] ^= 0xFF
        path.write_bytes(bytes(data))
        with pytest.raises(RunError, match=r"holds no readable run\.json"):
            ZipFiles.open(path).read("run.json")

    @pytest.mark.parametrize(("offset", "value"), [(6, 1), (8, 99)], ids=["encrypted", "method"])
    def test_members_that_cannot_be_unpacked(self, tmp_path: Path, offset: int, value: int) -> None:
        path = make_zip(tmp_path / "r.zip", {"run.json": b"{}"})
        data = bytearray(path.read_bytes())
        directory = data.index(b"PK\x01\x02")
        data[offset] = data[directory + offset + 2] = value
        path.write_bytes(bytes(data))
        with pytest.raises(RunError, match=r"holds no readable run\.json"):
            ZipFiles.open(path).read("run.json")

    def test_an_archive_that_vanishes(self, tmp_path: Path) -> None:
        files = ZipFiles.open(make_zip(tmp_path / "r.zip", {"run.json": b"{}"}))
        (tmp_path / "r.zip").unlink()
        with pytest.raises(RunError):
            files.names()
        with pytest.raises(RunError):
            files.read("run.json")


class TestPage:
    def test_run_files_and_shown_pictures(self, tmp_path: Path) -> None:
        files = json.dumps({"hist.npz": base64.b64encode(b"arrays").decode()})
        picture = base64.b64encode(b"picture").decode()
        body = f'<image id="x" data-file="a&amp;b.png" href="data:image/png;base64,{picture}"/>'
        content = files_in_html(page(tmp_path, b'{"a": 1}', files, body))
        assert content.names() == ["a&b.png", "hist.npz", "run.json"]
        assert content.read("a&b.png") == b"picture"
        assert content.read("hist.npz") == b"arrays"
        assert content.read("run.json") == b'{"a": 1}'

    def test_a_page_of_another_program(self, tmp_path: Path) -> None:
        path = tmp_path / "r.html"
        path.write_text("<p>hello</p>")
        with pytest.raises(RunError, match="embeds no qdebug run"):
            files_in_html(path)

    def test_bytes_that_are_no_text(self, tmp_path: Path) -> None:
        path = tmp_path / "r.html"
        path.write_bytes(b"\xff\xfe\x00")
        with pytest.raises(RunError, match="is not a page of text"):
            files_in_html(path)

    @pytest.mark.parametrize(
        ("run", "files"),
        [
            ("%%%", "{}"),
            (base64.b64encode(b"not gzip").decode(), "{}"),
            (base64.b64encode(gzip.compress(b"{}" * 99, mtime=0)[:-9]).decode(), "{}"),
            (b"{}", "[1, 2]"),
            (b"{}", '{"a": 5}'),
            (b"{}", '{"a": "!"}'),
            (b"{}", "{"),
        ],
    )
    def test_damage_is_named(self, tmp_path: Path, run: bytes | str, files: str) -> None:
        with pytest.raises(RunError, match="embeds a damaged run"):
            files_in_html(page(tmp_path, run, files))


class TestArrays:
    ARRAYS = RunArrays(
        hist_layers=np.array([1, 4], np.int32),
        hist_range=np.array([[-1.0, 1.0], [0.0, 6.4]]),
        hist_float=np.arange(128, dtype=np.uint32).reshape(2, 64),
        hist_quant=np.ones((2, 64), np.uint32),
        channel_offsets=np.array([0, 2, 2, 3]),
        channel_sqnr_db=np.array([10.0, 20.0, 30.0], np.float32),
        channel_absmax=np.array([1.0, 2.0, 3.0], np.float32),
    )

    def test_lookup(self) -> None:
        found = self.ARRAYS.histogram(4)
        assert found is not None
        assert found.float.tolist() == list(range(64, 128))
        assert found.edges[[0, 1, -1]] == pytest.approx([0.0, 0.1, 6.4])
        assert self.ARRAYS.histogram(2) is None
        assert self.ARRAYS.histogram(5) is None
        assert [part.tolist() for part in self.ARRAYS.channels(0)] == [[10.0, 20.0], [1.0, 2.0]]
        assert self.ARRAYS.channels(1)[0].size == 0
        assert self.ARRAYS.channels(3)[0].size == 0

    def test_round_trip_with_equal_bytes(self) -> None:
        data = self.ARRAYS.to_bytes()
        back = RunArrays.read(MemoryFiles({HIST_NPZ: data}))
        assert back.to_bytes() == data
        assert np.array_equal(back.hist_float, self.ARRAYS.hist_float)

    def test_a_run_without_arrays(self) -> None:
        arrays = RunArrays.read(MemoryFiles())
        assert arrays.histogram(0) is None
        assert arrays.channels(0)[0].size == 0

    @pytest.mark.parametrize(
        "data", [b"", b"PK\x05\x06", npy([1.0]), npy([object()]), b"\x93NUMPY"]
    )
    def test_damage_is_named(self, data: bytes) -> None:
        with pytest.raises(RunError, match=r"hist\.npz is damaged"):
            RunArrays.read(MemoryFiles({HIST_NPZ: data}))

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("hist_range", np.zeros((1, 2))),
            ("hist_quant", np.zeros((2, 63), np.uint32)),
            ("hist_layers", np.int32(2)),
            ("channel_offsets", np.array([0, 2, 1])),
            ("channel_offsets", np.array([0, 9])),
            ("channel_offsets", np.zeros(0, np.int64)),
            ("channel_absmax", np.zeros(2, np.float32)),
        ],
    )
    def test_arrays_that_do_not_fit_together_are_refused(
        self, name: str, value: np.ndarray
    ) -> None:
        fields = {key: getattr(self.ARRAYS, key) for key in RunArrays.__dataclass_fields__}
        buffer = io.BytesIO()
        np.savez(buffer, **{**fields, name: value})
        with pytest.raises(RunError, match="do not fit together"):
            RunArrays.read(MemoryFiles({HIST_NPZ: buffer.getvalue()}))
