"""A fix in the words of each toolchain, ready to paste.

Three fixes can be said so: layers kept out of 8 bits, another range for a tensor, one scale for
every channel of a weight. Layer names are the float model's node names; toolchains that rename
layers are given the name they make of it, by the rule that their own files show. Each toolchain's
words and their source stand in its folder.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from qdebug.run.model import Evidence
from qdebug.vendors import registry
from qdebug.vendors.vendor import Part, Vendor


@dataclass(frozen=True)
class FloatLayer:
    """A layer to keep in float, or to give 16 bits.

    Attributes:
        node: name of its node in the float model.
        op: operator.
        tensor: name of its output.
    """

    node: str
    op: str
    tensor: str


@dataclass(frozen=True)
class BetterRange:
    """A range that would serve a tensor better than its own.

    Attributes:
        layer: what makes the tensor.
        low: smallest value of the range.
        high: largest value.
        clips: whether the tensor's own range is too narrow; otherwise it is too wide.
    """

    layer: FloatLayer
    low: float
    high: float
    clips: bool


@dataclass(frozen=True)
class Advice:
    """How a toolchain says the fixes.

    Attributes:
        keep_title: heading of the setting that keeps layers out of 8 bits.
        keep_file: name under which the browser suggests to write that setting.
        language: of that setting.
        keep: writes it; empty text where none of the layers can be said in it.
        calibrate: writes another range for a tensor, or another calibration.
        weights: the setting for one scale a channel; empty where it is the toolchain's way anyway.
        settings_language: of ``calibrate`` and ``weights``.
    """

    keep_title: str
    keep_file: str
    language: str
    keep: Callable[[Sequence[FloatLayer]], str]
    calibrate: Callable[[BetterRange], str]
    weights: str = ""
    settings_language: str = "python"


def known_vendor(text: str, part: Part = "advice") -> str:
    """The name of a toolchain, from its name or another name of it in any case.

    Args:
        text: the name.
        part: that it has to have.

    Raises:
        ValueError: there is no such toolchain, or it cannot be loaded; the message tells which,
            and names the nearest, or all.
    """
    found = registry.toolchain(text, part)
    if found is not None:
        registry.load(found, part)
        return found.name
    broken = registry.problems().get(text)
    if broken:
        raise ValueError(broken)
    near = difflib.get_close_matches(text.lower(), registry.names(part), n=1)
    known = ", ".join(vendor.name for vendor in registry.toolchains(part))
    told = f"did you mean {near[0]!r}?" if near else f"known: {known}"
    raise ValueError(f"there is no toolchain {text!r}; {told}")


def keep_in_float(layers: Sequence[FloatLayer], vendor: str | None = None) -> list[Evidence]:
    """The setting that keeps layers in float (or 16 bits), one piece of code a toolchain.

    Args:
        layers: in execution order.
        vendor: one toolchain, by its name or an alias; None, or one that is not known, for all.
    """
    settings = [(advice, advice.keep(layers)) for _, advice in advices(vendor)]
    tensors = [layer.tensor for layer in layers]
    return [_code(x.keep_title, x.language, text, keep=tensors) for x, text in settings if text]


def calibrate_again(item: BetterRange, vendor: str | None = None) -> list[Evidence]:
    """The setting that gives a tensor a better range, or another calibration where there is none.

    Args:
        item: the tensor and its better range.
        vendor: one toolchain, by its name or an alias; None, or one that is not known, for all.
    """
    better = {"tensor": item.layer.tensor, "low": item.low, "high": item.high}
    return [
        _code(
            f"{toolchain.title}: another range",
            x.settings_language,
            x.calibrate(item),
            range=better,
        )
        for toolchain, x in advices(vendor)
    ]


def weights_per_channel(vendor: str | None = None) -> list[Evidence]:
    """The setting that gives every output channel of a weight its own scale.

    Toolchains that always do so are left out.

    Args:
        vendor: one toolchain, by its name or an alias; None, or one that is not known, for all.
    """
    return [
        _code(f"{toolchain.title}: weights per channel", x.settings_language, x.weights)
        for toolchain, x in advices(vendor)
        if x.weights
    ]


def literal(text: str) -> str:
    """A name as a quoted text of Python, JSON and YAML."""
    return json.dumps(text, ensure_ascii=False)


def advices(name: str | None = None) -> list[tuple[Vendor, Advice]]:
    """One toolchain with its advice, or all of them; what cannot be loaded is left out.

    Args:
        name: its name or an alias; None, or one that is not known, for all.
    """
    one = registry.toolchain(name, "advice") if name else None
    return registry.loaded("advice", [one] if one else None)


def _code(title: str, language: str, text: str, **fix: Any) -> Evidence:
    return Evidence("code", title, {"language": language, "text": text, **fix})
