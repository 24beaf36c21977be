"""Taking out of a run what must not leave the house.

What remains is a run like any other: every report and the browser work on it. Names are replaced
everywhere they occur, in the texts of findings too. The numbers of layers stay, so that both sides
of a ticket can talk about layer 112. Hashes stay as well: they tell which files were used to
whoever has them, and nothing to others.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from qdebug.errors import RunError, UsageError
from qdebug.run.arrays import HIST_NPZ, RunArrays
from qdebug.run.crops import CROPS_NPZ
from qdebug.run.files import RUN_JSON, RunFiles
from qdebug.run.mentioned import WORD, heads
from qdebug.run.model import (
    TASK_PREFIX,
    Evidence,
    Finding,
    InputStats,
    Layer,
    ModelInfo,
    Origin,
    Run,
    SampleInfo,
    TaskResult,
)
from qdebug.run.tuning import Tuning

Kind = Literal["names", "paths", "images", "values"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ANONYMOUS: tuple[Kind, ...] = ("names", "paths", "images")
"""What anonymizing takes out."""

REMOVED = "(removed)"
_HIDDEN_FILES: Mapping[Kind, tuple[str, ...]] = {
    # An early layer looks like the picture that it was computed from.
    "images": ("thumbs/", CROPS_NPZ),
    "values": ("tensors/", CROPS_NPZ),
}
_HIDDEN_EVIDENCE: Mapping[Kind, str] = {"images": "images", "values": "histogram"}
_FIXED_FIELDS = frozenset(
    "schema status gate metric direction state role op id slug severity confidence kind "
    "format dtype paired_by sha256 spec version command path image thumb thumb_quant thumb_fed "
    "source match language form layout mapped_by scale_from".split()
)
_FUNCTION = "user:function"
_NUMBERED_CLASS = re.compile(r"class \d+")
_LONG_OPTION = re.compile(r"--[a-z][a-z-]*")
_SHORT_OPTION = re.compile(r"-[A-Za-z]")
_DATA_KEYS = frozenset(
    "text columns rows items edges series marks labels values unit label path sample image float "
    "quant xyxy score match language keep range tensor low high".split()
)
"""Keys that the forms of evidence prescribe: no names, whatever a tensor is called."""
_NAME_COLUMNS = frozenset("layer node tensor constant name scale output".split())
"""Columns of evidence that hold names; runs of earlier versions have them nowhere else."""
_KNOWN_ORIGINS = frozenset(("default", "model", "predictions", *get_args(Origin)))
"""What ``origin`` may say beside the name of a file."""
_MEASURED = frozenset("min max mean smallest largest from to".split())
"""Columns of evidence that hold values of tensors."""


def parse_kinds(text: str) -> tuple[Kind, ...]:
    """``names,images`` as kinds.

    Raises:
        UsageError: a word is not one of ``KINDS``.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if word not in KINDS:
            raise UsageError(f"cannot redact {word!r}", f"choose from {', '.join(KINDS)}")
    return tuple(kind for kind in KINDS if kind in words)


def redact(run: Run, kinds: Collection[Kind], *, structured: bool = False) -> Run:
    """A run without names of tensors, names of files, pictures or values.

    Args:
        run: the run; it is not changed.
        kinds: what to take out. ``names``: layers, tensors, inputs, outputs, classes, a task
            function of the user's and the numbers it returns, what produced the models.
            ``paths``: files and the command line. ``images``: pictures. ``values``: kept tensors,
            histograms and what was the smallest, largest or mean value of a tensor.
        structured: give every part of a hierarchical name its own alias, so that
            ``/model.22/cv2/Conv`` and ``/model.22/cv3/Conv`` still show what they share.
    """
    aliases: dict[str, str] = {}
    if "names" in kinds:
        aliases |= _class_aliases(run)
        aliases |= _structured(field_names(run), _other_names(run)) if structured else _flat(run)
        aliases |= _task_aliases(run)
        aliases |= {model.producer: REMOVED for model in _models(run) if model.producer}
    if "paths" in kinds:
        aliases |= _file_aliases(run)
    replaced: Run = _Replacer(aliases)(run)
    if "names" in kinds:
        replaced = _without_task_function(replaced, aliases)
    if "paths" in kinds:
        replaced = dataclasses.replace(replaced, command=_bare_command(run))
    if "images" in kinds:
        replaced = _without_images(replaced)
    if "values" in kinds:
        replaced = _without_values(replaced)
    told = f"redacted: {', '.join(kind for kind in KINDS if kind in kinds)}"
    findings = tuple(_without_evidence(finding, kinds) for finding in replaced.findings)
    return dataclasses.replace(
        replaced,
        findings=findings,
        notes=(*replaced.notes, told) if kinds else replaced.notes,
        files=_redacted_files(run.files, kinds),
    )


