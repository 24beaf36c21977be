"""Samples: what both models run on, loaded one at a time.

A sample's float side goes through one pipeline and its quant side, where the quant graph wants
another input contract, through a second one; both start from the same file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, TextIO

from numpy.typing import NDArray

from qdebug.errors import InputError, UsageError
from qdebug.preprocess.apply import Prepared, prepare_file
from qdebug.preprocess.arguments import FileSet, expand, readable_names
from qdebug.preprocess.fitting import fit_tensor
from qdebug.preprocess.geometry import Geometry
from qdebug.preprocess.grammar import nearest
from qdebug.preprocess.model_input import ModelInput
from qdebug.preprocess.reexpress import reexpress
from qdebug.preprocess.spec import PreprocessSpec
from qdebug.preprocess.tensor_files import (
    RAW_SUFFIXES,
    TENSOR_SUFFIXES,
    FileVersion,
    read_tensors,
    version_of,
)

Side = Literal["float", "quant"]


@dataclass(frozen=True)
class Contract:
    """What one model wants to be fed, and how pictures become that."""

    inputs: tuple[ModelInput, ...]
    spec: PreprocessSpec | None
    """Pipeline of pictures; None if only tensor files are given."""

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of the picture that is fed: the model's, else the pipeline's."""
        known = next((item.size for item in self.inputs if item.size), None)
        return known or (self.spec.size if self.spec is not None else None)

    def input(self, name: str) -> ModelInput:
        """Return an input by name; an empty name means the only one."""
        if name == "":
            if len(self.inputs) != 1:
                names = ", ".join(item.name for item in self.inputs)
                raise UsageError(
                    f"the model has {len(self.inputs)} inputs: {names}",
                    "say which is which with NAME=path, or give an .npz with these names",
                )
            return self.inputs[0]
        return next(item for item in self.inputs if item.name == name)


@dataclass(frozen=True)
class RawFormat:
    """Shape and data type of raw binary files; what is missing is taken from the model."""

    shape: tuple[int, ...] | None = None
    dtype: str | None = None


class Sample:
    """One set of inputs both models run on. Nothing is read before it is asked for."""

    def __init__(
        self,
        name: str,
        files: Mapping[str, Path],
        contracts: Mapping[Side, Contract],
        raw: RawFormat,
        row: int | None = None,
    ) -> None:
        self.name = name
        self._files = files
        self._contracts = contracts
        self._raw = raw
        self._row = row
        self._geometry: Geometry | None = None

    def __repr__(self) -> str:
        return f"Sample({self.name!r})"

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that it is read from."""
        return tuple(self._files.values())

    def moved(self, places: Mapping[Path, Path]) -> Sample:
        """The same sample, read from other places."""
        files = {key: places.get(path, path) for key, path in self._files.items()}
        return Sample(self.name, files, self._contracts, self._raw, self._row)

    @property
    def has_picture(self) -> bool:
        """Whether a picture has to be preprocessed, so that a pipeline is needed."""
        return any(_is_picture(path) for path in self._files.values())

    @property
    def picture(self) -> Path | None:
        """The file of the picture; None for tensor files."""
        return next((path for path in self._files.values() if _is_picture(path)), None)

    @property
    def geometry(self) -> Geometry | None:
        """Where the picture went in the float model's input; None for tensor files."""
        if self._geometry is None and self.picture is not None:
            self._prepare(self.picture, self._contracts["float"])
        return self._geometry

    @cached_property
    def sha256(self) -> str:
        """Hash of the files' contents, and of the position in a batch."""
        digest = hashlib.sha256()
        for key in sorted(self._files):
            digest.update(_file_hash(version_of(self._files[key])))
        if self._row is not None:
            digest.update(f"[{self._row}]".encode())
        return digest.hexdigest()

    def load(self, side: Side = "float") -> dict[str, NDArray[Any]]:
        """Make the tensors for one model, by input name.

        Raises:
            InputError: a file is unusable or does not fit the model's input.
        """
        contract = self._contracts[side]
        tensors: dict[str, NDArray[Any]] = {}
        for key, path in self._files.items():
            if _is_picture(path):
                item = contract.input(key)
                made = self._prepare(path, contract).tensor
                tensors[item.name] = fit_tensor(made, item, self.name)
            else:
                tensors |= self._from_file(key, path, side)
        missing = [item.name for item in contract.inputs if item.name not in tensors]
        if missing:
            raise InputError(f"{self.name} gives nothing for the model's input {missing[0]!r}")
        return tensors

    def _prepare(self, path: Path, contract: Contract) -> Prepared:
        if contract.spec is None:
            raise UsageError(
                f"{self.name} is a picture, and nothing says how to make a tensor of it",
                "give the preprocessing with -p",
            )
        prepared = prepare_file(path, contract.spec, self.name)
        if contract is self._contracts["float"] and path == self.picture:
            self._geometry = prepared.geometry
        return prepared

    def _from_file(self, key: str, path: Path, side: Side) -> dict[str, NDArray[Any]]:
        """Read a tensor file for the float model and, on the quant side, re-express it."""
        reference, target = self._contracts["float"], self._contracts[side]
        found = _by_input(path, key, reference, self._raw, self.name)
        result = {}
        for name, tensor in found.items():
            item = reference.input(name)
            one = tensor if self._row is None else tensor[self._row : self._row + 1]
            fitted = fit_tensor(one, item, self.name)
            if side == "quant":
                goal = _counterpart(item, reference, target)
                converted = reexpress(fitted, reference.spec, target.spec, item, goal)
                result[goal.name] = fit_tensor(converted, goal, self.name)
            else:
                result[name] = fitted
        return result


