"""TPU-MLIR: the calibration table, the quantization table and the lowered text.

Source: files that TPU-MLIR 1.30.2 wrote; its arithmetic was held against its own tensors: fed with
them, every Conv of MobileNetV2 gives its codes exactly.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qdebug.encodings.model import Encoding, Encodings, Entry
from qdebug.encodings.rules import Rules
from qdebug.encodings.source import Source
from qdebug.encodings.weights import Coded, symmetric
from qdebug.graph.model import Node
from qdebug.graph.validity import name_of
from qdebug.vendors.encodings import Beside, Format, Target, ToolchainEncodings
from qdebug.vendors.readers import without_ranges
from qdebug.vendors.tpu_mlir.logs import is_log, is_loss_table, notes_of
from qdebug.vendors.tpu_mlir.lowered import is_lowered, read_lowered
from qdebug.vendors.tpu_mlir.merge import merge_linear
from qdebug.vendors.tpu_mlir.writing import FUSED, writers
from qdebug.vocabulary.numbers import plural

_MODES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_OTHER_SECTIONS = ("#int4_th", "#asym")
"""What follows these lines repeats the names with thresholds for other types."""
_CUT = 0.5
"""A threshold below this share of the largest value is told (by judgement: it costs a bit less than
it wins only where what is cut off is rare)."""
_LEAST_SCALE = 1e-5
_PER_TENSOR = ("Gemm", "MatMul")
_DIGITS = 1e-5
"""A threshold has seven decimals in the table."""


def is_cali_table(source: Source) -> bool:
    """Whether a file is a calibration table: by its heading, else by its rows."""
    if "op_name" in source.head and "threshold" in source.head:
        return True
    rows = [line.split() for _, line in source.lines()]
    return bool(rows) and all(map(_is_row, rows))


def _is_row(words: list[str]) -> bool:
    if len(words) != 4:
        return False
    try:
        threshold, low, high = map(float, words[1:])
    except ValueError:
        return False
    return low <= high and threshold >= 0 and low <= 0


def is_qtable(source: Source) -> bool:
    """Whether a file is a quantization table."""
    return "op_name" in source.head and "quantize_mode" in source.head


def read_cali_table(source: Source, beside: Beside) -> Encodings:
    """Read a calibration table, and what lies beside it.

    That is the quantization table, the lowered text, whose encodings are those that ran, or what a
    search said of the layers. A tensor whose smallest value is not below zero has unsigned codes
    and ``threshold / 255`` for a step, any other one signed codes and ``threshold / 127``; zero
    point 0.
    """
    entries, notes = [], []
    for number, line in enumerate((source.text or "").splitlines(), 1):
        if line.strip().startswith(_OTHER_SECTIONS):
            notes.append(f"what follows line {number} is for other types and is not read")
            break
        if line.strip() and not line.lstrip().startswith("#"):
            entries.append(_tensor(source, number, line.split()))
    notes = [*_cut(source), *notes]
    for other in filter(None, (beside.second, beside.names)):
        entries, told = _with(entries, other, beside)
        notes += told
    return Encodings(source.checked(entries), notes=tuple(notes))


def _with(entries: list[Entry], other: Source, beside: Beside) -> tuple[list[Entry], list[str]]:
    """The table's entries with what a file beside it says, and sentences on that."""
    if is_lowered(other):
        return _overridden(entries, other, beside)
    if is_log(other) or is_loss_table(other):
        return entries, notes_of(other)
    floats, left = _kept(other)
    return [*entries, *floats], left


def _overridden(
    entries: list[Entry], text: Source, beside: Beside
) -> tuple[list[Entry], list[str]]:
    """The entries with those of the lowered text in their places: they are what ran."""
    lowered = read_lowered(text, beside)
    ran = {(entry.kind, entry.name): entry for entry in lowered.entries}
    merged = [ran.pop((entry.kind, entry.name), entry) for entry in entries]
    other = sum(not _alike(a, b) for a, b in zip(entries, merged, strict=True))
    count = f"{other} of {plural(len(entries), 'entry', 'entries')}"
    note = f"{count} of the table are replaced by other ones of {text.name}, which are what ran"
    return [*merged, *ran.values()], [note, *lowered.notes]


def _alike(one: Entry, other: Entry) -> bool:
    """Whether two encodings are the same but for the digits that a text keeps of a scale."""
    if one.encoding.scale is None or other.encoding.scale is None:
        return one.encoding == other.encoding
    close = bool(np.allclose(one.encoding.scale, other.encoding.scale, rtol=_DIGITS))
    return close and one.encoding.dtype == other.encoding.dtype