def field_names(run: Run) -> Iterator[str]:
    """Names of tensors and nodes in execution order; some come more than once."""
    for sample in run.samples:
        yield from (stats.name for stats in sample.inputs)
    for layer in run.layers:
        yield from (layer.name, layer.float_tensor, layer.quant_tensor)
        if layer.weight is not None:
            yield from (layer.weight.tensor, layer.weight.quant_tensor)
        if layer.board is not None and layer.board.tensor:
            yield layer.board.tensor
    yield from (output.name for output in run.outputs)
    yield from (tensor.tensor for tensor in (*run.unpaired.float, *run.unpaired.quant))
    if run.board is not None:
        yield from (name for name, _ in run.board.unmapped)


def _other_names(run: Run) -> Iterator[str]:
    """Names that only texts, tables and records of the run speak of."""
    yield from run.mentioned or ()
    for model in _models(run):
        if model.encodings is not None:
            yield from (entry.name for entry in model.encodings.unplaced)
        if model.cut is not None:
            yield from (*model.cut.outputs, *model.cut.inputs)
    for finding in run.findings:
        for evidence in finding.evidence:
            yield from _names_in_evidence(evidence)
    if run.tuning is not None:
        for units in _tuned_units(run.tuning):
            yield from units


def _tuned_units(tuning: Tuning) -> Iterator[tuple[str, ...]]:
    yield from (cure.units for cure in tuning.cures)
    yield from (point.units for point in tuning.curve)
    yield from (trial.units for trial in tuning.tried)
    yield from ((unit.label, *unit.tensors) for unit in tuning.units)


def _names_in_evidence(evidence: Evidence) -> Iterator[str]:
    data = evidence.data
    if evidence.kind == "table":
        at = [i for i, column in enumerate(data["columns"]) if column in _NAME_COLUMNS]
        cells = (row[i] for row in data["rows"] for i in at if i < len(row))
        yield from (cell for cell in cells if isinstance(cell, str))
    elif evidence.kind == "code":
        yield from data.get("keep", ())
        if "range" in data:
            yield data["range"]["tensor"]


def _models(run: Run) -> tuple[ModelInfo, ModelInfo]:
    return run.models.float, run.models.quant


def _class_aliases(run: Run) -> dict[str, str]:
    """Aliases of what the models or a data set call the things they tell apart."""
    found: dict[str, None] = {}
    for finding in run.findings:
        for data in (item.data for item in finding.evidence if item.kind == "boxes"):
            boxes = (*data.get("float", ()), *data.get("quant", ()))
            found |= dict.fromkeys(str(box["label"]) for box in boxes)
    samples = run.task.per_sample if run.task is not None else ()
    changed = (picture.facts for result in run.datasets for picture in result.changed)
    for facts in (*samples, *changed):
        texts = {key: value for key, value in facts.items() if isinstance(value, str)}
        found |= dict.fromkeys(value for key, value in texts.items() if key != "sample")
    named = (name for name in found if not _NUMBERED_CLASS.fullmatch(name))
    return {name: f"class-{i}" for i, name in enumerate(named)}


def _is_function(task: TaskResult | None) -> bool:
    """Whether a function of the user's judged, ``module:function``."""
    return task is not None and ":" in task.kind


def _task_aliases(run: Run) -> dict[str, str]:
    if run.task is None or not _is_function(run.task):
        return {}
    numbers = {name: f"number-{i}" for i, name in enumerate(run.task.numbers)}
    limits = {f"{TASK_PREFIX}{name}": f"{TASK_PREFIX}{alias}" for name, alias in numbers.items()}
    return {run.task.kind: _FUNCTION} | numbers | limits


def _without_task_function(run: Run, aliases: Mapping[str, str]) -> Run:
    if run.task is None or not _is_function(run.task):
        return run
    limits = tuple(
        dataclasses.replace(limit, metric=aliases.get(limit.metric, limit.metric))
        for limit in run.verdict.limits
    )
    return dataclasses.replace(
        run,
        task=dataclasses.replace(run.task, kind=_FUNCTION),
        verdict=dataclasses.replace(run.verdict, limits=limits),
    )


