"""``qdebug.extract``: one layer cut out of both models, with its inputs and how to replay it."""

from __future__ import annotations

import dataclasses
import difflib
import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from qdebug.analysis.extract import PartInput, Parts, build_parts, cut_around
from qdebug.capture.engine import Capture, CaptureSettings
from qdebug.capture.session import Session, SessionSettings
from qdebug.capture.state import local_error
from qdebug.comparison.compare import compare
from qdebug.comparison.extract_readme import FLOAT_PART, QUANT_PART, README, Told, readme
from qdebug.comparison.sides import (
    Feeds,
    Side,
    fed_alike,
    feeds_of,
    guess_told,
    load_sides,
    pair_sides,
    samples_of,
)
from qdebug.errors import InputError, UsageError
from qdebug.graph.describe import describe
from qdebug.graph.load import load_graph
from qdebug.graph.pairs import Pairing
from qdebug.options import ExtractOptions, takes
from qdebug.preprocess import Sample
from qdebug.progress import Progress, Silent
from qdebug.run.folder import FolderWriter
from qdebug.run.model import ErrorMetrics, LocalError

Array = npt.NDArray[Any]

_FLOAT16 = onnx.TensorProto.FLOAT16

TOLERANCE_DB = 0.1
"""The parts must show the layer's local SQNR of the whole models within this."""
HALF_NOISE_DB = 60.0
"""Beyond this, float16 holds its own rounding only. ONNX Runtime computes it in float32 on a CPU
and leaves roundings between neighbours out: what is cut or read decides which of them count."""
INLINE_BYTES = 1 << 30
"""Weights beyond this are written to a file of their own: ONNX files end at 2 GiB."""


@dataclasses.dataclass(frozen=True)
class Extraction:
    """What was cut out.

    Attributes:
        folder: where it was written.
        layer: name of the layer's node in the float model.
        op: its operator.
        float_tensor: its output in the float model.
        samples: number of samples.
        local: its local error in the whole models, over these samples.
        replayed: the same as the parts show it; None where they could not be compared.
        command: the arguments of ``qdebug`` that replay it inside the folder.
        half: whether the quantized layer computes in float16.
        guess: a sentence on a pipeline that nobody gave; empty where somebody gave it.
    """

    folder: Path
    layer: str
    op: str
    float_tensor: str
    samples: int
    local: LocalError
    replayed: ErrorMetrics | None
    command: tuple[str, ...]
    half: bool = False
    guess: str = ""

    @property
    def faithful(self) -> bool:
        """Whether the parts show the error that the layer has in the whole models."""
        if self.replayed is None:
            return False
        there, here = self.local.sqnr_db, self.replayed.sqnr_db
        if self.half and min(there, here) >= HALF_NOISE_DB:
            return True
        return there == here or abs(there - here) <= TOLERANCE_DB


@takes(ExtractOptions)
def extract(options: ExtractOptions) -> Extraction:
    """Cut one layer out of a float model and its quantized twin.

    Raises:
        QdebugError: bad input; see its message and hint.
    """
    writer = FolderWriter(
        Path(options.output), marker=QUANT_PART, what="an extracted layer", force=options.force
    )
    sides = load_sides(options)
    samples = samples_of(options, sides)
    session = SessionSettings(threads=options.threads or 0)
    settings = CaptureSettings(session, session, options.max_memory)
    with writer:
        work = _Extraction(writer, sides, samples, settings, options.progress or Silent())
        return work.run(options.layer, options.context)


