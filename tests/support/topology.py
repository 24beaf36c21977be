"""Node names, ops and shapes of a plausible detector with any number of layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice

HEAD = (
    ("cv2.0/cv2.0.2/Conv", "Conv"),
    ("cv3.0/cv3.0.2/Conv", "Conv"),
    ("dfl/Reshape", "Reshape"),
    ("dfl/Softmax", "Softmax"),
    ("dfl/conv/Conv", "Conv"),
    ("Sub", "Sub"),
    ("Mul_2", "Mul"),
    ("Sigmoid", "Sigmoid"),
    ("Concat_5", "Concat"),
)
"""The last nodes; the very last one makes the output ``output0``."""


@dataclass(frozen=True)
class Node:
    """One node of the synthetic graph."""

    name: str
    op: str
    shape: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def detector(layers: int) -> list[Node]:
    """The nodes in execution order, the head last."""
    head = HEAD[-layers:]
    body = list(islice(_body(), layers - len(head)))
    module = int(body[-1][0].split(".")[1].split("/")[0]) + 1 if body else 0
    named = [*body, *((f"/model.{module}/{part}", op) for part, op in head)]
    inputs = [_inputs(i, op) for i, (_, op) in enumerate(named)]
    outputs: list[list[int]] = [[] for _ in named]
    for index, sources in enumerate(inputs):
        for source in sources:
            outputs[source].append(index)
    return [
        Node(name, op, _shape(i, layers, op), inputs[i], tuple(outputs[i]))
        for i, (name, op) in enumerate(named)
    ]


def _body() -> Iterator[tuple[str, str]]:
    for module in count():
        prefix = f"/model.{module}"
        if module % 4 == 3:
            yield from ((f"{prefix}/m.{i}/MaxPool", "MaxPool") for i in range(3))
            yield f"{prefix}/Concat", "Concat"
        elif module % 4 == 2:
            for branch in ("cv1", "cv2", "m.0/cv1", "m.0/cv2"):
                yield from _conv(f"{prefix}/{branch}")
            yield f"{prefix}/m.0/Add", "Add"
            yield f"{prefix}/Concat", "Concat"
            yield from _conv(f"{prefix}/cv3")
        else:
            yield from _conv(prefix)


def _conv(prefix: str) -> Iterator[tuple[str, str]]:
    yield f"{prefix}/conv/Conv", "Conv"
    yield f"{prefix}/act/Sigmoid", "Sigmoid"
    yield f"{prefix}/act/Mul", "Mul"


def _shape(index: int, layers: int, op: str) -> tuple[int, ...]:
    if op == "Reshape":
        return (1, 4, 16, 400)
    stage = min(3, 4 * index // layers)
    side = 40 >> stage
    return (1, 16 << min(stage, 2), side, side)


def _inputs(index: int, op: str) -> tuple[int, ...]:
    wanted = {"Concat": 3, "Add": 4, "Mul": 2}.get(op, 1)
    near = (index - 1,) if wanted == 1 else (index - wanted, index - 1)
    return tuple(i for i in near if i >= 0)
