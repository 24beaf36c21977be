"""What the toolchains' benches share: the network, its pictures, a fix, and running a program."""

from __future__ import annotations

import dataclasses
import math
import os
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime

import qdebug
from qdebug.comparison.export import of_run
from qdebug.run.model import Run
from qdebug.vendors.encodings import Change

Array = npt.NDArray[Any]
_SAMPLES = Path(__file__).resolve().parents[2] / "sample_models"
FLOAT = _SAMPLES / "classifier" / "float.onnx"
SIZE = 96
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
SPEC = (
    f"resize {SIZE}x{SIZE} cv2 linear | rgb | mean {','.join(map(str, MEAN))} "
    f"std {','.join(map(str, STD))} | nchw"
)
_LIMIT_S = 600


@dataclass(frozen=True)
class Row:
    """One step: whether the program took it, and what came of it."""

    step: str
    ok: bool
    told: str


@dataclass(frozen=True)
class Bench:
    """A folder to work in, and the interpreter that the program is installed for."""

    folder: Path
    python: Path | None = None

    @cached_property
    def pictures(self) -> list[Path]:
        """Pictures of the network's size, so that no program resizes anything."""
        place = self.folder / "pictures"
        place.mkdir(exist_ok=True)
        made = []
        for number, file in enumerate(sorted((_SAMPLES / "pictures").rglob("*.jpg"))[:8]):
            picture = cv2.imread(str(file))
            assert picture is not None
            made.append(place / f"{number}.png")
            cv2.imwrite(str(made[-1]), cv2.resize(picture, (SIZE, SIZE)))
        return made

    @property
    def fed(self) -> Array:
        """The tensor of the first picture, ``[1, 3, SIZE, SIZE]``."""
        return self.tensor(self.pictures[0])

    def tensor(self, file: Path) -> Array:
        """The tensor of a picture."""
        picture = cv2.imread(str(file))
        assert picture is not None
        values = (picture[:, :, ::-1] - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
        return np.ascontiguousarray(values.transpose(2, 0, 1)[None], np.float32)

    def output(self, model: Path) -> Array:
        """What a model gives for the first picture."""
        session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        (value, *_) = session.run(None, {session.get_inputs()[0].name: self.fed})
        return np.asarray(value)

    @cached_property
    def wanted(self) -> Array:
        """The float model's output."""
        return self.output(FLOAT)

    def compared(self, table: Path, **beside: Any) -> Run:
        """The run of the float model against a table."""
        return qdebug.compare(FLOAT, table, self.pictures[:4], preprocess=SPEC, **beside)

    def twin(self, table: Path, **beside: Any) -> Array:
        """The output of what qdebug makes of a table."""
        path = self.folder / "twin.onnx"
        qdebug.quantize(FLOAT, output=path, source=table, force=True, **beside)
        return self.output(path)

    def run(self, *command: str | Path) -> tuple[int, str]:
        """Run a command of the program's environment in the folder; its code and what it said."""
        assert self.python is not None, "give the program's environment: --python"
        paths = os.pathsep.join([str(self.python.parent), os.environ.get("PATH", "")])
        done = subprocess.run(
            list(map(str, command)),
            cwd=self.folder,
            env={**os.environ, "PATH": paths},
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


def fix_of(run: Run, layers: int = 2) -> Change:
    """What a run says to change; where it says nothing, its worst layers out of 8 bits."""
    change = of_run(run)
    if change.keep:
        return change
    worst = sorted(
        (x for x in run.layers if x.local is not None and x.quant is not None),
        key=lambda x: x.local.sqnr_db if x.local is not None else math.inf,
    )
    names = {x.float_tensor for x in worst[:layers]}
    return dataclasses.replace(change, keep=tuple(x for x in change.layers if x.tensor in names))


def sqnr(reference: Array, value: Array) -> float:
    """SQNR in dB."""
    noise = float(np.square(value.astype(np.float64).ravel() - reference.ravel()).sum())
    power = float(np.square(reference, dtype=np.float64).sum())
    return 10 * math.log10(power / noise) if noise else math.inf


def last_line(text: str) -> str:
    """The last line that says something, shortened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"
