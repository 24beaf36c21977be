"""What TPU-MLIR's searches write: the loss table and the log of ``search_qtable``.

Source: files that TPU-MLIR 1.30.2 wrote. Its "cos" is 0.5 + 0.5 times the cosine. Both say which
layers lose most, and neither how a tensor is quantized.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from qdebug.encodings.source import Source
from qdebug.graph.validity import name_of
from qdebug.vocabulary.numbers import plural

_SENSITIVE = re.compile(
    r"the layer (?P<name>\S+) is \d+ sensitive layer, loss is (?P<loss>[\d.eE+-]+)"
)
_LOSS = re.compile(r"^No\.\d+\s*:\s*Layer:\s*(?P<name>\S+)\s+Cos:\s*(?P<cos>[\d.eE+-]+)")
_OUTPUT = re.compile(r"(?P<which>int8|mix model) outputs_cos:\s*(?P<cos>[\d.eE+-]+)")
_WORST = 3


def is_log(source: Source) -> bool:
    """Whether a file is a search log."""
    return "sensitive layer, loss is" in source.head


def is_loss_table(source: Source) -> bool:
    """Whether a file is a loss table."""
    return any(_LOSS.match(line) for line in source.head.splitlines()[:64])


def notes_of(source: Source) -> list[str]:
    """What a log or a loss table says of the layers, in sentences."""
    losses: list[tuple[float, str]] = []
    outputs: dict[str, float] = {}
    for number, line in source.lines():
        if (found := _SENSITIVE.search(line)) is not None:
            losses.append((-source.number(found["loss"], "a loss", number), found["name"]))
        elif (found := _LOSS.match(line)) is not None:
            losses.append((source.number(found["cos"], "a cosine", number), found["name"]))
        elif (found := _OUTPUT.search(line)) is not None:
            outputs[found["which"]] = source.number(found["cos"], "a cosine", number)
    if not losses:
        raise source.fault("it names no layer", hint="the file is cut off")
    return [_layers(source, losses), *_outputs(outputs)]


def _layers(source: Source, losses: Sequence[tuple[float, str]]) -> str:
    worst = ", ".join(name_of(name) for _, name in sorted(losses)[:_WORST])
    count = plural(len(losses), "layer")
    return f"{source.name} ranks {count}, most lossy first {worst}"


def _outputs(found: dict[str, float]) -> list[str]:
    """The cosines of the outputs, as everybody else counts them."""
    words = {"int8": "with int8 throughout", "mix model": "with its float layers"}
    told = [f"{2 * cos - 1:.4f} {words[which]}" for which, cos in found.items()]
    return [f"cosine of its outputs by TPU-MLIR's search: {', '.join(told)}"] if told else []