class _Extraction:
    """One extraction on its way from the request to the folder."""

    def __init__(
        self,
        writer: FolderWriter,
        sides: tuple[Side, Side],
        samples: Sequence[Sample],
        settings: CaptureSettings,
        progress: Progress,
    ) -> None:
        self.writer, self.sides, self.samples = writer, sides, samples
        self.settings, self.progress = settings, progress
        self.graphs = sides[0].graph, sides[1].graph

    def run(self, layer: str, context: int) -> Extraction:
        first = feeds_of(self.samples[0], *self.sides)
        self.progress.stage("pairing the graphs")
        sessions = self.settings.float_session, self.settings.quant_session
        pairing = pair_sides(self.sides, sessions, first)
        at = find_layer(pairing, self.sides, layer)
        with Capture(
            *self.graphs, pairing.pairs, first, len(self.samples), self.settings
        ) as capture:
            parts = self._write_parts(capture, at, context)
            self._write_samples(capture, at, parts)
            stat = capture.stats[at]
            half = capture.quant_types[pairing.pairs[at].raw].elem_type == _FLOAT16
        if stat.local is None:
            tensor = pairing.pairs[at].float_tensor
            raise UsageError(f"{tensor} cannot be compared: {stat.mismatch or 'it holds nothing'}")
        replayed = self._replay(parts, context)
        node = self.graphs[0].producer[pairing.pairs[at].float_tensor]
        found = Extraction(
            self.writer.destination,
            node.label,
            node.op,
            pairing.pairs[at].float_tensor,
            len(self.samples),
            local_error(stat.local, stat.local_clipped_ee),
            replayed,
            ("compare", FLOAT_PART, QUANT_PART, self._inputs_name()),
            half,
            guess_told(self.sides[0]),
        )
        self._write_readme(found, parts, pairing, at, context)
        self.writer.move_into_place()
        return found

    def _write_parts(self, capture: Capture, at: int, context: int) -> Parts:
        cut = cut_around(self.graphs, capture.pairs, capture.local_shapes, at, context)
        types = capture.float_types, capture.quant_types
        parts = build_parts(self.graphs, types, capture.pairs, cut, self._shared_inputs())
        _save(parts.float_model, self.writer.path(FLOAT_PART))
        _save(parts.quant_model, self.writer.path(QUANT_PART))
        return parts

    def _shared_inputs(self) -> dict[str, str]:
        """Inputs of the quant model that are fed what the float model's are."""
        if not fed_alike(*self.sides):
            return {}
        names = zip(self.sides[1].contract.inputs, self.sides[0].contract.inputs, strict=True)
        return {quant.name: float_.name for quant, float_ in names}

    def _write_samples(self, capture: Capture, at: int, parts: Parts) -> None:
        part = load_graph(self.writer.path(QUANT_PART))
        session = Session(part.path, part, self.settings.quant_session)
        wanted = {at, *(item.position for item in parts.inputs if item.position is not None)}
        self.progress.stage("running both models", len(self.samples))
        for number, sample in enumerate(self.samples):
            feeds = feeds_of(sample, *self.sides)
            held: dict[tuple[int, str], Array] = {}

            def keep(position: int, side: str, value: Array) -> None:
                if position in wanted:
                    held[position, side] = value.copy()  # noqa: B023

            capture.add_sample(*feeds, keep)
            inputs = {i.name: _value(i, feeds, held, "float") for i in parts.inputs}
            _check_shapes(parts.inputs, inputs, sample)
            quant_inputs = {i.name: _value(i, feeds, held, "quant") for i in parts.inputs}
            expected = {
                "float": held[at, "float"],
                "quant": session.run(inputs)[parts.quant_output],
                "quant_model": held[at, "quant"],
            }
            for kind, arrays in (
                ("inputs", inputs),
                ("quant_inputs", quant_inputs),
                ("expected", expected),
            ):
                self.writer.add(self._file(kind, number), _archive(arrays))
            self.progress.advance()

    def _file(self, kind: str, number: int) -> str:
        return f"{kind}.npz" if len(self.samples) == 1 else f"{kind}/{number:04d}.npz"

    def _inputs_name(self) -> str:
        return "inputs.npz" if len(self.samples) == 1 else "inputs"

    def _replay(self, parts: Parts, context: int) -> ErrorMetrics | None:
        """What the parts show, compared as anybody would compare them."""
        self.progress.stage("replaying the parts")
        files = (self.writer.path(name) for name in (FLOAT_PART, QUANT_PART, self._inputs_name()))
        float_part, quant_part, inputs = files
        run = compare(
            float_part,
            quant_part,
            inputs,
            task="none",
            max_memory=self.settings.max_memory,
        )
        layer = next((x for x in run.layers if x.float_tensor == parts.float_output), None)
        if layer is None:
            return None
        return layer.local if context else layer.accumulated

    def _write_readme(
        self, found: Extraction, parts: Parts, pairing: Pairing, at: int, context: int
    ) -> None:
        pair = pairing.pairs[at]
        told = Told(
            layer=found.layer,
            op=found.op,
            number=at,
            tensors=(pair.float_tensor, pair.read),
            local=found.local,
            replayed=found.replayed,
            faithful=found.faithful,
            context=context,
            inputs=tuple(
                (i.name, i.shape, _dtype(i.elem_type).name, self._stands_for(i, pairing))
                for i in parts.inputs
            ),
            output=(parts.float_output, parts.quant_output),
            models=(describe(self.graphs[0]), describe(self.graphs[1])),
            preprocess=(self.sides[0].preprocess.spec, self.sides[1].preprocess.spec),
            samples=tuple(sample.name for sample in self.samples),
            command=found.command,
        )
        self.writer.add(README, readme(told).encode())

    def _stands_for(self, item: PartInput, pairing: Pairing) -> tuple[str, str]:
        """The tensors of both models that an input holds the value of; empty for none."""
        if item.position is None:
            return item.float_input or "", item.quant_input or ""
        pair = pairing.pairs[item.position]
        return pair.float_tensor, pair.raw


