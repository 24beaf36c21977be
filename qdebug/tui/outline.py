"""The lines of the layer list's outline: modules that fold, and layers."""

from __future__ import annotations

from dataclasses import dataclass

from qdebug.run.modules import Module, segments


@dataclass(frozen=True)
class OutlineRow:
    """A line of the outline: a module, or a layer (``module`` is None)."""

    depth: int
    layer: int
    """Position of the layer; of a module, its first one."""
    module: Module | None = None


def rows(root: Module, folded: set[str]) -> list[OutlineRow]:
    """The lines to show; what is inside a folded module is left out."""
    lines: list[OutlineRow] = []
    _add_rows(root, folded, lines)
    return lines


def _add_rows(module: Module, folded: set[str], lines: list[OutlineRow]) -> None:
    items: list[tuple[int, Module | None]] = [(position, None) for position in module.layers]
    items += [(inner.first, inner) for inner in module.modules.values()]
    for position, inner in sorted(items, key=lambda item: item[0]):
        lines.append(OutlineRow(module.depth + 1, position, inner))
        if inner is not None and inner.path not in folded:
            _add_rows(inner, folded, lines)


def all_paths(module: Module) -> set[str]:
    """Paths of every module below."""
    found: set[str] = set()
    for inner in module.modules.values():
        found |= {inner.path} | all_paths(inner)
    return found


def leaf(name: str) -> str:
    """What a layer is called inside its module."""
    return segments(name)[-1] if name else name
