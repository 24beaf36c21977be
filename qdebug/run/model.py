"""The result of one comparison, as plain frozen data.

Everything a console summary, the terminal browser or a report shows is in here; nothing in here
needs the models again. The field names are the JSON contract of ``run.json``
(``qdebug.run/1``): fields are added, never renamed.

Numbers are Python floats; ``inf`` and ``nan`` are meant and are stored as strings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qdebug.metrics.entry import Metric
from qdebug.metrics.metric import SHOWN
from qdebug.metrics.metric import ErrorMetrics as ErrorMetrics  # noqa: PLC0414 - part of the model
from qdebug.run.arrays import RunArrays
from qdebug.run.board_results import BoardInfo, BoardLayer
from qdebug.run.crops import Crop
from qdebug.run.dataset_scores import DatasetResult
from qdebug.run.decoding import LEFT_OUT
from qdebug.run.files import MemoryFiles, RunFiles
from qdebug.run.reading_results import ReadingInfo
from qdebug.run.tuning import Tuning

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "qdebug.run/1"

TASK_PREFIX = "task."
"""A limit whose metric begins so is about a number of the task."""

Status = Literal["pass", "warn", "fail", "inconclusive"]
Gate = Literal["input", "float", "ceiling", "int8", "board", "output"]
State = Literal[
    "ok",
    "identical",
    "zero_both",
    "zero_quant",
    "zero_float",
    "nonfinite",
    "low_signal",
    "not_compared",
]
FindingStatus = Literal["pass", "warn", "fail", "info", "not_applicable", "error"]
Severity = Literal["error", "warning", "info"]
Confidence = Literal["low", "medium", "high"]
Role = Literal["source", "victim", "sound"]
Origin = Literal["flag", "file", "metadata", "inferred", "assumed"]
Recognition = Literal["declared", "recognized", "guessed"]


@dataclass(frozen=True)
class ToolInfo:
    """What computed the run."""

    version: str
    onnxruntime: str
    onnx: str
    numpy: str
    python: str
    cpu: str
    cpu_flags: tuple[str, ...] = ()
    """Instruction sets that decide integer arithmetic, for instance ``avx2`` or ``avx512_vnni``."""
    providers: tuple[str, ...] = ("CPUExecutionProvider", "CPUExecutionProvider")
    """Execution provider of the float side and of the quant side."""


@dataclass(frozen=True)
class UnplacedEntry:
    """An entry of encodings that says nothing about the twin."""

    name: str
    reason: str


@dataclass(frozen=True)
class RestInfo:
    """What becomes of tensors that no entry of the encodings speaks of."""

    reason: str
    tensors: int


@dataclass(frozen=True)
class EncodingsInfo:
    """The encodings that a quant graph was made of."""

    origin: str
    """File they came from, without its folder."""
    form: str
    """What kind of file it is, in words."""
    toolchain: str
    """Name of the toolchain that wrote it, as ``--vendor`` takes it; empty for qdebug's own."""
    entries: int
    placed: int
    """Entries whose tensor, weight or node was found in the float graph."""
    unplaced: tuple[UnplacedEntry, ...] = ()
    """Entries without a place, and those with one that the toolchain does not use."""
    rest: tuple[RestInfo, ...] = ()
    """The tensors without an entry, by what becomes of them."""
    notes: tuple[str, ...] = ()
    """What the twin cannot show, one sentence each."""


@dataclass(frozen=True)
class CutInfo:
    """What was cut off a graph, so that the rest could be compared."""

    outputs: tuple[str, ...]
    """Tensors where it was cut, and outputs that it kept: what is compared as outputs."""
    operators: tuple[str, ...]
    """Operators that ONNX Runtime does not have among those that were cut off."""
    nodes: int
    """Nodes that were cut off."""
    layers: int = 0
    """Those of them that have weights."""
    inputs: tuple[str, ...] = ()
    """Inputs that nothing reads any more."""


@dataclass(frozen=True)
class ModelInfo:
    """One of the two graphs."""

    file: str
    """File name without its folder."""
    sha256: str
    opset: int
    nodes: int
    producer: str
    format: Literal["float", "qdq", "qoperator", "dynamic", "float16", "mixed"]
    tensors: int = 0
    """Intermediate and output tensors."""
    detail: str = ""
    """One phrase on the quantization: ``uint8 activations, int8 weights per channel``."""
    encodings: EncodingsInfo | None = None
    """Where a toolchain's file was given instead of a graph: what was made of it."""
    cut: CutInfo | None = None
    """Where the graph was cut off: what is missing of it."""


@dataclass(frozen=True)
class PreprocessInfo:
    """The pipeline that fed one side."""

    spec: str
    origin: Origin
    notes: tuple[str, ...] = ()
    """What was assumed, or what an inference rests on, one sentence each."""
    doubts: tuple[str, ...] = ()
    """Parts of an inferred pipeline that nothing decided, one phrase each."""


