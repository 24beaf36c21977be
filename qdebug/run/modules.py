"""Layers as a tree by the module path in their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from qdebug.run.model import Layer

_SEPARATOR = re.compile(r"[/\\]|::")


@dataclass
class Module:
    """A folder of layers.

    Attributes:
        path: the whole path, unique.
        label: what its parent does not already say.
        depth: number of modules above it.
        modules: modules directly inside, by their segment, in order of their first layer.
        layers: positions of the layers directly inside.
        first: position of its first layer, for the order.
    """

    path: str
    label: str
    depth: int
    first: int
    modules: dict[str, Module] = field(default_factory=dict)
    layers: list[int] = field(default_factory=list)

    def all_layers(self) -> list[int]:
        """Positions of every layer below, in order."""
        below = list(self.layers)
        for module in self.modules.values():
            below.extend(module.all_layers())
        return sorted(below)


def segments(name: str) -> list[str]:
    """The parts of a module path: by slashes, else by dots between words."""
    parts = [part for part in _SEPARATOR.split(name) if part]
    if len(parts) > 1:
        return parts
    dotted = name.strip("/").split(".")
    return dotted if len(dotted) > 1 and all(dotted) else [name]


def build(layers: Sequence[Layer], positions: Sequence[int]) -> Module:
    """The tree of the layers at these positions, under a nameless root."""
    root = Module("", "", -1, 0)
    for position in positions:
        module = root
        for part in segments(layers[position].name)[:-1]:
            if part not in module.modules:
                path = f"{module.path}/{part}" if module.path else part
                module.modules[part] = Module(path, part, module.depth + 1, position)
            module = module.modules[part]
        module.layers.append(position)
    for part, module in list(root.modules.items()):
        root.modules[part] = _compressed(module, 0)
    return root


def _compressed(module: Module, depth: int) -> Module:
    """Join a module that holds one module and nothing else with it, as file browsers do."""
    while len(module.modules) == 1 and not module.layers:
        (inner,) = module.modules.values()
        inner.label = f"{module.label}/{inner.label}"
        module = inner
    module.depth = depth
    module.modules = {p: _compressed(m, depth + 1) for p, m in module.modules.items()}
    return module
