"""The record of a toolchain."""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass
from importlib.util import resolve_name
from typing import Any, Literal, get_args

Part = Literal["dialect", "advice", "encodings", "dumps"]
"""What qdebug can know of a toolchain."""
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True)
class Vendor:
    """One toolchain. Its parts are named, and imported when they are needed.

    A part is ``MODULE:NAME``, the module relative to ``package`` as in an import statement, for
    instance ``.dialect:DIALECT``.

    Attributes:
        package: the package it is written in, ``__name__``; a ``manual.md`` in it is its part of
            the manual.
        name: what ``--vendor`` and ``-p NAME:...`` take.
        title: its name as its makers write it.
        aliases: other names, lower case.
        place: where it stands in lists, smaller first; by judgement, the most asked for first.
            Those that leave it out come last, by name.
        dialect: a `qdebug.vendors.dialect.Dialect`, how it writes preprocessing.
        advice: a `qdebug.vendors.advice.Advice`, its words for a fix.
        dumps: a `qdebug.vendors.dumps.DumpFormat`, how its programs dump tensors.
        encodings: a `qdebug.vendors.encodings.ToolchainEncodings`, its files that say how a network
            is quantized, and its arithmetic.
    """

    package: str
    name: str
    title: str
    aliases: tuple[str, ...] = ()
    place: int = 1000
    dialect: str | None = None
    advice: str | None = None
    dumps: str | None = None
    encodings: str | None = None

    def has(self, part: Part) -> bool:
        """Whether it has the part."""
        return getattr(self, part) is not None

    def load(self, part: Part) -> Any:
        """Import one of its parts.

        Raises:
            ImportError: the module cannot be imported.
            AttributeError: the module lacks the name.
        """
        module, _, name = str(getattr(self, part)).partition(":")
        return getattr(pkgutil.resolve_name(resolve_name(module, self.package)), name)
