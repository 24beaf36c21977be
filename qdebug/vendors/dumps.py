"""Dumps of boards and simulators, as each toolchain writes them.

A toolchain's part ``dumps`` is a ``DumpFormat``; what none of them recognizes is read as plain
files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qdebug.dumps import Dump
from qdebug.dumps.files import read_plain
from qdebug.errors import UsageError
from qdebug.vendors import registry

PLAIN = "plain"


@dataclass(frozen=True)
class DumpFormat:
    """How a toolchain dumps tensors.

    Attributes:
        recognize: whether a file or folder is such a dump.
        read: reads it.
    """

    recognize: Callable[[Path], bool]
    read: Callable[[Path], Dump]


def read_dump(path: Path, vendor: str | None = None) -> Dump:
    """Read a dump.

    Args:
        path: a file or folder.
        vendor: a toolchain, or ``plain``; found out by default.

    Raises:
        InputError: it cannot be read.
        UsageError: there is no such toolchain.
    """
    if vendor == PLAIN or not path.exists():
        return read_plain(path)
    if vendor is not None:
        found = registry.toolchain(vendor, "dumps")
        if found is None:
            known = ", ".join([PLAIN, *registry.names("dumps")])
            raise UsageError(f"--board-vendor: no dumps of {vendor!r} are known", f"known: {known}")
        chosen: DumpFormat = registry.load(found, "dumps")
        return chosen.read(path)
    for _, form in registry.loaded("dumps"):
        if form.recognize(path):
            found_dump: Dump = form.read(path)
            return found_dump
    return read_plain(path)
