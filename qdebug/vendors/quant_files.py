"""Making the quant model of the file in which a toolchain says how it quantizes."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from qdebug.encodings.application import Application, apply_encodings
from qdebug.encodings.model import Encodings
from qdebug.encodings.placing import NO_TENSOR, Names, Placement
from qdebug.encodings.source import MISREAD, Source
from qdebug.errors import EncodingsError, ModelError
from qdebug.graph.load import file_states, is_foreign, load_graph
from qdebug.graph.model import Graph
from qdebug.graph.shapes import infer_types
from qdebug.graph.validity import name_of
from qdebug.run.model import EncodingsInfo, RestInfo, UnplacedEntry
from qdebug.vendors import registry
from qdebug.vendors.encodings import Beside, Format, ToolchainEncodings
from qdebug.vendors.quant_model import QuantModel, QuantRequest, is_onnx, read_graph
from qdebug.vendors.vendor import Vendor

LEAST_PLACED = 0.5
"""Share of the entries about tensors that must find their place (by judgement: with fewer, most of
the twin would be float, and its accuracy nobody's)."""
CUT_OFF = "it is of what was cut off"


@dataclass(frozen=True)
class Reading:
    """Encodings as they were read from a file, and who wrote it."""

    encodings: Encodings
    vendor: Vendor
    form: Format
    part: ToolchainEncodings
    source: Source


def made_of_file(
    request: QuantRequest, float_graph: Graph, whole: Graph | None = None
) -> QuantModel:
    """Make the quant model of a toolchain's file; the arguments as of ``quant.load_quant``.

    Raises:
        ModelError: the graph of ``--names`` cannot be read.
        EncodingsError: the file is of no known format, unusable, or of another model.
    """
    reading = read_file(request, float_graph)
    base = names_graph(request.names) or float_graph
    rules = reading.form.rules or reading.part.rules
    made = apply_encodings(base.proto, reading.encodings, rules, base.folder)
    if whole is not None and whole is not float_graph:
        made = _without_cut(made, Names(whole, rules))
    _check_share(made, reading, base)
    return QuantModel(
        _made_graph(made.model, request, reading.source, base),
        encodings_info(made, reading.encodings, reading.form.title, rules.notes),
        base,
    )


def _without_cut(made: Application, names: Names) -> Application:
    """The placements; of entries that speak of what was cut off, that is said."""
    placements = tuple(
        replace(item, reason=CUT_OFF)
        if item.target is None and names.label(item.entry.name) is not None
        else item
        for item in made.placements
    )
    return replace(made, placements=placements)


def read_file(request: QuantRequest, float_graph: Graph) -> Reading:
    """Read a toolchain's file as encodings in its own names.

    Raises:
        EncodingsError: it is of no known format, or unusable.
    """
    source = Source.read(request.path)
    vendor, part, form = _format_of(source, request.form)
    beside = Beside(
        float_graph,
        Source.read(request.second) if request.second is not None else None,
        _names_source(request.names),
    )
    with source.understanding("an entry"):
        encodings = form.read(source, beside)
    named = Encodings(encodings.entries, vendor.name, form.name, source.name, encodings.notes)
    return Reading(named, vendor, form, part, source)


def names_graph(names: Path | None) -> Graph | None:
    """The graph that ``--names`` gives; None where it gives none, or another file.

    Raises:
        ModelError: it cannot be read.
    """
    if names is None or not is_onnx(names):
        return None
    return read_graph(names).graph


def encodings_info(
    made: Application, encodings: Encodings, title: str, notes: Sequence[str] = ()
) -> EncodingsInfo:
    """What a run says of encodings that were applied."""
    rest = Counter(item.reason for item in made.rest)
    return EncodingsInfo(
        origin=encodings.origin,
        form=title,
        toolchain=encodings.toolchain,
        entries=len(made.placements),
        placed=made.placed,
        unplaced=tuple(
            UnplacedEntry(item.entry.name, item.reason)
            for item in made.placements
            if not item.is_used
        ),
        rest=tuple(RestInfo(reason, count) for reason, count in rest.most_common()),
        notes=(*encodings.notes, *notes),
    )


def formats() -> list[tuple[Vendor, ToolchainEncodings, Format]]:
    """Every format that some toolchain's folder reads."""
    known: list[tuple[Vendor, ToolchainEncodings]] = registry.loaded("encodings")
    return [(vendor, part, form) for vendor, part in known for form in part.formats]


def known_format(text: str) -> str:
    """The name of a format that there is.

    Raises:
        ValueError: there is none of that name; names the nearest, or all.
    """
    names = [form.name for _, _, form in formats()]
    if text in names:
        return text
    near = difflib.get_close_matches(text, names, n=1)
    told = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
    raise ValueError(f"there is no format {text!r}; {told}")


def is_table(path: Path) -> bool:
    """Whether a file is a toolchain's table, by its content; whatever else it is, it is none."""
    try:
        source = Source.read(path)
        return any(_recognizes(form, source) for _, _, form in formats())
    except EncodingsError:
        return False


def _names_source(names: Path | None) -> Source | None:
    return Source.read(names) if names is not None and not is_onnx(names) else None


def _format_of(source: Source, name: str | None) -> tuple[Vendor, ToolchainEncodings, Format]:
    known = formats()
    if name is not None:
        return next(item for item in known if item[2].name == known_format(name))
    found = [item for item in known if _recognizes(item[2], source)]
    if len(found) == 1:
        return found[0]
    if not found and (source.text is None or is_foreign(source.path)):
        load_graph(source.path)  # says of what kind the file is, and how to export it
    names = ", ".join(form.name for _, _, form in found or known)
    if found:
        raise EncodingsError(
            f"{source.path} may be of more than one format", f"say which: --quant-format {names}"
        )
    raise EncodingsError(
        f"{source.path} is neither an ONNX model nor a table of a known toolchain",
        f"if it is one, name its format: --quant-format, one of {names}",
    )


def _recognizes(form: Format, source: Source) -> bool:
    try:
        return form.recognize(source)
    except MISREAD:  # of a shape that this format never has
        return False


def _check_share(made: Application, reading: Reading, base: Graph) -> None:
    """Refuse a table most of whose names are not in the model."""
    asked = [item for item in made.placements if item.entry.kind == "tensor"]
    asked = [x for x in asked or made.placements if x.reason != CUT_OFF]
    missing = [item for item in asked if item.target is None]
    if not asked or len(asked) - len(missing) >= LEAST_PLACED * len(asked):
        return
    first = missing[0]
    line = first.entry.line
    place = f"{reading.source.name}, line {line}" if line is not None else reading.source.name
    count = f"{len(asked) - len(missing)} of {len(asked)} entries"
    raise EncodingsError(
        f"{place}: {name_of(first.entry.name)} is not in {base.path.name}, which has a place for "
        f"{count} only",
        _cause(missing),
    )


def _cause(missing: Sequence[Placement]) -> str:
    """The likeliest reason why a table's names are not in the model."""
    if all(item.reason != NO_TENSOR for item in missing):
        return f"the table is of another model: {missing[0].reason}"
    return (
        "it is the table of another model, or of one exported or optimized otherwise: give that "
        "float model, or the toolchain's optimized graph with --names"
    )


def _made_graph(
    model: onnx.ModelProto, request: QuantRequest, source: Source, base: Graph
) -> Graph:
    files = file_states(*_files(request)) | dict(base.files)
    graph = Graph(model, request.path, source.sha256, files, folder=base.folder, is_made=True)
    graph.types = infer_types(graph)
    if not graph.outputs:
        raise ModelError(f"{base.path.name} has no outputs")
    return graph


def _files(request: QuantRequest) -> Iterator[Path]:
    yield request.path
    if request.second is not None:
        yield request.second
