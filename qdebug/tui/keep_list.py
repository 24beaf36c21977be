"""The keep list in the words of each toolchain, and what is known about its effect."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from qdebug.run.model import Layer
from qdebug.tui.context import Session
from qdebug.vendors.advice import FloatLayer, advices, keep_in_float


@dataclass(frozen=True)
class Form:
    """A form in which the list can leave the browser.

    Attributes:
        title: what it is for.
        file: name that is suggested for it.
        write: makes its text; empty where no layer of the list can be said in it.
        tells_precision: whether it tells float from 16 bits.
    """

    title: str
    file: str
    write: Callable[[Session], str]
    tells_precision: bool = False


def picked(session: Session) -> list[Layer]:
    """The layers on the list, in execution order."""
    return [x for x in map(session.layer, sorted(session.picks)) if x is not None]


def nodes_to_exclude(session: Session) -> str:
    """JSON for ONNX Runtime's ``quantize_static``.

    ``nodes_to_exclude`` holds the nodes to leave in float, ``TensorQuantOverrides`` (an extra
    option) the tensors to give 16 bits. ``layers`` says what is known about each.
    """
    layers = picked(session)
    floats = [x for x in layers if session.picks[x.index] == "float"]
    wide = [x for x in layers if session.picks[x.index] == "int16"]
    document = {
        "nodes_to_exclude": [layer.name for layer in floats],
        "TensorQuantOverrides": {x.float_tensor: [{"quant_type": "QUInt16"}] for x in wide},
        "layers": [_facts(layer, session) for layer in layers],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _facts(layer: Layer, session: Session) -> dict[str, Any]:
    sensitivity = layer.sensitivity.sqnr_db if layer.sensitivity else None
    return {
        "index": layer.index,
        "node": layer.name,
        "tensor": layer.float_tensor,
        "precision": session.picks[layer.index],
        "sensitivity_sqnr_db": _json_number(sensitivity),
        "findings": [f.id for f in session.findings_of.get(layer.index, [])],
    }


def _json_number(value: float | None) -> float | str | None:
    return value if value is None or abs(value) < float("inf") else str(value)


def _in_words_of(vendor: str, session: Session) -> str:
    layers = [FloatLayer(x.name, x.op, x.float_tensor) for x in picked(session)]
    return "".join(f"{item.data['text']}\n" for item in keep_in_float(layers, vendor))


FORMS: tuple[Form, ...] = (
    Form("JSON for ONNX Runtime and scripts", "keep.json", nodes_to_exclude, tells_precision=True),
    *(
        Form(vendor.title, advice.keep_file, partial(_in_words_of, vendor.name))
        for vendor, advice in advices()
    ),
)
"""Every form, the one that says most first; a toolchain that is added shows up here."""


def known_effects(session: Session) -> list[str]:
    """What findings expect from the layers on the list; nothing is estimated here."""
    told = []
    for finding in session.run.findings:
        on = sum(index in session.picks for index in finding.layers)
        if finding.gain_db is None or finding.status not in ("fail", "warn") or not on:
            continue
        gain = f"about {finding.gain_db:.1f} dB at the output ({finding.confidence} confidence)"
        name, count = f"{finding.id} {finding.slug}", len(finding.layers)
        if on == count:
            told.append(f"{name}: all it names is on the list, {gain}")
        else:
            told.append(f"{name}: {on} of {count} layers are on the list; with all, {gain}")
    return told
