"""What a tuning writes: the repaired model, and the files of the user's toolchain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import onnx

from qdebug.comparison.export import of_tuned
from qdebug.comparison.tuning.request import record_of
from qdebug.cure.float_edit import corrected_float, with_constants
from qdebug.cure.network import Network
from qdebug.cure.search import Search
from qdebug.cure.setting import Scheme, scheme_of
from qdebug.cure.write import tuned_model
from qdebug.encodings.source import Source
from qdebug.errors import QdebugError, UsageError
from qdebug.graph.load import load_graph
from qdebug.graph.model import Graph
from qdebug.options import TuneOptions
from qdebug.run.atomic import write_whole
from qdebug.vendors import registry
from qdebug.vendors.advice import BetterRange
from qdebug.vendors.encodings import Change, Target, ToolchainEncodings, Writer, Written
from qdebug.vendors.quant_model import is_onnx

EQUIVALENT = "its outputs are the same to 1 in 10,000, measured on the pictures searched"
"""Of a float model with balanced channels."""
_LARGEST = 2**31 - 1
"""Bytes of a protobuf message."""


def check_output(options: TuneOptions) -> None:
    """Refuse what could only fail after all the work, or would overwrite what it begins with."""
    output = Path(options.output)
    if output.suffix.lower() != ".onnx":
        raise UsageError(f"-o {output}: the repaired model is ONNX", "name it NAME.onnx")
    given = [Path(m).resolve() for m in (options.float_model, options.quant_model) if m is not None]
    if output.resolve() in given:
        raise UsageError(f"-o {output}: that is one of the models given", "choose another name")
    target_named(options)
    written = [output, record_of(output), *(path for _, path in vendor_files(options))]
    if options.float_out is not None:
        if Path(options.float_out).suffix.lower() != ".onnx":
            why = f"--float-out {options.float_out}: the float model is ONNX"
            raise UsageError(why, "name it NAME.onnx")
        if Path(options.float_out).resolve() in (output.resolve(), *given):
            raise UsageError("--float-out: that is another of the models", "choose another name")
        written.append(Path(options.float_out))
    for path in written:
        if path.exists() and not options.force:
            raise UsageError(f"{path} exists already", "use --force to replace it")


def target_named(request: TuneOptions) -> Target | None:
    """What the target of a request can be told; None where none is named, or nothing is known.

    Raises:
        UsageError: it cannot give tensors what is asked for.
    """
    name = request.target or request.vendor
    if name is None:
        return None
    target: Target | None = _part(name).target
    if target is not None and request.fallback not in (None, *target.wide):
        raise UsageError(
            f"{name} can give a tensor {' or '.join(target.wide)} instead of 8 bits, "
            f"not {request.fallback}",
            "leave --fallback out",
        )
    return target


def scheme_for(target: Target | None, network: Network) -> Scheme:
    """What a target can express; where none is named, what all the given quantizers keep to.

    A named one may do more than the given model does: asymmetric codes beside symmetric ones, say.
    """
    if target is None:
        return scheme_of([site.quantizer for site in network.sites])
    return Scheme(target.symmetric, target.power_of_two, target.unsigned)


def fallback_of(request: TuneOptions, target: Target | None) -> str:
    """What units are given instead of 8 bits."""
    return request.fallback or (target.wide[0] if target is not None and target.wide else "16")


def _part(name: str) -> ToolchainEncodings:
    vendor = registry.toolchain(name, "encodings")
    assert vendor is not None  # the option was checked
    part: ToolchainEncodings = registry.load(vendor, "encodings")
    return part


def vendor_files(request: TuneOptions) -> list[tuple[Writer, Path]]:
    """The files of the toolchain that ``--vendor`` names, and where each would lie."""
    output = Path(request.output)
    found: dict[Path, Writer] = {}
    for writer in _part(request.vendor).writers if request.vendor is not None else ():
        for suffix in writer.suffixes[:1]:
            joint = "" if suffix.startswith(".") else "_"
            path = output.with_name(f"{output.stem}{joint}{suffix}")
            if path != output:
                found.setdefault(path, writer)
    return [(writer, path) for path, writer in found.items()]


def write_vendor_files(
    request: TuneOptions,
    float_graph: Graph,
    kept: Sequence[str],
    ranges: Mapping[str, tuple[float, float]],
) -> tuple[dict[str, str], list[str]]:
    """Write what the toolchain can be told of a repaired model.

    Args:
        request: of the user; its output is the repaired model.
        float_graph: the float model.
        kept: its tensors that have more than 8 bits.
        ranges: its tensors that have another range of 8 bits than they were given.

    Returns:
        Files by what they are, and what is to be said: what is left out, and what cannot be told.
    """
    wanted = vendor_files(request)
    if not wanted:
        return {}, []
    change = of_tuned(load_graph(Path(request.output)), float_graph, kept)
    changes = [change, *_with_base(change, request, ranges)]
    files: dict[str, str] = {}
    notes: list[str] = []
    for writer, path in wanted:
        try:
            made = _made(writer, changes)
        except QdebugError as why:
            notes.append(f"no {writer.title} is written: {why.message}")
            continue
        write_whole(path, made.content)
        files[writer.name] = path.name
        notes += [f"{path.name}: {note}" for note in made.notes]
    return files, notes


def _made(writer: Writer, changes: Sequence[Change]) -> Written:
    """The file of the first change that can be said; the last one's refusal otherwise."""
    for change in changes[:-1]:
        with suppress(QdebugError):
            return writer.write(change)
    return writer.write(changes[-1])