@dataclass(frozen=True)
class InputStats:
    """What really reached one graph input, over all values of one sample."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    min: float
    max: float
    mean: float


@dataclass(frozen=True)
class SampleInfo:
    """One input both models ran on."""

    name: str
    sha256: str
    thumb: str | None = None
    """Path of a PNG inside the run that shows the float model's input."""
    thumb_quant: str | None = None
    """The same for the quant model, where its input differs."""
    thumb_fed: str | None = None
    """The same for what was really fed, where that was given with ``--fed``."""
    source: str | None = None
    """Path inside the run of a small picture of the source image, for drawing boxes on."""
    inputs: tuple[InputStats, ...] = ()


@dataclass(frozen=True)
class Limit:
    """A number that decides the verdict."""

    metric: str
    value: float
    direction: Literal["min", "max"]
    origin: str = "default"
    """``default``, ``flag``, or the configuration file."""

    @property
    def about_task(self) -> bool:
        """Whether it holds a number of the task, as ``task.f1``, not a metric of the outputs."""
        return self.metric.startswith(TASK_PREFIX)

    @property
    def task_number(self) -> str:
        """Name of the task's number, as in ``TaskResult.numbers``."""
        return self.metric.removeprefix(TASK_PREFIX)

    def violated_by(self, value: float) -> bool:
        """Whether a number is beyond the limit; NaN always is."""
        if self.direction == "min":
            return not value >= self.value
        return not value <= self.value


@dataclass(frozen=True)
class Verdict:
    """The answer, and which gate it stands at."""

    status: Status
    gate: Gate
    reason: str
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True)
class LocalError(ErrorMetrics):
    """Error of the layer alone: the quant layer fed with the float run's inputs."""

    clipping_mse: float = 0.0
    """Part of ``mse`` from values outside the representable range."""
    rounding_mse: float = 0.0
    """The rest of ``mse``."""


@dataclass(frozen=True)
class Sensitivity:
    """Effect at the model's outputs of quantizing only this layer."""

    sqnr_db: float
    """At the output that suffers most, over all samples, dB."""
    cosine: float
    output: str
    """Name of that output."""
    per_output: Mapping[str, float] = field(default_factory=dict)
    """SQNR in dB by output name."""
    method: Literal["exact", "first-order"] = "exact"
    """``exact``: the network was run with only this layer quantized. ``first-order``: predicted
    from the layer's own error and the gradient of the outputs."""
    share: float | None = None
    """Noise power that this layer alone makes at that output, as a share of what all layers make
    there, each alone; None in runs of earlier versions."""


@dataclass(frozen=True)
class QuantInfo:
    """How a tensor is quantized: ``real = (code - zero_point) * scale``."""

    dtype: str
    scale: float | tuple[float, ...]
    zero_point: int | tuple[int, ...]
    axis: int | None = None
    range: tuple[float, float] | None = None
    """Smallest and largest representable real value; over all channels if per-channel."""


@dataclass(frozen=True)
class WeightError:
    """Error of a layer's weight: dequantized weight against the float model's."""

    tensor: str
    quant_tensor: str
    shape: tuple[int, ...]
    dtype: str
    per_channel: bool
    sqnr_db: float
    cosine: float
    worst_channel: WorstChannel | None = None


@dataclass(frozen=True)
class WorstChannel:
    """A channel (or column) and its accumulated SQNR."""

    index: int
    sqnr_db: float


@dataclass(frozen=True)
class TensorRange:
    """Extremes over all samples."""

    min: float
    max: float


