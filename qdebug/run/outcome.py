"""The outcome of a run: what the quantized model does of what the float model does, and why.

The one place that forms the sentence at the head of the summary, the browser and the reports.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from qdebug.run.gates import GATES, gate_of, input_failed
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding, Run, TaskResult
from qdebug.run.standing import output_sentence
from qdebug.vocabulary.numbers import number, percent, plural

Numbers = Mapping[str, float]

_SENTENCE_END = re.compile(r"(?<=[^.][.!?])\s+(?=[A-Z`#/])")


@dataclass(frozen=True)
class Outcome:
    """The head of every report.

    Attributes:
        sentence: the effect, without full stop: ``Finds 0 of the float model's 22 objects``.
        why: one or two sentences; empty where there is nothing to explain.
        finding: the finding that says why; None where no finding carries the verdict.
        code: the fix to paste, in the words of the first toolchain that has some.
        boxes: the sample on which most differs, drawn.
    """

    sentence: str
    why: str
    finding: Finding | None
    code: Evidence | None
    boxes: Evidence | None


def outcome_of(run: Run) -> Outcome:
    """The outcome of a run, from what the run holds."""
    carrier = carrying_finding(run)
    return Outcome(
        sentence=_sentence(run),
        why=_why(run, carrier),
        finding=carrier,
        code=_evidence(carrier, "code"),
        boxes=next((e for f in run.findings if (e := _evidence(f, "boxes")) is not None), None),
    )


def carrying_finding(run: Run) -> Finding | None:
    """The finding that says why: of the verdict's status, at the earliest gate, a cause first."""
    if run.verdict.status not in ("fail", "warn"):
        return None
    found = [f for f in run.findings if f.status == run.verdict.status]
    return min(found, key=_carrying_rank, default=None)


def _carrying_rank(finding: Finding) -> tuple[bool, int, bool]:
    """Input and float graph come before all else; behind them causes come before effects."""
    gate = gate_of(finding)
    early = gate in ("input", "float")
    kind = KINDS.get(finding.slug)
    effect = kind is not None and kind.is_effect
    return not early, GATES.index(gate) if early and gate else 0, effect


def _evidence(finding: Finding | None, kind: str) -> Evidence | None:
    return next((e for e in finding.evidence if e.kind == kind), None) if finding else None


def _why(run: Run, finding: Finding | None) -> str:
    if finding is None:
        return capital(run.verdict.reason) if run.verdict.status != "inconclusive" else ""
    seen = first_sentence(finding.seen)
    kind = KINDS.get(finding.slug)
    if kind is not None and kind.is_effect:
        return seen
    return f"{finding.title.rstrip('.')}. {capital(seen)}"


def first_sentence(text: str) -> str:
    """Up to the first full stop that a new sentence follows."""
    return _SENTENCE_END.split(" ".join(text.split()), maxsplit=1)[0]


def _sentence(run: Run) -> str:
    if run.verdict.status == "inconclusive":
        return f"No verdict: {run.verdict.reason}"
    told = _effect(run)
    if run.preprocess.float.doubts:
        told += " (the pipeline was inferred, and is doubtful in part)"
    told += _up_to(run)
    if run.verdict.gate == "board" and run.verdict.status in ("fail", "warn"):
        return f"Board fault; in simulation: {_small(told)}"
    if not input_failed(run):
        return told
    return f"Input fault: {_small(told)}"


def _up_to(run: Run) -> str:
    """How far the models were compared, where something was cut off."""
    cut = run.models.float.cut or run.models.quant.cut
    if cut is None:
        return ""
    more = f" and {len(cut.outputs) - 1} more" if len(cut.outputs) > 1 else ""
    return f" (up to {cut.outputs[0]}{more}: what is behind was cut off)"


def _effect(run: Run) -> str:
    if run.datasets and run.task is None and not run.outputs:
        return _score_sentence(run)
    if run.task is None:
        return f"The task is not known; {_small(output_sentence(run))}"
    told = task_sentence(run.task)
    return f"{told} (the task is a guess)" if run.task.recognized == "guessed" else told


def _score_sentence(run: Run) -> str:
    """The deciding score of the last model on the first data set, beside the reference's."""
    result = run.datasets[0]
    metric, rows = result.metrics[0], result.rows
    first, last = rows[0].scores[metric].value, rows[-1].scores[metric].value
    if len(rows) == 1:
        return f"Scores {number(first)} ({metric}) on {plural(result.pictures, 'picture')}"
    who = "Scores" if len(rows) == 2 else f"{rows[-1].model} scores"
    return (
        f"{who} {number(last)} where the float model scores {number(first)} ({metric}, "
        f"{plural(result.pictures, 'picture')})"
    )


def task_sentence(task: TaskResult) -> str:
    """The effect on the task, in the words of the task."""
    words = _TASKS.get(task.kind)
    try:
        told = words(task.numbers) if words is not None else ""
    except (KeyError, ValueError, OverflowError):  # a run of another version, or numbers like NaN
        told = ""
    return told or capital(first_sentence(task.summary))


def _detection(n: Numbers) -> str:
    kept, new = _whole(n["kept"]), _whole(n.get("new", 0.0))
    objects, found = kept + _whole(n["lost"]), kept + new
    if not objects and not found:
        return "Neither model finds an object on these samples: nothing to judge"
    if not objects:
        return f"Finds {plural(found, 'object')} where the float model finds none"
    told = f"Finds {kept} of the float model's {plural(objects, 'object')}"
    return f"{told}, and {new} that it does not find" if new else told


def _classification(n: Numbers) -> str:
    samples = _whole(n["samples"])
    if not samples:
        return ""
    same = samples - _whole(n["changed"])
    return f"Gives the float model's top-1 class on {same} of {plural(samples, 'sample')}"


def _text(n: Numbers) -> str:
    samples = _whole(n["samples"])
    same = _whole(n["same_text"] * samples)
    return f"Reads what the float model reads on {same} of {plural(samples, 'sample')}"


def _segmentation(n: Numbers) -> str:
    return f"Gives {percent(n['agreement'])} of the pixels the float model's class"


def _keypoints(n: Numbers) -> str:
    points = _whole(n["points"])
    if not points:
        return "The float model shows no keypoint on these samples: nothing to judge"
    same = _whole(n["same_place"] * points)
    return f"Puts {same} of the float model's {plural(points, 'keypoint')} at the same place"


def _regression(n: Numbers) -> str:
    return f"Gives {percent(n['close'])} of the float model's values closely"


def _embedding(n: Numbers) -> str:
    return f"Its vectors have a mean cosine of {n['cosine']:.4f} with the float model's"


_TASKS: Mapping[str, Callable[[Numbers], str]] = {
    "detection": _detection,
    "classification": _classification,
    "text": _text,
    "segmentation": _segmentation,
    "keypoints": _keypoints,
    "regression": _regression,
    "embedding": _embedding,
}
"""Sentences by ``TaskResult.kind``, from its numbers alone: a stored run has no more."""


def _whole(value: float) -> int:
    if not math.isfinite(value):
        raise ValueError("not a count")
    return round(value)


def capital(text: str) -> str:
    """With a capital, where the first word is a plain word and not a name or a number."""
    word = text.split(" ", 1)[0]
    return text[:1].upper() + text[1:] if word.isalpha() and word.islower() else text


def _small(text: str) -> str:
    return text[:1].lower() + text[1:]
