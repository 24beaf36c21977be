"""What of a layer can be named in filters and sorted by: one list, for Python and for the page.

Every field is read from the layer by its paths, ``accumulated.sqnr_db``, so that the JavaScript of
the HTML report can do the same with what this list says. Metrics come from ``qdebug.metrics``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from qdebug.metrics.metric import SHOWN
from qdebug.run.model import Layer

Kind = Literal["number", "count", "sizes", "text", "flag", "outside"]


@dataclass(frozen=True)
class Field:
    """Something of a layer that a filter can name.

    Attributes:
        name: the word for it.
        about: what it is.
        kind: ``number`` and ``text`` as they are stored, ``count`` the length of a list, ``sizes``
            its numbers as the text ``1x64x80x80``, ``flag`` yes or no, ``outside`` what others
            than the layer know.
        paths: where it stands in the layer; a text may stand in several places.
        aliases: other words for it.
    """

    name: str
    about: str
    kind: Kind
    paths: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    @property
    def numeric(self) -> bool:
        """Whether it is compared as a number."""
        return self.kind in ("number", "count")

    @cached_property
    def get(self) -> Callable[[Layer], Any]:
        """Reads it from a layer: a number or None, a text or several or None."""
        readers = tuple(_reader(path) for path in self.paths)
        if len(readers) != 1:
            return lambda layer: tuple(read(layer) for read in readers)
        (read,) = readers
        if self.kind == "count":
            return lambda layer: len(read(layer))
        if self.kind == "sizes":
            return lambda layer: "x".join(map(str, read(layer)))
        if self.kind == "flag":
            return lambda layer: "yes" if read(layer) else "no"
        return read


def _reader(path: str) -> Callable[[Layer], Any]:
    part, _, name = path.partition(".")
    if not name:
        return lambda layer: getattr(layer, part)
    if "." not in name:
        return lambda layer: getattr(getattr(layer, part), name, None)
    middle, _, name = name.partition(".")
    return lambda layer: getattr(getattr(getattr(layer, part), middle, None), name, None)


def _metric_fields() -> list[Field]:
    """The first metric with the sensitivity, then the others, accumulated and local."""
    sens = Field("sens", "sensitivity: SQNR at the outputs, dB", "number", ("sensitivity.sqnr_db",))
    fields: list[Field] = []
    for metric in SHOWN:
        for part, word in (("accumulated", metric.word), ("local", metric.local_word)):
            aliases = metric.aliases if part == "accumulated" else ()
            about = f"{part} {metric.heading}"
            path = f"{part}.{metric.name}"
            fields.append(Field(word or f"l{metric.word}", about, "number", (path,), aliases))
    return [*fields[:2], sens, *fields[2:]]


def _board_fields() -> list[Field]:
    """The first metric of the board against both models, and of what it adds itself."""
    name, unit = SHOWN[0].name, SHOWN[0].heading
    return [
        Field("board", f"simulation against board, {unit}", "number",
              (f"board.against_quant.{name}",)),
        Field("bfloat", f"float against board, {unit}", "number",
              (f"board.against_float.{name}",)),
        Field("bown", f"what the layer adds on the board, {unit}", "number",
              (f"board.own.{name}",)),
    ]  # fmt: skip


_ALL = (
    *_metric_fields(),
    Field("clipped", "share of values beyond the range, 0..1", "number", ("clipped",), ("clip",)),
    Field("codes", "different codes used", "number", ("codes_used",)),
    Field("channel", "accumulated SQNR of the worst channel, dB", "number",
          ("worst_channel.sqnr_db",), ("worst",)),
    Field("weight", "SQNR of the weight, dB", "number", ("weight.sqnr_db",)),
    *_board_fields(),
    Field("index", "position in execution order", "number", ("index",), ("layer", "#")),
    Field("rank", "number of dimensions", "count", ("shape",)),
    Field("shape", "sizes of the dimensions, 1x64x80x80", "sizes", ("shape",)),
    Field("name", "node name", "text", ("name",)),
    Field("op", "operator", "text", ("op",)),
    Field("tensor", "float or quant tensor", "text", ("float_tensor", "quant_tensor")),
    Field("state", "state of the pair", "text", ("state",)),
    Field("role", "source, victim or sound", "text", ("role",)),
    Field("dtype", "data type of the codes", "text", ("quant.dtype",)),
    Field("paired", "how the pair was found", "text", ("paired_by",)),
    Field("sample", "sample with the lowest SQNR", "text", ("worst_sample",)),
    Field("reason", "why the state is not ok", "text", ("reason",)),
    Field("kept", "yes where the values were kept", "flag", ("kept",)),
    Field("finding", "slug or id of a finding that names the layer", "outside"),
    Field("is", "a flag the program gives layers, such as marked", "outside"),
)  # fmt: skip

FIELDS: Mapping[str, Field] = {field.name: field for field in _ALL}
"""Every field by its name, numbers first."""

BY_WORD: Mapping[str, Field] = {
    word: field for field in _ALL for word in (field.name, *field.aliases)
}
"""Every field by its name and its other words."""
