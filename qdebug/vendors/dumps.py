"""Dumps of boards and simulators, as each toolchain writes them.

A toolchain's part ``dumps`` is a ``DumpFormat``; what none of them recognizes is read as plain
files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy.typing as npt

from qdebug.dumps import Dump
from qdebug.dumps.files import read_plain
from qdebug.errors import UsageError
from qdebug.vendors import registry

Array = npt.NDArray[Any]

PLAIN = "plain"


@dataclass(frozen=True)
class DumpFormat:
    """How a toolchain dumps tensors, or how its runtime is run here to dump them.

    Attributes:
        recognize: whether a file or folder is such a dump, or such a runtime's model.
        read: reads it; None for a model.
        run: runs a model on what the models are fed, by input name, and keeps its tensors as files
            of a folder; None for a dump.
    """

    recognize: Callable[[Path], bool]
    read: Callable[[Path], Dump] | None = None
    run: Callable[[Path, Mapping[str, Array], Path], Dump] | None = None

    def runs(self, path: Path) -> bool:
        """Whether the path is a model that is run, not a dump."""
        return self.run is not None and (self.read is None or self.recognize(path))

    def open(self, path: Path, fed: Mapping[str, Array], folder: Path) -> Dump:
        """Read the dump, or run the model.

        Raises:
            InputError: it cannot be read or run.
            UsageError: what runs it is not installed.
        """
        if self.run is not None and self.runs(path):
            return self.run(path, fed, folder)
        assert self.read is not None
        return self.read(path)


def is_one_dump(path: Path, vendor: str | None = None) -> bool:
    """Whether a toolchain's form says that a path is the dump of one input.

    Args:
        path: a file or folder.
        vendor: the only toolchain to be asked, or ``plain``; all by default.
    """
    if vendor == PLAIN or not path.exists():
        return False
    forms = registry.loaded("dumps")
    return any(form.recognize(path) for known, form in forms if vendor in (None, known.name))


def read_dump(
    path: Path,
    vendor: str | None = None,
    fed: Mapping[str, Array] = MappingProxyType({}),
    folder: Path | None = None,
) -> Dump:
    """Read a dump, or make it by running a model of a toolchain's runtime.

    Args:
        path: a file or folder.
        vendor: a toolchain, or ``plain``; found out by default.
        fed: what the models are fed, by input name.
        folder: where a runtime's tensors are kept.

    Raises:
        InputError: it cannot be read.
        UsageError: there is no such toolchain, or its runtime is not installed.
    """
    form = _form(path, vendor)
    return form.open(path, fed, folder or path.parent) if form is not None else read_plain(path)


def is_runtime(path: Path, vendor: str | None = None) -> bool:
    """Whether a path is a model of a toolchain's runtime, which is run here.

    Args:
        path: a file or folder.
        vendor: a toolchain, or ``plain``; found out by default.

    Raises:
        UsageError: there is no such toolchain.
    """
    form = _form(path, vendor)
    return form is not None and form.runs(path)


def _form(path: Path, vendor: str | None) -> DumpFormat | None:
    """None for plain files."""
    if vendor == PLAIN or not path.exists():
        return None
    if vendor is not None:
        found = registry.toolchain(vendor, "dumps")
        if found is None:
            known = ", ".join([PLAIN, *registry.names("dumps")])
            raise UsageError(f"--board-vendor: no dumps of {vendor!r} are known", f"known: {known}")
        chosen: DumpFormat = registry.load(found, "dumps")
        return chosen
    return next((form for _, form in registry.loaded("dumps") if form.recognize(path)), None)
