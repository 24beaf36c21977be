"""Finds the toolchains: the folders of this package, and what is installed beside it."""

from __future__ import annotations

import functools
import pkgutil
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

from qdebug.errors import UsageError
from qdebug.plugins import load_plugin, plugin_names
from qdebug.vendors.vendor import PARTS, Part, Vendor

_HOME = "qdebug.vendors"


@functools.cache
def toolchains(part: Part | None = None) -> tuple[Vendor, ...]:
    """Toolchains in the order in which they are listed; of a part, those that have it.

    One that is installed and cannot be loaded is left out: `problems` tells why.
    """
    return tuple(vendor for vendor in _found()[0] if part is None or vendor.has(part))


def problems() -> dict[str, str]:
    """Why installed toolchains are left out, by the name of their entry point."""
    return dict(_found()[1])


def states() -> dict[str, str]:
    """What ``qdebug env`` says of each toolchain: ``loaded``, or what is wrong with it."""
    return problems() | {vendor.name: _state(vendor) for vendor in toolchains()}


def _state(vendor: Vendor) -> str:
    try:
        for part in PARTS:
            load(vendor, part)
    except UsageError as error:
        return error.message
    return "loaded"


def toolchain(name: str, part: Part) -> Vendor | None:
    """The toolchain of a name, in any case, among those that have the part; a name beats an alias.

    Two toolchains may share an alias where they do not share a part: ``sophgo`` is a dialect of
    its own, and in advice another name of TPU-MLIR.
    """
    asked = name.lower()
    able = toolchains(part)
    named = (vendor for vendor in able if vendor.name == asked)
    return next(named, next((vendor for vendor in able if asked in vendor.aliases), None))


def names(part: Part) -> list[str]:
    """The names and aliases of the toolchains that have a part."""
    return [name for vendor in toolchains(part) for name in (vendor.name, *vendor.aliases)]


def load(vendor: Vendor, part: Part) -> Any:
    """Import a toolchain's part; None where it has none.

    Raises:
        UsageError: it cannot be imported.
    """
    if not vendor.has(part):
        return None
    try:
        return vendor.load(part)
    except Exception as error:  # whatever the module of a plug-in raises
        raise UsageError(f"the {part} of {vendor.name} cannot be loaded: {error}") from error


def loaded(part: Part, among: Sequence[Vendor] | None = None) -> list[tuple[Vendor, Any]]:
    """Toolchains with their part, of all that have it or of some; one that fails is left out."""
    found = []
    for vendor in toolchains(part) if among is None else among:
        with suppress(UsageError):
            found.append((vendor, load(vendor, part)))
    return found


def clear() -> None:
    """Forget what was found, for tests that install a toolchain."""
    toolchains.cache_clear()
    _found.cache_clear()


@functools.cache
def _found() -> tuple[tuple[Vendor, ...], tuple[tuple[str, str], ...]]:
    """The toolchains, and the entry points that give none with the reason."""
    found = {vendor.name: vendor for vendor in _own()}
    left_out: list[tuple[str, str]] = []
    for name in plugin_names("vendors"):
        try:
            vendor = load_plugin("vendors", name)
        except UsageError as error:
            left_out.append((name, error.message))
            continue
        if not isinstance(vendor, Vendor):
            left_out.append((name, f"the vendor {name!r} is no qdebug.vendors.vendor.Vendor"))
        elif vendor.name in found:
            left_out.append((name, f"there is another toolchain named {vendor.name!r}"))
        else:
            found[vendor.name] = vendor
    ordered = sorted(found.values(), key=lambda vendor: (vendor.place, vendor.name))
    return tuple(ordered), tuple(left_out)


def _own() -> list[Vendor]:
    folders = pkgutil.iter_modules(import_module(_HOME).__path__)
    return [import_module(f"{_HOME}.{item.name}").VENDOR for item in folders if item.ispkg]