def _cut(source: Source) -> list[str]:
    """How far the thresholds cut into the ranges that calibration saw: the table holds both."""
    shares = []
    for _, line in source.lines():
        words = line.split()
        if _is_row(words):
            threshold, low, high = map(float, words[1:])
            reach = max(-low, high)
            if reach > 0 and threshold < _CUT * reach:
                shares.append((threshold / reach, words[0], threshold, reach))
    if not shares:
        return []
    worst = ", ".join(f"{name} at {at:.3g} of {of:.3g}" for _, name, at, of in sorted(shares)[:3])
    count = plural(len(shares), "threshold lies", "thresholds lie")
    return [f"{count} below half of what calibration saw, lowest of all: {worst}"]


def _tensor(source: Source, number: int, words: list[str]) -> Entry:
    if len(words) != 4:
        raise source.fault(
            f"a row has {len(words)} columns, not name, threshold, min and max",
            number,
            "the table is cut off, or was edited by hand",
        )
    whose = f"of {name_of(words[0])}"
    threshold, low, high = (
        source.number(text, f"the {what} {whose}", number)
        for text, what in zip(words[1:], ("threshold", "min", "max"), strict=True)
    )
    if threshold <= 0:
        raise source.fault(f"the threshold {whose} is {threshold:g}; it must be above zero", number)
    if low > high:
        raise source.fault(f"the min {whose} is above its max", number)
    unsigned = low >= 0
    step = np.float32(threshold / (255 if unsigned else 127))
    return Entry(words[0], Encoding.linear("uint8" if unsigned else "int8", step), line=number)


def _kept(source: Source) -> tuple[list[Entry], list[str]]:
    """Layers that a quantization table keeps in float, and what else it says."""
    entries, others = [], 0
    for number, line in source.lines():
        words = line.split()
        if len(words) != 2:
            raise source.fault(f"a row has {len(words)} columns, not name and mode", number)
        name, mode = words
        if mode in _MODES:
            entries.append(Entry(name, Encoding(_MODES[mode]), "node", line=number))
        elif mode != "INT8":
            others += 1
    notes = (
        [f"{others} layers of {source.name} have a mode that is not simulated"] if others else []
    )
    return list(source.checked(entries)) if entries else [], notes


def read_qtable(source: Source, beside: Beside) -> Encodings:
    """Refuse a quantization table alone: it has no thresholds."""
    del beside
    raise source.fault(
        "a quantization table says which layers stay float, and no thresholds",
        hint=f"give the calibration table as QUANT, and this one as --qtable {source.name}",
    )


def quantize_weight(weight: npt.NDArray[np.float32], node: Node, axis: int) -> Coded:
    """TPU-MLIR's codes of a weight: one scale an output channel, of a matrix one for all."""
    rule = symmetric(
        rounding="away",
        per_channel=node.op not in _PER_TENSOR,
        least=_LEAST_SCALE,
        precision=np.float64,
    )
    return rule(weight, node, axis)


def spelled(tensor: str, op: str) -> tuple[str, ...]:
    """How TPU-MLIR names a tensor: with the operator that makes it."""
    return (f"{tensor}_{op}",) if op else (tensor,)


RULES = Rules(
    simplify=True,
    weights=quantize_weight,
    rounding="away",
    integer_bias=True,
    fuses=FUSED,
    spelled=spelled,
    suffixes=(r"_[A-Z][A-Za-z0-9]*",),
    rewrite=merge_linear,
    rest="is a part of what TPU-MLIR computes as one layer; float here",
    notes=(
        "TPU-MLIR rounds its sums half up after a multiplier and a shift; here they are rounded "
        "half to even: single codes differ",
    ),
)

_RANKING = without_ranges(
    "ranks layers by what they lose", "give the calibration table as QUANT, and this as --qtable"
)
ENCODINGS = ToolchainEncodings(
    formats=(
        Format("cali_table", "TPU-MLIR calibration table", is_cali_table, read_cali_table),
        Format("qtable", "TPU-MLIR quantization table", is_qtable, read_qtable),
        Format("tpu-mlir", "TPU-MLIR lowered text", is_lowered, read_lowered),
        Format("tpu-mlir-search", "TPU-MLIR search log", is_log, _RANKING),
        Format("tpu-mlir-loss", "TPU-MLIR loss table", is_loss_table, _RANKING),
    ),
    writers=tuple(writers()),
    rules=RULES,
    target=Target(wide=("float",), symmetric=True, unsigned=True),
)