def _structured(*names: Iterator[str]) -> dict[str, str]:
    parts: dict[str, str] = {}
    return {
        name: "/".join(
            parts.setdefault(part, f"n{len(parts)}") if part else "" for part in name.split("/")
        )
        for name in itertools.chain(*names)
    }


def _flat(run: Run) -> dict[str, str]:
    others = dict.fromkeys(_other_names(run))
    aliases = {name: f"name-{i}" for i, name in enumerate(others)}
    for side, tensors in (("float", run.unpaired.float), ("quant", run.unpaired.quant)):
        aliases |= {item.tensor: f"unpaired-{side}-{i}" for i, item in enumerate(tensors)}
    unmapped = run.board.unmapped if run.board is not None else ()
    aliases |= {tensor: f"board-{i}" for i, (tensor, _) in enumerate(unmapped)}
    for layer in reversed(run.layers):
        name = f"layer-{layer.index}"
        if layer.board is not None and layer.board.tensor:
            aliases[layer.board.tensor] = f"{name}.board"
        if layer.weight is not None:
            aliases[layer.weight.tensor] = f"{name}.weight"
            aliases[layer.weight.quant_tensor] = f"{name}.weight.quant"
        aliases[layer.float_tensor] = f"{name}.float"
        aliases[layer.quant_tensor] = f"{name}.quant"
        aliases[layer.name] = name
    inputs = dict.fromkeys(stats.name for sample in run.samples for stats in sample.inputs)
    aliases |= {name: f"input-{i}" for i, name in enumerate(inputs)}
    return aliases | {output.name: f"output-{i}" for i, output in enumerate(run.outputs)}


def _file_aliases(run: Run) -> dict[str, str]:
    origins = (limit.origin for limit in run.verdict.limits)
    aliases = {origin: "configuration" for origin in origins if origin not in _KNOWN_ORIGINS}
    for number, result in enumerate(run.datasets):
        aliases |= {row.model: f"model-{i}" for i, row in enumerate(result.rows)}
        pictures = dict.fromkeys(picture.name for picture in result.changed)
        aliases |= {name: f"picture-{i:03}" for i, name in enumerate(pictures)}
        aliases[result.name] = f"dataset-{number}"
    if run.tuning is not None:
        aliases |= {file: kind for kind, file in (run.tuning.files or {}).items()}
    for model in _models(run):
        if model.encodings is not None:
            aliases[model.encodings.origin] = "encodings"
    if run.board is not None:
        aliases |= {dump.name: f"dump-{i:03}" for i, dump in enumerate(run.board.dumps)}
        aliases[run.board.name] = "board"
    if run.reading is not None:
        aliases[run.reading.name] = "answers"
    aliases |= {sample.name: f"sample-{i:03}" for i, sample in enumerate(run.samples)}
    return aliases | {run.models.quant.file: "quant.onnx", run.models.float.file: "float.onnx"}


def _bare_command(run: Run) -> tuple[str, ...]:
    """The command with its options, but without what they were given."""
    kept = {"qdebug", *run.command[1:2], run.preprocess.float.spec, run.preprocess.quant.spec}
    return tuple(word if word in kept else _bare_word(word) for word in run.command)


def _bare_word(word: str) -> str:
    option, sign, _ = word.partition("=")
    if _LONG_OPTION.fullmatch(option):
        return f"{option}={REMOVED}" if sign else option
    if _SHORT_OPTION.match(word):
        return word if len(word) == 2 else f"{word[:2]}{REMOVED}"
    return REMOVED