@dataclass(frozen=True)
class Layer:
    """A float tensor, the quant tensor that stands for the same value, and their numbers."""

    index: int
    """Position in execution order of the float graph, from 0."""
    name: str
    """Name of the float node; its output's name when the node has none."""
    op: str
    float_tensor: str
    quant_tensor: str
    shape: tuple[int, ...]
    paired_by: str
    """How the pair was found: ``name``, ``qdq``, ``structure``, ``weights``, ``values``, ..."""
    quant: QuantInfo | None
    accumulated: ErrorMetrics | None
    """None only where ``state`` is ``not_compared``."""
    local: LocalError | None
    sensitivity: Sensitivity | None
    clipped: float | None
    """Share of the float values outside the representable range, 0..1."""
    codes_used: int | None
    """Different codes seen (on a sample of the values of large tensors)."""
    worst_channel: WorstChannel | None
    worst_sample: str | None
    """Name of the sample with the lowest accumulated SQNR."""
    state: State
    reason: str | None
    """Why the state is not ``ok``."""
    role: Role | None = None
    """Source: its local error is large. Victim: only its accumulated error is. None: not known."""
    channel_axis: int | None = None
    worst_channels: tuple[WorstChannel, ...] = ()
    """Up to 16 channels, worst first."""
    sample_sqnr_db: tuple[float, ...] = ()
    """Accumulated SQNR of each sample, in the order of ``Run.samples``."""
    range_float: TensorRange | None = None
    range_quant: TensorRange | None = None
    weight: WeightError | None = None
    inputs: tuple[int, ...] = ()
    """Indices of the nearest layers upstream."""
    outputs: tuple[int, ...] = ()
    """Indices of the nearest layers downstream."""
    codes_total: int | None = None
    """Codes the data type offers."""
    kept: bool = False
    """Whether the run holds this layer's values, in files named by ``tensor_file``."""
    board: BoardLayer | None = field(default=None, metadata={LEFT_OUT: True})
    """The layer on the board; absent where no dump was given."""
    crop: Crop | None = field(default=None, metadata={LEFT_OUT: True})
    """Where the few values lie that ``crops.npz`` holds of this layer; absent where it has none."""


@dataclass(frozen=True)
class OutputResult:
    """Error at one output of the model."""

    name: str
    accumulated: ErrorMetrics | None
    state: State
    deployed: ErrorMetrics | None = None
    """Float against quant, both as deployed: all graph optimizations, nothing tapped."""
    runtime: ErrorMetrics | None = None
    """The quant model's declared simulation against itself as deployed."""
    ceiling: ErrorMetrics | None = None
    """Float against the quant model with 16-bit codes over the same ranges, declared simulation."""
    layer: int | None = None
    """Index of the layer whose tensor this output is."""
    worst_channel: WorstChannel | None = None
    worst_sample: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Unpaired:
    """A tensor without a counterpart, and why."""

    tensor: str
    reason: str
    op: str = ""


EvidenceKind = Literal[
    "text", "table", "key_values", "histogram", "bars", "images", "boxes", "code"
]


