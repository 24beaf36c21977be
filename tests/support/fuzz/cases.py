"""One case: the files of a folder, and the arguments that meet them."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.fuzz.models import STRANGE, damaged_bytes, damaged_model
from tests.support.fuzz.tables import PICTURES, board, labelled, mutate, predictions, quantization
from tests.support.graphs import SPEC

Rng = np.random.Generator


@dataclass(frozen=True)
class Case:
    """Arguments of ``qdebug``, to be run in a folder that was made for them."""

    number: int
    family: str
    arguments: tuple[str, ...]


def make_case(seed: int, number: int, base: Path, folder: Path) -> Case:
    """Make the folder of a case.

    Args:
        seed: of the whole job.
        number: of the case.
        base: a sound pair of models, pictures, ``run.qdrun``, ``run.zip``, ``run.html``.
        folder: to be made.
    """
    rng = np.random.default_rng([seed, number])
    family = list(FAMILIES)[number % len(FAMILIES)]
    shutil.copytree(base, folder)
    return Case(number, family, tuple(FAMILIES[family](folder, rng)))


def _compare(quant: str = "quant.onnx", *more: str) -> list[str]:
    return ["compare", "float.onnx", quant, *(more or ("photo.png", "-p", SPEC))]


def _bytes_of_model(folder: Path, rng: Rng) -> Sequence[str]:
    name = ["float.onnx", "quant.onnx"][int(rng.integers(2))]
    (folder / name).write_bytes(damaged_bytes((folder / name).read_bytes(), rng))
    return _compare()


def _structure_of_model(folder: Path, rng: Rng) -> Sequence[str]:
    quant = bool(rng.integers(2))
    name = "quant.onnx" if quant else "float.onnx"
    (folder / name).write_bytes(damaged_model(rng, quant))
    extra = ([], ["--sensitivity"], ["--ceiling"], ["--keep-tensors", "all"])[int(rng.integers(4))]
    return [*_compare(), *extra]


def _both_models(folder: Path, rng: Rng) -> Sequence[str]:
    content = damaged_model(rng, bool(rng.integers(2)))
    for name in ("float.onnx", "quant.onnx"):
        (folder / name).write_bytes(content)
    return _compare("quant.onnx", "photo.png")


def _picture(folder: Path, rng: Rng) -> Sequence[str]:
    name = ["photo.png", "photo.jpg"][int(rng.integers(2))]
    (folder / name).write_bytes(damaged_bytes((folder / name).read_bytes(), rng))
    spec = [SPEC, "pil " + SPEC, "imagenet"][int(rng.integers(3))]
    return _compare("quant.onnx", name, "-p", spec)


def _tensor_file(folder: Path, rng: Rng) -> Sequence[str]:
    name = ["fed.npy", "fed.npz", "fed.pb", "fed.bin"][int(rng.integers(4))]
    (folder / name).write_bytes(damaged_bytes((folder / name).read_bytes(), rng))
    raw = ["--shape", "1,3,16,16", "--dtype", "float32"] if name.endswith("bin") else []
    if rng.integers(3) == 0:
        return _compare("quant.onnx", "photo.png", "-p", SPEC, "--fed", name)
    return _compare("quant.onnx", name, *raw)


def _odd_tensor(folder: Path, rng: Rng) -> Sequence[str]:
    shapes = [(), (0,), (0, 3, 16, 16), (1, 3, 16, 0), (3, 16, 16), (2, 3, 16, 16), (1, 16, 16, 3)]
    kinds: list[Any] = [np.float32, np.float64, np.complex64, "U4", "S3", bool, np.int64, "M8[s]"]
    value = np.zeros(shapes[int(rng.integers(len(shapes)))], kinds[int(rng.integers(len(kinds)))])
    if value.dtype.kind == "f" and value.size and rng.integers(2):
        value.flat[0] = [np.nan, np.inf, 3e38][int(rng.integers(3))]
    np.save(folder / "fed.npy", value)
    return _compare("quant.onnx", "fed.npy")


def _list(folder: Path, rng: Rng) -> Sequence[str]:
    lines = ["photo.png", "photo.png photo.jpg", "", "#", "no.png", *STRANGE, "images=photo.png"]
    chosen = rng.choice(np.array(lines, dtype=object), int(rng.integers(0, 5)))
    text = "\n".join(map(str, chosen)).encode("utf-8", "surrogatepass")
    (folder / "list.txt").write_bytes(damaged_bytes(text or b"x", rng) if rng.integers(2) else text)
    return _compare("quant.onnx", "list.txt", "-p", SPEC)


def _run_json(folder: Path, rng: Rng) -> Sequence[str]:
    file = folder / "run.qdrun/run.json"
    if rng.integers(2):
        file.write_bytes(damaged_bytes(file.read_bytes(), rng))
    else:
        document = json.loads(file.read_text(encoding="utf-8"))
        for _ in range(int(rng.integers(1, 4))):
            mutate(document, rng)
        file.write_text(json.dumps(document), encoding="utf-8")
    return _reading(rng, "run.qdrun")


def _stored_files(folder: Path, rng: Rng) -> Sequence[str]:
    files = sorted(p for p in (folder / "run.qdrun").rglob("*") if p.is_file())
    file = files[int(rng.integers(len(files)))]
    if rng.integers(4) == 0:
        file.unlink()
    else:
        file.write_bytes(damaged_bytes(file.read_bytes(), rng))
    return _reading(rng, "run.qdrun")


def _packed_run(folder: Path, rng: Rng) -> Sequence[str]:
    name = ["run.zip", "run.html"][int(rng.integers(2))]
    if name == "run.zip" and rng.integers(3) == 0:
        with zipfile.ZipFile(folder / name, "a") as archive:
            place = ["../run.json", "/run.json", "a/run.json", "run.json/x"][int(rng.integers(4))]
            archive.writestr(place, b"{}")
    else:
        (folder / name).write_bytes(damaged_bytes((folder / name).read_bytes(), rng))
    return _reading(rng, name)


def _reading(rng: Rng, run: str) -> Sequence[str]:
    ways = [
        ["show", run],
        ["show", run, "-v"],
        ["show", run, "--layers", "op:Conv sqnr<20"],
        ["show", run, "--unmatched"],
        ["report", run, "-o", "r.html"],
        ["report", run, "-o", "r.csv"],
        ["report", run, "-o", "r.md"],
        ["report", run, "-o", "r.junit.xml"],
        ["report", run, "-o", "r.sarif"],
        ["report", run, "-o", "r.json", "--redact", "names,paths,images,values"],
        ["diff", "run.qdrun", run],
    ]
    return ways[int(rng.integers(len(ways)))]


def _options(folder: Path, rng: Rng) -> Sequence[str]:
    odd = ["", "/", ".", "-", "0", "-1", "nan", "1e400", "9" * 30, "a=b", "=", "x" * 3000, *STRANGE]
    odd = [value for value in odd if "\0" not in value]  # no argument can hold it
    names = [
        "-o", "-p", "--quant-preprocess", "--shape", "--dtype", "--limit", "--fed", "--threads",
        "--keep-tensors", "--max-memory", "--provider", "--task", "--vendor", "--fail-under",
        "--fail-on", "--json", "--html", "--config",
    ]  # fmt: skip
    name = names[int(rng.integers(len(names)))]
    return [*_compare(), name, odd[int(rng.integers(len(odd)))]]


def _specs(folder: Path, rng: Rng) -> Sequence[str]:
    parts = ["resize 16x16", "letterbox 16 pad 114", "rgb", "bgr", "/255", "mean 1,2,3 std 1,0,1",
             "nchw", "nhwc", "crop 99x99", "resize 0x0", "resize 99999999x9", "|", "pad", "uint8",
             "std nan,1,1", "/0", *STRANGE]  # fmt: skip
    parts = [part for part in parts if "\0" not in part]
    chosen = rng.choice(np.array(parts, dtype=object), int(rng.integers(1, 6)))
    text = [" | ", " ", "|"][int(rng.integers(3))].join(map(str, chosen))
    return _compare("quant.onnx", "photo.png", "-p", text)


def _config(folder: Path, rng: Rng) -> Sequence[str]:
    lines = ['preprocess = "rgb"', "limit = -1", 'task = "x:y"', "fail_on = 3", "[limits]",
             "cosine = nan", "max_memory = 0", "[[override]]", 'match = "*"', "sqnr_db = inf",
             'vendor = "\\u001b[31m"', "x = [", "a.b.c = 1", "threads = 9999999999999"]  # fmt: skip
    chosen = rng.choice(np.array(lines, dtype=object), int(rng.integers(1, 6)))
    content = "\n".join(map(str, chosen)).encode()
    (folder / "qdebug.toml").write_bytes(
        damaged_bytes(content, rng) if rng.integers(2) else content
    )
    return _compare()


def _preprocess(folder: Path, rng: Rng) -> Sequence[str]:
    name = ["fed.npy", "photo.png", "fed.npz"][int(rng.integers(3))]
    (folder / name).write_bytes(damaged_bytes((folder / name).read_bytes(), rng))
    return ["preprocess", "check", "photo.png", "--fed", name, "-p", SPEC]


def _board(folder: Path, rng: Rng) -> Sequence[str]:
    return [*_compare(), "--board", board(folder, rng)]


def _predictions(folder: Path, rng: Rng) -> Sequence[str]:
    answers = predictions(folder, rng)
    return [*_compare("quant.onnx", *PICTURES, "-p", SPEC), "--predictions", answers]


def _labelled(folder: Path, rng: Rng) -> Sequence[str]:
    data = labelled(folder, rng)
    return ["evaluate", "float.onnx", "quant.onnx", "--data", data, "-p", SPEC]


def _quantization(folder: Path, rng: Rng) -> Sequence[str]:
    return _compare(quantization(folder, rng))


FAMILIES: dict[str, Callable[[Path, Rng], Sequence[str]]] = {
    "bytes of a model": _bytes_of_model,
    "structure of a model": _structure_of_model,
    "structure of a model, again": _structure_of_model,
    "both models alike": _both_models,
    "picture": _picture,
    "tensor file": _tensor_file,
    "odd tensor": _odd_tensor,
    "list": _list,
    "run.json": _run_json,
    "stored files": _stored_files,
    "packed run": _packed_run,
    "options": _options,
    "spec": _specs,
    "configuration": _config,
    "preprocess check": _preprocess,
    "board": _board,
    "predictions": _predictions,
    "labelled data": _labelled,
    "toolchain's file": _quantization,
}
