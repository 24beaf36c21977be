"""What a changed twin loses against the sound one."""

from __future__ import annotations

import numpy as np

from tests.support.planting.families.family import Model, Subject
from tests.support.running import direct_sqnr, run_tensors

CEILING_DB, FLOOR_DB = 60.0, -20.0
"""SQNR is cut to these ends: beyond them differences mean nothing. By judgement."""


def loss_db(subject: Subject, model: Model) -> float:
    """SQNR that a twin loses against the subject's over all inputs, dB.

    At the output that loses most, among those with a signal.
    """
    names = [output.name for output in subject.float_model.graph.output]
    f, sound, changed = (
        _values(subject, m, names) for m in (subject.float_model, subject.quant_model, model)
    )
    lost = [
        _db(f[name], sound[name]) - _db(f[name], changed[name]) for name in names if f[name].any()
    ]
    return max(lost, default=0.0)


def _values(subject: Subject, model: Model, names: list[str]) -> dict[str, np.ndarray]:
    """Outputs by name, those of all inputs in one array."""
    runs = [run_tensors(model, feed, names) for feed in subject.feeds]
    return {name: np.stack([run[name] for run in runs]) for name in names}


def _db(f: np.ndarray, q: np.ndarray) -> float:
    return float(np.clip(np.nan_to_num(direct_sqnr(f, q), nan=FLOOR_DB), FLOOR_DB, CEILING_DB))