def _with_base(
    change: Change, request: TuneOptions, ranges: Mapping[str, tuple[float, float]]
) -> Iterator[Change]:
    """The same as a change of the toolchain's own file, where one was given."""
    for given in (request.names, request.quant_model):
        if given is not None and not is_onnx(Path(given)):
            better = [
                BetterRange(layer, *ranges[layer.tensor], clips=False)
                for layer in change.layers
                if layer.tensor in ranges
            ]
            yield replace(change, base=Source.read(Path(given)), ranges=tuple(better))


def write_model(search: Search, output: Path) -> None:
    """Write the repaired model; a copy of the given one where nothing changes."""
    network, plan = search.proof.network, search.plan
    if not search.is_as_given or network.quant_graph.external:
        numbers = search.proof.numbers(plan.numbers)
        model = tuned_model(network, search.config(plan), numbers, search.rounded)
        save_model(model, output)
        return
    given = network.quant_graph.whole
    if isinstance(given, Path):
        write_whole(output, given.read_bytes())
    else:  # a toolchain's file was given: the twin it stands for
        save_model(given, output)


def write_float(search: Search, output: Path, *, is_balanced: bool) -> list[str]:
    """Write the float model with balanced channels and corrected biases; what is to be said.

    Nothing is written where neither changed anything: it would be the given model.
    """
    twin = [f"compare the repaired model with {output.name}: its channels are balanced as there"]
    numbers = search.proof.numbers(search.plan.numbers)
    has_biases = bool(numbers.keys() - search.rounded.keys())
    if not (has_biases or is_balanced):
        why = "no biases were corrected and no channels balanced"
        return [f"{output.name} is not written: {why}"]
    if not has_biases:
        graph = search.proof.network.float_graph
        if graph.external:
            save_model(with_constants(graph, {}), output)
        else:
            write_whole(output, graph.path.read_bytes())
        return [f"{output.name} is equivalent to the float model: {EQUIVALENT}", *twin]
    model, left = corrected_float(search.proof.network, numbers)
    save_model(model, output)
    notes = [f"{output.name} is not equivalent to the float model: quantize it, do not deploy it"]
    if left:
        notes.append(f"{output.name}: the biases of {left} layers are not the float model's own")
    return [*notes, *(twin if is_balanced else ())]


def save_model(model: onnx.ModelProto, path: Path) -> None:
    """Write a model, its weights beside it where they are too large for one message."""
    if model.ByteSize() < _LARGEST:
        write_whole(path, model.SerializeToString())
        return
    onnx.save(
        model, str(path), save_as_external_data=True, location=f"{path.name}.data", size_threshold=0
    )
