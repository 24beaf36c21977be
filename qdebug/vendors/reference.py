"""Reading what the user gives with ``-p``: a spec, a preset, a TOML file or a vendor's dialect."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qdebug.bounds import read_text
from qdebug.errors import InputError
from qdebug.preprocess.graph_front.front import GraphFront
from qdebug.preprocess.implied import ImpliedSpec, SpecLike, implied_spec
from qdebug.preprocess.model_input import ModelInput
from qdebug.preprocess.spec import PreprocessSpec
from qdebug.vendors import dialects


def resolve_spec(
    argument: SpecLike | None,
    item: ModelInput,
    metadata: Mapping[str, str],
    front: GraphFront | None = None,
) -> ImpliedSpec:
    """Find the pipeline of a model's picture input.

    Args:
        argument: the value of ``-p``, a spec, a spec with its origin, or None.
        item: the input that takes pictures; its size fills in where the spec asks for it.
        metadata: the model's metadata properties.
        front: what the graph itself does to that input.

    Raises:
        InputError: the argument is no spec, or its file cannot be read.
    """
    if argument is None:
        return implied_spec(item, metadata, front)
    given = _given(argument)
    if given.spec and given.spec.needs_size and item.size:
        width, height = item.size
        note = f"the size {width}x{height} is the model's"
        return ImpliedSpec(given.spec.with_size(item.size), given.origin, (*given.notes, note))
    return given


def _given(argument: SpecLike) -> ImpliedSpec:
    if isinstance(argument, ImpliedSpec):
        return argument
    if isinstance(argument, PreprocessSpec):
        return ImpliedSpec(argument, "flag")
    return read_spec(argument)


def read_spec(argument: str) -> ImpliedSpec:
    """Read a spec, a preset, the name of a TOML file, or ``DIALECT:settings``.

    Raises:
        InputError: the argument is no spec, or its file cannot be read.
    """
    if dialects.is_dialect(argument):
        reading = dialects.read(argument)
        return ImpliedSpec(reading.spec, "flag", reading.notes)
    path = Path(argument)
    if path.suffix.lower() != ".toml":
        return ImpliedSpec(PreprocessSpec.parse(argument), "flag")
    try:
        spec = PreprocessSpec.from_toml(read_text(path, InputError))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(
            f"{path.name} cannot be read: {reason}", "-p takes a spec, a preset or a .toml file"
        ) from error
    return ImpliedSpec(spec, "file", (path.name,))
