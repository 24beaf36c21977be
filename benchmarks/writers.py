"""One fix of a detector, written by every writer, and read back where the file can be read.

``python -m benchmarks.writers [FOLDER] [-o KEEP]`` compares YOLOv5n with the table that TPU-MLIR
made of it on two photos (boxes and scores share one scale there: nothing is found), exports what
the run says to change as each file that qdebug writes, and prints a Markdown table: how long the
file is, how many of the layers to change it names, and what is found by the float model quantized
as the file says. ``FOLDER`` is the folder of real models; ``KEEP`` keeps the files, to be
looked at.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import qdebug
from benchmarks.encodings import ZOO
from qdebug.comparison.export import export, of_run
from qdebug.errors import QdebugError
from qdebug.run.outcome import outcome_of
from qdebug.vendors import registry
from qdebug.vendors.advice import FloatLayer
from qdebug.vendors.encodings import Writer

MODEL = "yolov5n"
TABLE = "yolov5n_max_cali_table"
SPEC = "letterbox 640 pad 114 | rgb | /255 | nchw"
PHOTOS = "bus.jpg", "zidane.jpg"
BASES = {
    "tpu-mlir": f"tpu_mlir/{MODEL}/{TABLE}",
    "rknn": f"rknn/{MODEL}/{MODEL}.quantization.cfg",
    "ncnn": f"ncnn/{MODEL}/{MODEL}.kl.table",
}
"""The toolchain's own file, for ``--names``: of those that change one."""
_BESIDE = {("tpu-mlir", "qtable")}
"""Files that go with the table as ``--qtable``."""


@dataclass(frozen=True)
class Row:
    """One writer: what came of it.

    Attributes:
        vendor: the toolchain.
        title: the file.
        told: its length and the layers it names, or why it is refused.
        back: what is found with it; empty where it is no quant model.
    """

    vendor: str
    title: str
    told: str
    back: str = ""


@dataclass(frozen=True)
class Bench:
    """The models, the run and a folder for the files."""

    zoo: Path
    folder: Path

    @property
    def reference(self) -> Path:
        """The float model."""
        return self.zoo / MODEL / "float.onnx"

    @property
    def table(self) -> Path:
        """The table of the run."""
        return self.zoo / "vendor" / BASES["tpu-mlir"]

    def compare(
        self, quant: Path, second: Path | None = None, output: Path | None = None
    ) -> qdebug.Run:
        """The float model against a graph or a toolchain's file."""
        photos = [self.zoo / "photos" / "street" / name for name in PHOTOS]
        return qdebug.compare(
            self.reference, quant, photos, preprocess=SPEC, qtable=second, output=output, force=True
        )

    def rows(self) -> Iterator[Row]:
        """Every writer of every toolchain."""
        run = self.compare(self.table, output=self.folder / "fix.qdrun")
        kept = of_run(run).keep
        yield Row("", "the table as it was", f"{len(kept)} layers to change", headline(run))
        for vendor, part in registry.loaded("encodings"):
            for writer in part.writers:
                yield self.row(vendor.name, writer, kept)

    def row(self, vendor: str, writer: Writer, kept: tuple[FloatLayer, ...]) -> Row:
        """One file written, and read back."""
        suffix = writer.suffixes[0] if writer.suffixes else ".json"
        file = self.folder / f"{vendor}-{writer.name}{suffix}"
        base = BASES.get(vendor)
        try:
            export(
                self.folder / "fix.qdrun",
                vendor,
                file,
                form=writer.name,
                float_model=self.reference,
                names=self.zoo / "vendor" / base if base else None,
                force=True,
            )
        except QdebugError as error:
            return Row(vendor, writer.title, f"refused: {error.message}")
        content = file.read_bytes().decode("utf-8", "replace")
        named = sum(layer.node in content or layer.tensor in content for layer in kept)
        told = f"{len(content.splitlines())} lines, {named} of the layers by name"
        return Row(vendor, writer.title, told, self.back(file, (vendor, writer.name) in _BESIDE))

    def back(self, file: Path, beside: bool) -> str:
        """What is found with a file."""
        try:
            run = self.compare(self.table, file) if beside else self.compare(file)
        except QdebugError as error:
            return f"not a quant model: {error.message}"
        return headline(run)


def headline(run: qdebug.Run) -> str:
    """The first line of a run's summary."""
    return outcome_of(run).sentence


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=ZOO)
    parser.add_argument("-o", "--keep", type=Path, help="folder for the files")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        print("| toolchain | file | written | read back |\n|---|---|---|---|")
        for row in Bench(arguments.folder, folder).rows():
            print(f"| {row.vendor} | {row.title} | {row.told} | {row.back} |", flush=True)


if __name__ == "__main__":
    main()
