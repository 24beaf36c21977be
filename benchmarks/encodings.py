"""Every file of ``zoo/vendor`` that says how a network is quantized: what of it finds its place.

``python -m benchmarks.encodings [FOLDER]`` prints a Markdown table, one row a file: what it was
taken for, entries, those placed, and why others are not used. Files that hold no ranges stand below
it with what they are refused with; ``FOLDER`` is the folder of real models.
"""

from __future__ import annotations

import lzma
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qdebug.encodings.source import Source
from qdebug.errors import QdebugError
from qdebug.graph.load import load_graph
from qdebug.graph.model import Graph
from qdebug.vendors.quant import load_quant
from qdebug.vendors.quant_files import formats
from qdebug.vendors.quant_model import QuantRequest

ZOO = Path(__file__).resolve().parents[2] / "shared" / "zoo"
_GRAPH = ".onnx"
_NOT_TABLES = ("README.txt", ".npz", ".npy", ".png", ".tar.xz", ".csv", ".bin")


@dataclass(frozen=True)
class Outcome:
    """One file: its form, and what became of its entries; a refusal where it was refused."""

    file: str
    form: str = ""
    entries: int = 0
    placed: int = 0
    reasons: tuple[tuple[str, int], ...] = ()
    refused: str = ""


def outcomes(zoo: Path) -> Iterator[Outcome]:
    """Read every file; packed ones are unpacked first."""
    floats: dict[str, Graph] = {}
    with tempfile.TemporaryDirectory() as folder:
        for file in sorted((zoo / "vendor").rglob("*")):
            if not file.is_file() or file.name.endswith(_NOT_TABLES):
                continue
            model = file.relative_to(zoo / "vendor").parts[1]
            if model not in floats:
                floats[model] = load_graph(zoo / model / "float.onnx")
            path = _unpacked(file, Path(folder))
            if path.suffix != _GRAPH and not _is_known(path):
                continue
            name = file.relative_to(zoo / "vendor").as_posix()
            yield _outcome(name, path, floats[model])


def _is_known(path: Path) -> bool:
    try:
        source = Source.read(path)
        return any(form.recognize(source) for _, _, form in formats())
    except QdebugError:
        return False


def _unpacked(file: Path, folder: Path) -> Path:
    beside = file.with_name(f"{file.stem}.bin.xz")
    if file.suffix == ".xml" and beside.exists():
        (folder / f"{file.stem}.bin").write_bytes(lzma.decompress(beside.read_bytes()))
        return _copied(file, folder)
    if file.suffix != ".xz":
        return file
    path = folder / file.stem
    path.write_bytes(lzma.decompress(file.read_bytes()))
    return path


def _copied(file: Path, folder: Path) -> Path:
    path = folder / file.name
    path.write_bytes(file.read_bytes())
    return path


def _outcome(name: str, path: Path, graph: Graph) -> Outcome:
    try:
        info = load_quant(QuantRequest(path), graph).info
    except QdebugError as error:
        return Outcome(name, refused=error.message)
    if info is None:
        return Outcome(name, refused="a graph, and no table")
    reasons = Counter(entry.reason for entry in info.unplaced)
    return Outcome(name, info.form, info.entries, info.placed, tuple(reasons.most_common()))


def main(arguments: list[str]) -> None:
    """Print the table."""
    zoo = Path(arguments[0]) if arguments else ZOO
    found = list(outcomes(zoo))
    print("| file | read as | entries | placed | not used |\n|---|---|---|---|---|")
    for item in found:
        if not item.refused:
            why = "; ".join(f"{count}: {reason}" for reason, count in item.reasons)
            print(f"| `{item.file}` | {item.form} | {item.entries} | {item.placed} | {why} |")
    for item in found:
        if item.refused:
            print(f"{item.file}: {item.refused}")


if __name__ == "__main__":
    main(sys.argv[1:])