@lru_cache(maxsize=64)
def _file_hash(version: FileVersion) -> bytes:
    """Hash a file once, however many rows of it are samples."""
    return hashlib.sha256(version[0].read_bytes()).digest()


def _counterpart(item: ModelInput, reference: Contract, target: Contract) -> ModelInput:
    """Find the quant model's input of the same name, else of the same position."""
    by_name = {candidate.name: candidate for candidate in target.inputs}
    return by_name.get(item.name) or target.inputs[reference.inputs.index(item)]


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() not in TENSOR_SUFFIXES


def _by_input(
    path: Path, key: str, contract: Contract, raw: RawFormat, name: str
) -> dict[str, NDArray[Any]]:
    """Read a tensor file and assign its tensors to the model's inputs."""
    shape, dtype = raw.shape, raw.dtype
    if path.suffix.lower() in RAW_SUFFIXES:
        item = contract.input(key)
        shape = shape or item.concrete_shape
        dtype = dtype or item.dtype
    tensors = read_tensors(path, shape, dtype)
    inputs = [item.name for item in contract.inputs]
    if path.suffix.lower() != ".npz" or (len(tensors) == 1 and len(inputs) == 1):
        return {contract.input(key).name: next(iter(tensors.values()))}
    if key:
        inputs = [key]
    chosen = {n: tensors[n] for n in inputs if n in tensors}
    if len(chosen) < len(inputs):
        lacking = next(n for n in inputs if n not in tensors)
        close = nearest(lacking, list(tensors))
        keys = ", ".join(list(tensors)[:8]) + (", ..." if len(tensors) > 8 else "")
        raise InputError(
            f"{name} holds nothing under the model's input name {lacking!r}",
            f"did you mean {close!r}? " * bool(close) + f"its keys are: {keys}",
        )
    return chosen


def find_samples(
    arguments: Sequence[str],
    float_side: Contract,
    quant_side: Contract | None = None,
    *,
    raw: RawFormat | None = None,
    limit: int | None = None,
    stdin: TextIO | None = None,
) -> list[Sample]:
    """Turn INPUT arguments into samples.

    Args:
        arguments: see `arguments.expand`.
        float_side: what the float model wants.
        quant_side: what the quant model wants; the float side's contract by default.
        raw: shape and data type of raw files.
        limit: the most samples to return.
        stdin: where ``-`` reads from.

    Raises:
        InputError: a file is missing, or a batch file cannot be read.
        UsageError: the arguments contradict each other or the model.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"--limit must be at least 1, not {limit}")
    names = [item.name for item in float_side.inputs]
    sets = expand(arguments, names, stdin)[:limit]
    contracts: dict[Side, Contract] = {"float": float_side, "quant": quant_side or float_side}
    raw = raw or RawFormat()
    titles = readable_names([next(iter(files.files.values())) for files in sets])
    samples = [
        sample
        for title, files in zip(titles, sets, strict=True)
        for sample in _split_batch(title, files, contracts, raw)
    ]
    if not samples:
        raise InputError("the inputs hold no sample", "a tensor file has at least one row")
    return samples[:limit]


def _split_batch(
    title: str, files: FileSet, contracts: Mapping[Side, Contract], raw: RawFormat
) -> list[Sample]:
    """Make one sample, or one for each row of a tensor file that holds a batch."""
    rows = _batch_rows(title, files, contracts["float"], raw)
    if rows == 1:
        return [Sample(title, files.files, contracts, raw)]
    return [Sample(f"{title}[{i}]", files.files, contracts, raw, i) for i in range(rows)]


def _batch_rows(title: str, files: FileSet, contract: Contract, raw: RawFormat) -> int:
    counts = set()
    for key, path in files.files.items():
        if _is_picture(path):
            return 1
        for name, tensor in _by_input(path, key, contract, raw, title).items():
            counts.add(contract.input(name).rows_of(tensor.shape))
    return counts.pop() if len(counts) == 1 else 1
