"""Plug-ins by entry point: listed without importing, loaded by name when used.

Groups: ``checks``, ``vendors``, ``reporters`` and ``browsers``, each an entry-point
group ``qdebug.GROUP``.
"""

from __future__ import annotations

import functools
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from qdebug.errors import UsageError

GROUPS = ("checks", "vendors", "reporters", "browsers")


def plugin_names(group: str) -> list[str]:
    """Names of the installed plug-ins of a group, sorted."""
    return sorted(_entries(group))


def load_plugin(group: str, name: str) -> Any:
    """Import one plug-in.

    Raises:
        UsageError: no plug-in has that name, or it cannot be imported.
    """
    entries = _entries(group)
    if name not in entries:
        known = ", ".join(sorted(entries)) or "none"
        raise UsageError(f"there is no {group[:-1]} named {name!r}", f"installed: {known}")
    try:
        return entries[name].load()
    except Exception as error:
        raise UsageError(f"the {group[:-1]} {name!r} cannot be loaded: {error}") from error


def reporter_for(path: Path) -> Any:
    """The reporter that writes files with this path's suffix.

    Raises:
        UsageError: none does.
    """
    suffixes: dict[str, Any] = {}
    for name in plugin_names("reporters"):
        reporter = load_plugin("reporters", name)
        for suffix in reporter.suffixes:
            suffixes[suffix] = reporter
    matches = [suffix for suffix in suffixes if path.name.lower().endswith(suffix)]
    if not matches:
        known = ", ".join(sorted(suffixes))
        raise UsageError(f"no reporter writes {path.name!r}", f"known suffixes: {known}")
    return suffixes[max(matches, key=len)]


def _entries(group: str) -> dict[str, EntryPoint]:
    return _found(group, tuple(sys.path))


@functools.lru_cache(maxsize=16)
def _found(group: str, _path: tuple[str, ...]) -> dict[str, EntryPoint]:
    """Entry points by name; to look for them takes as long as a comparison of small networks."""
    return {entry.name: entry for entry in entry_points(group=f"qdebug.{group}")}
