"""A small file that unpacks to gigabytes is refused before it is unpacked."""

from __future__ import annotations

import base64
import gzip
import io
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qdebug.npy import array_of_npy
from tests.functional.conftest import Cli, environment
from tests.support.graphs import SPEC

GIB = 1 << 30


def _png(file: Path) -> None:
    """12000x12000 pixels of one colour: 412 MiB from less than two megabytes."""
    side = 12_000
    packer = zlib.compressobj(1)
    row = b"\0" + bytes(3 * side)
    rows = b"".join([packer.compress(row * 100) for _ in range(side // 100)]) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    file.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(_chunk(*c) for c in ((b"IHDR", head), (b"IDAT", rows), (b"IEND", b"")))
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _npz(file: Path) -> None:
    head = np.lib.format.header_data_from_array_1_0(np.zeros((1, 3, 16, 16), np.float32))
    head["shape"] = (25, 1024, 1024, 4)
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("images.npy", "w", force_zip64=True) as member,
    ):
        np.lib.format.write_array_header_1_0(member, head)
        for _ in range(25):
            member.write(bytes(16 << 20))


def _list(file: Path) -> None:
    with file.open("wb") as stream:
        stream.truncate(2 * GIB)


@pytest.mark.parametrize(("name", "make"), [("b.png", _png), ("b.npz", _npz), ("b.txt", _list)])
def test_an_input_that_unpacks_to_hundreds_of_megabytes(
    here: Path, cli: Cli, name: str, make: Callable[[Path], None]
) -> None:
    make(here / name)
    done = cli("compare", "float.onnx", "quant.onnx", name, "-p", SPEC)
    assert done.code == 2
    assert f"{name} unpacks to " in done.err
    assert "more than 256 MiB" in done.err
    assert "--max-unpacked" in done.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("b.pb", ("compare", "float.onnx", "quant.onnx", "b.pb")),
        ("b.toml", ("compare", "float.onnx", "quant.onnx", "photo_0.png", "-p", "b.toml")),
        ("b.toml", ("compare", "float.onnx", "quant.onnx", "photo_0.png", "--config", "b.toml")),
        ("b.png", ("compare", "float.onnx", "quant.onnx", "b.png", "-p", SPEC)),
        ("b.html", ("show", "b.html")),
        ("b.qdrun/run.json", ("show", "b.qdrun")),
    ],
)
def test_a_file_of_nothing_that_claims_gigabytes(
    here: Path, cli: Cli, name: str, arguments: tuple[str, ...]
) -> None:
    (here / name).parent.mkdir(exist_ok=True)
    _list(here / name)
    done = cli(*arguments)
    assert done.code == 2
    assert f"{Path(name).name} unpacks to 2.0 GiB, more than 256 MiB" in done.err
    assert "--max-unpacked" in done.err.splitlines()[-1]


def test_a_model_that_is_larger_than_any(here: Path, cli: Cli) -> None:
    with (here / "b.onnx").open("wb") as stream:
        stream.truncate(3 * GIB)
    done = cli("compare", "b.onnx", "quant.onnx", "photo_0.png", "-p", SPEC)
    assert done.code == 2
    assert "b.onnx has 3,221,225,472 bytes; no ONNX file is larger than 2 GiB" in done.err


def _run_zip(file: Path) -> None:
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("run.json", "w") as member,
    ):
        for _ in range(300):
            member.write(b" " * (1 << 20))


def _html(file: Path) -> None:
    packed = base64.b64encode(gzip.compress(b" " * (300 << 20), 1)).decode()
    file.write_text(f'<script id="qdebug-run" type="x">{packed}</script>')


@pytest.mark.parametrize(("name", "make"), [("b.zip", _run_zip), ("b.html", _html)])
def test_a_run_that_unpacks_to_hundreds_of_megabytes(
    here: Path, cli: Cli, name: str, make: Callable[[Path], None]
) -> None:
    make(here / name)
    done = cli("show", name)
    assert done.code == 2
    assert "unpacks to" in done.err
    raised = cli("show", name, "--max-unpacked", "1GiB")
    assert raised.code == 2
    assert "run.json is not valid JSON" in raised.err


def test_histograms_that_unpack_to_gigabytes(here: Path, cli: Cli) -> None:
    assert cli("compare", "float.onnx", "quant.onnx", ".", "-p", SPEC).code == 0
    with zipfile.ZipFile(here / "quant.qdrun/hist.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("hist_layers.npy", bytes(300 << 20))
    done = cli("report", "quant.qdrun", "-o", "report.html")
    assert done.code == 2
    assert "hist.npz unpacks to 300 MiB" in done.err


def test_an_array_that_claims_more_values_than_it_has() -> None:
    claim = {"descr": "<f4", "fortran_order": False, "shape": (1 << 40,)}
    with pytest.raises(ValueError, match="ends before"):
        array_of_npy(_npy(claim))


def _npy(head: dict[str, object]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, head)
    return stream.getvalue() + bytes(64)


@pytest.mark.skipif(sys.platform != "linux", reason="the system tells the peak there")
@pytest.mark.parametrize("name", ["b.png", "b.npz"])
def test_refusing_takes_no_memory(here: Path, name: str) -> None:
    {"b.png": _png, "b.npz": _npz}[name](here / name)
    code = (
        "import re, sys; from pathlib import Path\n"
        "from qdebug.cli import main\n"
        "code = main(sys.argv[1:])\n"
        # Not ru_maxrss, which a child inherits from its parent.
        "print(re.search(r'VmHWM:\\s*(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        "sys.exit(code)\n"
    )
    arguments = ["compare", "float.onnx", "quant.onnx", name, "-p", SPEC]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        check=False,
        env=environment(),
        timeout=60,
    )
    assert done.returncode == 2
    assert int(done.stdout) < 500 * 1024