class _Replacer:
    """Replaces names in every text of nested dataclasses, tuples and mappings.

    Args:
        aliases: alias of each name. Names of digits only are replaced where they stand alone in a
            field, not inside sentences, where a number is just a number.
    """

    def __init__(self, aliases: Mapping[str, str]) -> None:
        self._aliases = aliases
        inside = [name for name in aliases if name and not name.isdigit()]
        words = {name for name in inside if WORD.fullmatch(name)}
        self._words = words
        self._odd = sorted(set(inside) - words, key=len, reverse=True)

    def __call__(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self._dataclass(value)
        if isinstance(value, Mapping):
            return {self._key(key): self._item(key, value[key]) for key in value}
        if isinstance(value, (tuple, list)):
            return type(value)(self(item) for item in value)
        return value

    def _key(self, key: str) -> str:
        return key if key in _DATA_KEYS else self._aliases.get(key, key)

    def _dataclass(self, value: Any) -> Any:
        changes = {
            item.name: self._item(item.name, getattr(value, item.name))
            for item in dataclasses.fields(value)
            if item.metadata.get("json", True)
        }
        return dataclasses.replace(value, **changes)

    def _item(self, key: str, value: Any) -> Any:
        if key == "origin" and value in _KNOWN_ORIGINS:
            return value
        return value if key in _FIXED_FIELDS and isinstance(value, (str, tuple)) else self(value)

    def _text(self, text: str) -> str:
        if text in self._aliases:
            return self._aliases[text]
        for name in self._odd:
            if name in text:
                text = text.replace(name, self._aliases[name])
        return WORD.sub(self._word, text) if self._words else text

    def _word(self, found: re.Match[str]) -> str:
        """A known name at the beginning of a word, with what stands behind it."""
        word = found.group()
        for head in heads(word):
            if head in self._words:
                return self._aliases[head] + word[len(head) :]
        return word


def _without_images(run: Run) -> Run:
    samples = tuple(
        dataclasses.replace(sample, thumb=None, thumb_quant=None, thumb_fed=None, source=None)
        for sample in run.samples
    )
    layers = tuple(dataclasses.replace(layer, crop=None) for layer in run.layers)
    return dataclasses.replace(run, samples=samples, layers=layers)


def _without_values(run: Run) -> Run:
    return dataclasses.replace(
        run,
        samples=tuple(_without_statistics(sample) for sample in run.samples),
        layers=tuple(_without_range(layer) for layer in run.layers),
    )


def _without_statistics(sample: SampleInfo) -> SampleInfo:
    unknown = float("nan")
    inputs = tuple(
        InputStats(stats.name, stats.dtype, stats.shape, unknown, unknown, unknown)
        for stats in sample.inputs
    )
    return dataclasses.replace(sample, inputs=inputs)


def _without_range(layer: Layer) -> Layer:
    return dataclasses.replace(layer, range_float=None, range_quant=None, kept=False, crop=None)


def _without_evidence(finding: Finding, kinds: Collection[Kind]) -> Finding:
    hidden = {_HIDDEN_EVIDENCE[kind] for kind in kinds if kind in _HIDDEN_EVIDENCE}
    evidence = tuple(
        Evidence("text", item.title, {"text": "removed from this report"})
        if item.kind in hidden
        else item
        for item in finding.evidence
    )
    if "values" in kinds:
        evidence = tuple(map(_without_measured_columns, evidence))
    return dataclasses.replace(finding, evidence=evidence)


def _without_measured_columns(evidence: Evidence) -> Evidence:
    if evidence.kind != "table":
        return evidence
    columns, rows = evidence.data["columns"], evidence.data["rows"]
    bare = [
        [
            None if name in _MEASURED and isinstance(cell, (int, float)) else cell
            for name, cell in zip(columns, row, strict=False)
        ]
        for row in rows
    ]
    return dataclasses.replace(evidence, data={**evidence.data, "rows": bare})


def _redacted_files(files: RunFiles, kinds: Collection[Kind]) -> RunFiles:
    hidden = tuple(name for kind in kinds for name in _HIDDEN_FILES.get(kind, ()))
    replaced = {}
    if "values" in kinds and HIST_NPZ in files.names():
        stored = RunArrays.read(files)
        unknown = np.full_like(stored.channel_absmax, np.nan)
        bare = RunArrays(
            channel_offsets=stored.channel_offsets,
            channel_sqnr_db=stored.channel_sqnr_db,
            channel_absmax=unknown,
        )
        replaced[HIST_NPZ] = bare.to_bytes()
    return _RedactedFiles(files, (RUN_JSON, *hidden), replaced)


@dataclass(frozen=True)
class _RedactedFiles:
    """Files of a run without some; what is left is read where it lies, when it is asked for."""

    files: RunFiles
    hidden: tuple[str, ...]
    replaced: Mapping[str, bytes] = field(default_factory=dict)

    def names(self) -> list[str]:
        return [name for name in self.files.names() if not name.startswith(self.hidden)]

    def read(self, name: str) -> bytes:
        if name.startswith(self.hidden):
            raise RunError(f"{name!r} was removed from this run")
        return self.replaced[name] if name in self.replaced else self.files.read(name)

    def array(self, name: str) -> npt.NDArray[Any]:
        if name.startswith(self.hidden):
            raise RunError(f"{name!r} was removed from this run")
        return self.files.array(name)
