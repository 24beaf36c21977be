"""What was understood: models, input, pairs, and every assumption."""

from __future__ import annotations

from collections import Counter

from rich.text import Text

from qdebug.reporters.console.look import Look
from qdebug.reporters.encodings_words import model_sentences
from qdebug.run.board_results import BoardInfo
from qdebug.run.model import ModelInfo, PreprocessInfo, Run, Unpaired
from qdebug.vocabulary.numbers import plural

_FORMATS = {
    "float": "float",
    "qdq": "QDQ",
    "qoperator": "QOperator",
    "dynamic": "dynamic quantization",
    "float16": "float16",
    "mixed": "mixed",
}
ORIGINS = {
    "flag": "as given on the command line",
    "file": "from a file",
    "metadata": "from the model's metadata",
    "inferred": "inferred from the models and these pictures",
    "assumed": "assumed from the model's input",
}
"""Where a pipeline comes from, in words."""
_LEAD = "  {:<8}"
_REASONS = 3


def section(run: Run, look: Look) -> list[Text]:
    """The head of the summary."""
    lines = [*_title(run, look), look.line("")]
    lines += _model("float", run.models.float, look)
    lines += _model("quant", run.models.quant, look)
    lines += _input(run, look)
    if run.layers or not run.datasets:
        lines += _pairs(run, look)
    if run.board is not None:
        lines += _board(run.board, look)
    return [*lines, *(line for note in run.notes for line in _row("note", note, look))]


def _title(run: Run, look: Look) -> list[Text]:
    providers = dict.fromkeys(name.removesuffix("ExecutionProvider") for name in run.tool.providers)
    return look.items(
        "",
        [
            f"qdebug {run.tool.version}",
            f"onnxruntime {run.tool.onnxruntime} {' / '.join(providers)}",
            *([] if run.datasets else [plural(len(run.samples), "sample")]),
        ],
    )


def _model(side: str, model: ModelInfo, look: Look) -> list[Text]:
    kind = _FORMATS.get(model.format, model.format)
    facts = [] if side == "float" and model.format == "float" else [kind]
    facts += [model.detail] if model.detail else []
    facts += [f"opset {model.opset}", plural(model.tensors, "tensor")]
    facts += [f"sha256 {model.sha256[:8]}"]
    lead = _LEAD.format(side)
    name = look.cut(model.file, look.width - len(lead))
    first = look.line((lead, "dim"), (name, "bold"))
    lines = [first, *look.items(" " * len(lead), facts)]
    return [*lines, *(line for text in model_sentences(model) for line in _row("", text, look))]


def _input(run: Run, look: Look) -> list[Text]:
    one, other = run.preprocess.float, run.preprocess.quant
    if one.spec == other.spec:
        return _pipeline("input", one, look)
    return [*_pipeline("input", one, look), *_pipeline("  quant", other, look)]


def _pipeline(label: str, info: PreprocessInfo, look: Look) -> list[Text]:
    lines = _row(label, info.spec or "tensors as given", look)
    lines += _row("", ORIGINS[info.origin], look)
    for note in info.notes:
        lines += _row("", f"assumed: {note}" if info.origin == "assumed" else note, look)
    for doubt in info.doubts:
        lines += _row("", f"doubtful: {doubt}", look)
    return lines


def _board(board: BoardInfo, look: Look) -> list[Text]:
    """The dump, and how much of it has a layer."""
    mapped = f"{board.mapped} of {plural(board.tensors, 'tensor')} mapped to layers"
    lines = _row("board", f"{board.name}, {board.title}: {mapped}", look)
    return [*lines, *(line for note in board.notes for line in _row("", note, look))]


def _pairs(run: Run, look: Look) -> list[Text]:
    compared = sum(layer.state != "not_compared" for layer in run.layers)
    facts = [f"{compared} compared"]
    if compared < len(run.layers):
        facts.append(f"{len(run.layers) - compared} paired but not compared")
    lines = look.items(_LEAD.format("pairs"), facts, lead_style="dim")
    names = _names(run)
    for side, unpaired in (("float", run.unpaired.float), ("quant", run.unpaired.quant)):
        if unpaired:
            text = f"{len(unpaired)} only in {side}: {_reasons(unpaired, names)}"
            lines += _row("", text, look)
    if run.unpaired.float or run.unpaired.quant:
        lines += _row("", "qdebug show RUN --unmatched lists them", look, style="dim")
    return lines


def _names(run: Run) -> set[str]:
    """Everything in the run that is a name of a node or tensor."""
    layers = {name for x in run.layers for name in (x.name, x.float_tensor, x.quant_tensor)}
    return layers | {item.tensor for item in (*run.unpaired.float, *run.unpaired.quant)}


def _reasons(unpaired: tuple[Unpaired, ...], names: set[str]) -> str:
    """The commonest reasons; those that differ in a name only count as one."""
    told = (_without_names(item.reason, names) for item in unpaired)
    counts = Counter(told).most_common()
    if len(counts) == 1:
        return counts[0][0]
    common = [f"{count} {reason}" for reason, count in counts[:_REASONS]]
    rest = sum(count for _, count in counts[_REASONS:])
    return "; ".join([*common, f"{rest} for other reasons"] if rest else common)


def _without_names(reason: str, names: set[str]) -> str:
    words = reason.split(" ")
    return " ".join("…" if word.strip("'\"`") in names else word for word in words)


def _row(label: str, text: str, look: Look, style: str = "") -> list[Text]:
    return look.hanging(_LEAD.format(label), text, lead_style="dim", style=style)