@dataclass(frozen=True)
class Evidence:
    """One piece of evidence of a finding; ``data`` depends on ``kind``.

    ============  ================================================================================
    kind          data
    ============  ================================================================================
    text          ``{"text": str}``
    table         ``{"columns": [str], "rows": [[str | number | null]]}``
    key_values    ``{"items": [[str, str | number]]}``
    histogram     ``{"edges": [n+1], "series": {name: [n counts]}, "marks": {name: number}}``
    bars          ``{"labels": [str], "values": [number], "unit": str}``
    images        ``{"items": [{"label": str, "path": str}]}``, paths inside the run
    boxes         ``{"sample": str, "image": str, "float": [box], "quant": [box]}``, a box being
                  ``{"xyxy": [x1, y1, x2, y2], "label": str, "score": number, "match": str}`` with
                  coordinates in 0..1 of the picture, ``match`` one of ``kept|lost|new``
    code          ``{"language": str, "text": str}``; a setting that keeps layers in float adds
                  ``"keep": [float tensor]``, one that gives another range ``"range": {"tensor":
                  str, "low": number, "high": number}``
    ============  ================================================================================
    """

    kind: EvidenceKind
    title: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    id: str
    """Stable identifier, for instance ``QD301``."""
    slug: str
    status: FindingStatus
    severity: Severity
    title: str
    seen: str
    """What was observed, with numbers."""
    advice: str
    """What to do, in the imperative (Markdown)."""
    gain_db: float | None = None
    """Estimated gain in dB at the output if the advice is followed."""
    confidence: Confidence = "medium"
    layers: tuple[int, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    gate: Gate | None = None
    """The gate it belongs to; null where it is about the quality of the run."""


@dataclass(frozen=True)
class TaskResult:
    """Effect on the task, where the output is recognizable."""

    kind: str
    """``classification``, ``detection``, ``segmentation``, ``text``, ``keypoints``, ``regression``,
    ``embedding`` or the name of a user's function."""
    summary: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    per_sample: tuple[Mapping[str, Any], ...] = ()
    recognized: Recognition = "declared"
    """``declared`` by the user; ``recognized``: the float model's values behave like the task's;
    ``guessed``: only the shapes do, or something is assumed. A guess never fails a run."""
    evidence: tuple[str, ...] = ()
    """What ``recognized`` rests on, one phrase each."""
    signal: Mapping[str, bool] = field(default_factory=dict)
    """By output that the task reads: whether its values decide anything on these samples, which is
    whether the float model's decisions change when the output is replaced by its mean."""


@dataclass(frozen=True)
class Timing:
    """Cost of the run; the only part that differs between two runs of the same request."""

    total_s: float
    bare_inference_s: float
    """Plain inference of both models on the same samples, estimated from the untapped runs."""
    peak_rss_mib: float


@dataclass(frozen=True)
class Models:
    """The two graphs."""

    float: ModelInfo
    quant: ModelInfo


@dataclass(frozen=True)
class Preprocess:
    """The two pipelines."""

    float: PreprocessInfo
    quant: PreprocessInfo


@dataclass(frozen=True)
class UnpairedSides:
    """Left-over tensors of both graphs."""

    float: tuple[Unpaired, ...] = ()
    quant: tuple[Unpaired, ...] = ()


@dataclass(frozen=True)
class Run:
    """One comparison, complete. See ``qdebug.load_run`` and ``qdebug.compare``."""

    schema: str
    tool: ToolInfo
    command: tuple[str, ...]
    models: Models
    preprocess: Preprocess
    samples: tuple[SampleInfo, ...]
    verdict: Verdict
    outputs: tuple[OutputResult, ...]
    layers: tuple[Layer, ...]
    unpaired: UnpairedSides
    findings: tuple[Finding, ...]
    timing: Timing
    task: TaskResult | None = None
    notes: tuple[str, ...] = ()
    """Sentences about how the run was made, for instance the memory plan."""
    board: BoardInfo | None = field(default=None, metadata={LEFT_OUT: True})
    """The dump of a board, where one was given with ``--board``; absent otherwise."""
    reading: ReadingInfo | None = field(default=None, metadata={LEFT_OUT: True})
    """The board's final answers, where they were given with ``--predictions``; absent otherwise."""
    tuning: Tuning | None = field(default=None, metadata={LEFT_OUT: True})
    """How the quant model was tuned, where ``qdebug tune`` made it; absent in other runs."""
    local_samples: int | None = field(default=None, metadata={LEFT_OUT: True})
    """Number of samples that ``layers[].local`` is measured on; absent where it is not."""
    datasets: tuple[DatasetResult, ...] = ()
    """Scores against labels, where ``qdebug evaluate`` made the run."""
    mentioned: tuple[str, ...] | None = field(default=None, metadata={LEFT_OUT: True})
    """Names of nodes, tensors and classes that stand in texts and in no field of their own, so
    that redacting finds them; absent in runs of earlier versions."""
    files: RunFiles = field(
        default_factory=MemoryFiles, compare=False, repr=False, metadata={"json": False}
    )
    """Where the binary parts (histograms, pictures, kept tensors) are read from."""

    @property
    def arrays(self) -> RunArrays:
        """Histograms, per-channel and per-sample arrays of the layers."""
        return RunArrays.read(self.files)

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics that the layers and outputs have numbers of.

        A run that was written before a metric existed lacks that one.
        """
        items: tuple[Layer | OutputResult, ...] = (*self.layers, *self.outputs)
        parts = [item.accumulated for item in items if item.accumulated is not None]
        return tuple(
            metric
            for metric in SHOWN
            if not parts or any(getattr(part, metric.name) is not None for part in parts)
        )

    @property
    def exit_code(self) -> int:
        """Exit code of the command that made this run, under the default ``--fail-on error``."""
        return {"pass": 0, "warn": 0, "fail": 1, "inconclusive": 2}[self.verdict.status]

    def layer(self, name: str) -> Layer:
        """The layer with this node name, float tensor or quant tensor.

        Raises:
            KeyError: no layer has that name.
        """
        for layer in self.layers:
            if name in (layer.name, layer.float_tensor, layer.quant_tensor):
                return layer
        raise KeyError(name)

    def report(self, path: str | Path, *, force: bool = False) -> Path:
        """Write a report; the suffix (``.html``, ``.json``, ``.csv``, ...) decides the form.

        Raises:
            UsageError: no reporter writes that suffix, or the file exists and ``force`` is false.
        """
        from qdebug.plugins import reporter_for

        return reporter_for(Path(path)).write(self, Path(path), force=force)  # type: ignore[no-any-return]

    def to_html(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the single-file HTML report."""
        from qdebug.plugins import load_plugin

        return load_plugin("reporters", "html").write(self, Path(path), force=force)  # type: ignore[no-any-return]

    def to_pandas(self) -> pd.DataFrame:
        """The layers as a table of pandas, one row a layer, columns as in the CSV report.

        Raises:
            UsageError: pandas is not installed (``pip install "qdebug[pandas]"``).
        """
        from qdebug.plugins import load_plugin

        return load_plugin("reporters", "csv").frame(self)

    def browse(self) -> None:
        """Open the terminal browser on this run."""
        from qdebug.plugins import load_plugin

        load_plugin("browsers", "terminal")(self)

    def _repr_html_(self) -> str:
        from qdebug.plugins import load_plugin

        return load_plugin("reporters", "notebook").render(self)  # type: ignore[no-any-return]