def find_layer(pairing: Pairing, sides: tuple[Side, Side], text: str) -> int:
    """The position of the pair that a name or ``#NUMBER`` means.

    Raises:
        UsageError: there is none, it has no counterpart, or the node has several outputs.
    """
    by_tensor = {pair.float_tensor: at for at, pair in enumerate(pairing.pairs)}
    if text in by_tensor:
        return by_tensor[text]
    made = [node for node in sides[0].graph.nodes if node.name == text]
    outputs = [name for node in made for name in node.outputs if name in by_tensor]
    if len(outputs) == 1:
        return by_tensor[outputs[0]]
    if outputs:
        raise UsageError(
            f"{text} makes {len(outputs)} tensors", f"name one of them: {', '.join(outputs)}"
        )
    for at, pair in enumerate(pairing.pairs):
        path = (name for index in pair.path for name in sides[1].graph.nodes[index].outputs)
        if text in (pair.raw, pair.read, *pair.aliases, *path):
            return at
    if text.startswith("#") and text[1:].isdecimal():
        return _numbered(pairing, text)
    raise _unknown_layer(pairing, sides, text, [n for node in made for n in node.outputs])


def _numbered(pairing: Pairing, text: str) -> int:
    count = len(pairing.pairs)
    if int(text[1:]) >= count:
        raise UsageError(f"there is no layer {text}", f"the models have #0 to #{count - 1}")
    return int(text[1:])


def _unknown_layer(
    pairing: Pairing, sides: tuple[Side, Side], text: str, outputs: Sequence[str]
) -> UsageError:
    lonely = {item.tensor: item.reason for item in pairing.unpaired_float}
    reason = next((lonely[name] for name in (text, *outputs) if name in lonely), None)
    if reason is not None:
        return UsageError(
            f"{text} has no counterpart in the quantized model: {reason}",
            "name the next layer behind it",
        )
    names = [pair.float_tensor for pair in pairing.pairs]
    names += [node.name for node in sides[0].graph.nodes if node.name]
    near = difflib.get_close_matches(text, dict.fromkeys(names), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "qdebug show RUN lists the layers"
    return UsageError(f"{sides[0].graph.path.name} has no layer {text!r}", hint)


def _value(
    item: PartInput,
    feeds: tuple[Feeds, Feeds],
    held: Mapping[tuple[int, str], Array],
    side: str,
) -> Array:
    """One input's value, as the float or as the quant run has it."""
    if item.position is not None:
        return held[item.position, side].astype(_dtype(item.elem_type))
    if item.float_input is not None:
        return feeds[0][item.float_input]
    return feeds[1][item.quant_input or ""]


def _check_shapes(inputs: Sequence[PartInput], values: Mapping[str, Array], sample: Sample) -> None:
    for item in inputs:
        if values[item.name].shape != item.shape:
            raise InputError(
                f"{sample.name} is of another size than the samples before it",
                "the parts have fixed shapes: give samples of one size, or --limit 1",
            )


def _dtype(elem_type: int) -> np.dtype[Any]:
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(elem_type))


def _archive(arrays: Mapping[str, Array]) -> bytes:
    """An ``.npz`` whose keys may be any names; ``np.savez`` takes some for its own arguments."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy")  # dated 1980: equal values, equal bytes
            archive.writestr(entry, content.getvalue(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _save(model: onnx.ModelProto, path: Path) -> None:
    weights = sum(len(t.raw_data) for t in model.graph.initializer)
    if weights <= INLINE_BYTES:
        path.write_bytes(model.SerializeToString())
        return
    onnx.save(model, str(path), save_as_external_data=True, location=f"{path.stem}.weights")
