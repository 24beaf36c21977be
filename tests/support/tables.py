"""``sample_models/models.toml`` as pairs of files."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

ROOT = Path(__file__).resolve().parents[2] / "sample_models"


@dataclass(frozen=True)
class SamplePair:
    """One pair.

    Attributes:
        float_model: file.
        quant_model: file.
        spec: preprocessing.
        pictures: files.
        expected: findings it must raise.
        planted: node with the fault, empty where there is none.
    """

    float_model: Path
    quant_model: Path
    spec: str
    pictures: tuple[Path, ...]
    expected: frozenset[str]
    planted: str


@functools.cache
def sample_table() -> dict[str, SamplePair]:
    """Every pair by its name."""
    entries = tomllib.loads((ROOT / "models.toml").read_text("utf-8"))["pair"]
    return {entry["name"]: _pair(entry) for entry in entries}


def _pair(entry: dict[str, Any]) -> SamplePair:
    return SamplePair(
        ROOT / str(entry["float"]),
        ROOT / str(entry["quant"]),
        str(entry["spec"]),
        tuple(file for pattern in entry["pictures"] for file in sorted(ROOT.glob(pattern))),
        frozenset(entry["expected"]),
        str(entry.get("planted", "")),
    )
