"""A run whose every text tries to drive the terminal."""

from __future__ import annotations

import dataclasses
import re

from qdebug.run.model import Evidence, Run
from tests.support.synthetic import synthetic_run

ATTACK = "\x1b]0;owned\x07\x9b31m\u202egnp\u2066x\u200b\x7f\U000e0041"
"""A terminal's title, a colour by a C1 control, directions, what has no width, DEL, a tag."""
UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\U000e0000-\U000e007f]"
)


def attacking_run() -> Run:
    """A run with the attack in every kind of text that a screen shows."""
    run = synthetic_run(50, samples=3)
    layers = tuple(
        dataclasses.replace(
            layer, op=f"Conv{ATTACK}", name=f"n{layer.index}{ATTACK}", paired_by=ATTACK
        )
        for layer in run.layers
    )
    evidence = (
        Evidence("bars", ATTACK, {"labels": [f"a{ATTACK}"], "values": [1.0], "unit": ATTACK}),
        Evidence(
            "histogram",
            "values",
            {
                "edges": [0.0, 1.0, 2.0],
                "series": {f"float{ATTACK}": [1, 2], f"quant{ATTACK}": [2, 1]},
                "marks": {f"mark{ATTACK}": 0.5},
            },
        ),
        Evidence("table", "t", {"columns": [f"c{ATTACK}"], "rows": [[ATTACK]]}),
        Evidence("key_values", "k", {"items": [[f"k{ATTACK}", ATTACK]]}),
    )
    first = dataclasses.replace(run.findings[0], title=ATTACK, advice=ATTACK, evidence=evidence)
    model = dataclasses.replace(run.models.float, sha256=ATTACK, producer=ATTACK)
    return dataclasses.replace(
        run,
        layers=layers,
        findings=(first, *run.findings[1:]),
        models=dataclasses.replace(run.models, float=model),
        notes=(ATTACK,),
        command=("qdebug", "compare", ATTACK),
    )
