"""What stands beside two parts: what they are, how to replay them, what they should give."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass

import numpy as np
import onnx

from qdebug._version import __version__
from qdebug.metrics.metric import METRICS
from qdebug.run.model import ErrorMetrics, LocalError, ModelInfo
from qdebug.vocabulary.names import visible
from qdebug.vocabulary.numbers import cosine, number, percent

README = "README.md"
FLOAT_PART = "float_part.onnx"
QUANT_PART = "quant_part.onnx"

_SNIPPET = """\
import numpy as np
import onnxruntime as ort

inputs = dict(np.load("{inputs}"))
values = []
for part in ("{float_part}", "{quant_part}"):
    options = ort.SessionOptions()  # as written: no operator is fused with its Q/DQ nodes
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(part, options, providers=["CPUExecutionProvider"])
    values.append(session.run(None, inputs)[0].astype(np.float64))
f, q = values
print("SQNR", 10 * np.log10((f**2).sum() / ((q - f) ** 2).sum()), "dB")
"""


@dataclass(frozen=True)
class Told:
    """What the text is made of.

    Attributes:
        layer: name of the node.
        op: its operator.
        number: of the layer in a run of the two models.
        tensors: its output in the float and in the quant model.
        local: local error in the whole models.
        replayed: the same in the parts.
        faithful: whether the two agree.
        context: layers taken along upstream.
        inputs: name, shape, dtype and what it stands for in the float and in the quant model.
        output: name in the float and in the quant part.
        models: the two models.
        preprocess: pipelines of pictures, empty where there was none.
        samples: their names.
        command: arguments of ``qdebug`` that replay.
    """

    layer: str
    op: str
    number: int
    tensors: tuple[str, str]
    local: LocalError
    replayed: ErrorMetrics | None
    faithful: bool
    context: int
    inputs: tuple[tuple[str, tuple[int, ...], str, tuple[str, str]], ...]
    output: tuple[str, str]
    models: tuple[ModelInfo, ModelInfo]
    preprocess: tuple[str, str]
    samples: tuple[str, ...]
    command: tuple[str, ...]


def readme(told: Told) -> str:
    """The text, Markdown; equal requests give equal bytes."""
    parts = [_head(told), _replay(told), _files(told), _inputs(told), _origin(told)]
    return "\n".join(parts)


def format_db(value: float) -> str:
    """A level for people: two decimals; a sum without error, or without signal, in words."""
    if math.isnan(value):
        return "not defined"
    return f"{value:.2f} dB" if math.isfinite(value) else "exact" if value > 0 else "no signal"


def _head(told: Told) -> str:
    sources = " and ".join(code(model.file) for model in told.models)
    with_more = {0: "", 1: ", with one layer upstream"}.get(
        told.context, f", with {told.context} layers upstream"
    )
    local = told.local
    return f"""\
# {code(told.layer)} ({told.op}), cut out of {sources}{with_more}

Layer #{told.number}: {code(told.tensors[0])} in the float model, {code(told.tensors[1])} in the
quantized one. Fed with the float model's values, the quantized layer gives

| local error | in the whole models | in these parts |
|---|---|---|
| SQNR | {format_db(local.sqnr_db)} | {_replayed(told, "sqnr_db")} |
| cosine | {cosine(local.cosine)} | {_replayed(told, "cosine")} |
| largest difference | {number(local.max_abs)} | {_replayed(told, "max_abs")} |

Clipping makes {_share(local)} of the squared error, rounding the rest. {_judged(told)}
"""


def _replayed(told: Told, metric: str) -> str:
    if told.replayed is None:
        return "not compared"
    value = getattr(told.replayed, metric)
    return format_db(value) if metric == "sqnr_db" else METRICS[metric].write(value)


def _share(local: LocalError) -> str:
    whole = local.clipping_mse + local.rounding_mse
    return percent(local.clipping_mse / whole if whole > 0 else 0.0)


def _judged(told: Told) -> str:
    if told.faithful:
        return "The parts show the error that the layer has in the whole models."
    return (
        "**The parts do not show the same error as the whole models**: take more of the graph in "
        "with `--context`."
    )


def _replay(told: Told) -> str:
    command = shlex.join(("qdebug", *told.command))
    one = told.command[-1] if told.command[-1].endswith(".npz") else f"{told.command[-1]}/0000.npz"
    snippet = _SNIPPET.format(inputs=one, float_part=FLOAT_PART, quant_part=QUANT_PART)
    where = "at the layer" if told.context else "at the output"
    kind = "local" if told.context else "accumulated"
    return f"""\
## Replay

In this folder; the {kind} error {where} is the local error above:

```console
$ {command}
```

Without qdebug:

```python
{snippet}```
"""


def _files(told: Told) -> str:
    many = len(told.samples) > 1
    shown = {kind: f"{kind}/" if many else f"{kind}.npz" for kind in _KINDS}
    rows = "\n".join(f"| `{shown[kind]}` | {text} |" for kind, text in _KINDS.items())
    note = "One `.npz` for each sample, in the order given below.\n" if many else ""
    return f"""\
## Files

| file | what |
|---|---|
| `{FLOAT_PART}` | the layer in the float model; output {code(told.output[0])} |
| `{QUANT_PART}` | the layer in the quantized model, its Q/DQ nodes, weights and bias included; \
output {code(told.output[1])} |
{rows}

{note}"""


_KINDS = {
    "inputs": "inputs of both parts: the float model's values",
    "quant_inputs": "the same tensors as the whole quantized model has them, errors upstream "
    "included",
    "expected": "`float` and `quant`: outputs of the parts for `inputs`; `quant_model`: the value "
    "in the whole quantized model",
}


def _inputs(told: Told) -> str:
    rows = [
        _row(code(name), "x".join(map(str, shape)) or "scalar", dtype, _stands_for(*stands_for))
        for name, shape, dtype, stands_for in told.inputs
    ]
    body = "\n".join(rows)
    return f"""\
## Inputs

| input | shape | type | stands for |
|---|---|---|---|
{body}
"""


def _row(*cells: str) -> str:
    return " | ".join(["", *(cell.replace("|", "\\|") for cell in cells), ""]).strip()


def _stands_for(float_tensor: str, quant_tensor: str) -> str:
    told = [f"float {code(float_tensor)}"] if float_tensor else []
    return ", ".join(told + ([f"quantized {code(quant_tensor)}"] if quant_tensor else []))


def _origin(told: Told) -> str:
    import onnxruntime

    models = "\n".join(
        f"- {side} model: {code(m.file)}, {m.format}, opset {m.opset}, {m.nodes} nodes, "
        f"{code(m.producer or 'producer not known')}, sha256 `{m.sha256}`"
        for side, m in zip(("float", "quantized"), told.models, strict=True)
    )
    pipelines = "\n".join(
        f"- pictures: {code(text)}" for text in dict.fromkeys(told.preprocess) if text
    )
    samples = "\n".join(f"{n}. {code(name)}" for n, name in enumerate(told.samples))
    return f"""\
## Where it comes from

{models}
{pipelines}
- qdebug {__version__}, ONNX Runtime {onnxruntime.__version__}, onnx {onnx.__version__}, \
numpy {np.__version__}

Samples:

{samples}
"""


def code(text: str) -> str:
    """Text as Markdown code on one line, whatever it holds."""
    plain = visible(text)
    fence = "`"
    while fence in plain:
        fence += "`"
    space = " " if plain.startswith("`") or plain.endswith("`") else ""
    return f"{fence}{space}{plain}{space}{fence}"
