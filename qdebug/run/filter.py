"""The filter language for layers, the same in the terminal browser, reports and commands.

A filter is a row of words; a layer must satisfy all of them::

    op:Conv sqnr<20 name~cv2 state:zero_quant local<sqnr finding:mixed-range !role:victim

==================  ==============================================================================
word                meaning
==================  ==============================================================================
``field:value``     the field is the value; ``*`` stands for any characters, case does not count
``field~value``     the field contains the value
``field<number``    also ``<=``, ``>``, ``>=``, ``=`` and ``!=``; the right side may be a field too
``field:none``      the field has no value for this layer
``a,b`` as a value  either of them: ``op:Conv,Gemm``
``text``            the layer's name, one of its tensors or its op contains the text
``!word``           inverts the word; ``!`` alone as the first word inverts the whole filter
``"two words"``     quotes keep blanks and commas together: ``name~"my layer"``
==================  ==============================================================================

A comparison with a missing value or with NaN is false; ``sqnr:nan`` and ``sqnr:inf`` find those.
Percentages are written ``clipped>1%`` or ``clipped>0.01``. The fields are in ``layer_fields``.
"""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.errors import UsageError
from qdebug.run.layer_fields import BY_WORD, FIELDS, Field
from qdebug.run.model import Finding, Layer

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]


class FilterError(UsageError):
    """A filter cannot be understood.

    Attributes:
        start: where the word at fault begins in the filter, in characters.
        end: where it ends.
    """

    def __init__(self, message: str, hint: str | None, start: int, end: int) -> None:
        super().__init__(message, hint)
        self.start = start
        self.end = end


_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "!=": operator.ne,
}
_WORD = re.compile(r'(?:"[^"]*"?|[^\s"])+')
_TERM = re.compile(r"(?P<field>[#\w]+)(?P<op><=|>=|!=|[:~<>=])(?P<value>.*)", re.DOTALL)


class LayerIndex:
    """Layers with their fields as columns, read when a filter or a sort first asks for them.

    Args:
        layers: the layers, in the order that masks refer to.
        findings: the run's findings, for ``finding:``.
    """

    def __init__(self, layers: Sequence[Layer], findings: Sequence[Finding] = ()) -> None:
        self.layers = layers
        self._findings = findings
        self._numbers: dict[str, FloatArray] = {}
        self._missing: dict[str, BoolArray] = {}
        self._texts: dict[str, list[tuple[str, ...]]] = {}
        self._flags: dict[str, set[int]] = {}

    def numbers(self, name: str) -> FloatArray:
        """A numeric field of all layers, float64 ``[layers]``; NaN where it is missing."""
        if name not in self._numbers:
            get = FIELDS[name].get
            values = [get(layer) for layer in self.layers]
            column = np.array(values, np.float64)  # None becomes NaN
            missing = np.isnan(column)
            missing[missing] = [values[place] is None for place in np.flatnonzero(missing)]
            self._numbers[name], self._missing[name] = column, missing
        return self._numbers[name]

    def missing(self, name: str) -> BoolArray:
        """Where a numeric field has no value (NaN is a value)."""
        self.numbers(name)
        return self._missing[name]

    def texts(self, name: str) -> list[tuple[str, ...]]:
        """A text field of all layers, lower case; a layer may have none or several."""
        if name not in self._texts:
            self._texts[name] = self._read_texts(name)
        return self._texts[name]

    def flag(self, name: str, positions: set[int]) -> None:
        """Set which layers, by position, ``is:name`` finds."""
        self._flags[name] = positions
        self._texts.pop("is", None)

    def _read_texts(self, name: str) -> list[tuple[str, ...]]:
        if name == "finding":
            return self._finding_texts()
        if name == "is":
            return [
                tuple(flag for flag, where in self._flags.items() if position in where)
                for position in range(len(self.layers))
            ]
        get = FIELDS[name].get
        return [_lowered(get(layer)) for layer in self.layers]

    def _finding_texts(self) -> list[tuple[str, ...]]:
        named: dict[int, list[str]] = {}
        for finding in self._findings:
            if finding.status in ("pass", "not_applicable"):
                continue
            for layer in finding.layers:
                named.setdefault(layer, []).extend((finding.slug.lower(), finding.id.lower()))
        return [tuple(named.get(layer.index, ())) for layer in self.layers]


def _lowered(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    return (value.lower(),) if isinstance(value, str) else tuple(part.lower() for part in value)


Predicate = Callable[[LayerIndex], BoolArray]


@dataclass(frozen=True)
class Filter:
    """A filter that was understood."""

    text: str
    predicates: tuple[Predicate, ...]
    inverted: bool = False

    def mask(self, index: LayerIndex) -> BoolArray:
        """Which layers satisfy the filter, bool ``[layers]``."""
        mask = np.ones(len(index.layers), np.bool_)
        for predicate in self.predicates:
            mask &= predicate(index)
        return ~mask if self.inverted else mask

    def select(self, index: LayerIndex) -> list[Layer]:
        """The layers that satisfy the filter, in their order."""
        return [index.layers[int(i)] for i in np.flatnonzero(self.mask(index))]


def while_typing(text: str) -> str:
    """The filter to show before its last word is finished.

    A list that filters as one types should neither look for ``sqn`` on the way to ``sqnr<20``, nor
    find nothing at ``op:Con`` on the way to ``op:Conv``.
    """
    words = list(_WORD.finditer(text))
    if not words or words[-1].end() < len(text):
        return text
    word = words[-1].group().removeprefix("!").lower()
    if any(field.startswith(word) for field in BY_WORD):
        return text[: words[-1].start()]
    term = _TERM.fullmatch(word)
    field = BY_WORD.get(term["field"]) if term else None
    if term and term["op"] == ":" and term["value"] and field and not field.numeric:
        return text if '"' in word else f"{text}*"
    return text


def parse_filter(text: str) -> Filter:
    """Understand a filter; an empty one lets every layer pass.

    Raises:
        FilterError: names the word at fault and the nearest field or what was expected.
    """
    words = list(_WORD.finditer(text))
    inverted = bool(words) and words[0].group() == "!"
    predicates = [_parse_word(match) for match in words[int(inverted) :]]
    return Filter(text, tuple(predicates), inverted)


def _parse_word(match: re.Match[str]) -> Predicate:
    word = match.group()
    if not word.startswith("!"):
        return _parse_term(word, match)
    if word == "!":
        raise _fault(match, "a single ! inverts the whole filter only as its first word")
    inner = _parse_term(word[1:], match)
    return lambda index: ~inner(index)


def _parse_term(word: str, match: re.Match[str]) -> Predicate:
    if word.count('"') % 2:
        raise _fault(match, f"the word {word} opens a quote that it does not close")
    term = None if word.startswith('"') else _TERM.fullmatch(word)
    if term is None:
        return _anywhere(_unquoted(word).lower())
    field = BY_WORD.get(term["field"].lower())
    if field is None:
        raise _unknown_field(term["field"], match)
    if not term["value"]:
        raise _fault(match, f"the word {word!r} lacks a value", f"for example {_example(field)}")
    if field.numeric:
        return _numeric_term(field, term["op"], term["value"], match)
    return _text_term(field, term["op"], term["value"], match)


def _numeric_term(field: Field, op: str, value: str, match: re.Match[str]) -> Predicate:
    if op == "~":
        raise _fault(match, f"{field.name} is a number", f"for example {_example(field)}")
    if value.lower() == "none" and op in ":=":
        return lambda index: index.missing(field.name)
    if value.lower() == "nan" and op in ":=":
        return lambda index: np.isnan(index.numbers(field.name)) & ~index.missing(field.name)
    compare = _COMPARE["=" if op == ":" else op]
    options = [_operand(part, field, match) for part in value.split(",")]
    if len(options) > 1 and op not in ":=":
        raise _fault(match, f"{op} compares with one value, not with {value!r}")

    def predicate(index: LayerIndex) -> BoolArray:
        left = index.numbers(field.name)
        mask = np.zeros(len(left), np.bool_)
        for option in options:
            right = option(index)
            mask |= compare(left, right) & ~np.isnan(left) & ~np.isnan(right)
        return mask

    return predicate


def _operand(text: str, field: Field, match: re.Match[str]) -> Callable[[LayerIndex], FloatArray]:
    other = BY_WORD.get(text.lower())
    if other is not None and other.numeric:
        name = other.name
        return lambda index: index.numbers(name)
    try:
        number = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        near = difflib.get_close_matches(
            text.lower(), [f.name for f in FIELDS.values() if f.numeric], 1
        )
        hint = f"did you mean {near[0]}?" if near else f"for example {_example(field)}"
        raise _fault(match, f"{text!r} is neither a number nor a numeric field", hint) from None
    return lambda index: np.full(len(index.layers), number)


def _text_term(field: Field, op: str, value: str, match: re.Match[str]) -> Predicate:
    if op in ("<", "<=", ">", ">="):
        raise _fault(match, f"{field.name} is a text", f"for example {_example(field)}")
    options = [_unquoted(part).lower() for part in _split_options(value)]
    if op == "~":
        return lambda index: _any_text(index, field, lambda t: any(o in t for o in options))
    if options == ["none"]:
        return lambda index: np.array([not v for v in index.texts(field.name)], np.bool_)
    patterns = [re.compile(_wildcard(option)) for option in options]

    def equals(text: str) -> bool:
        return any(pattern.fullmatch(text) for pattern in patterns)

    if op == "!=":
        return lambda index: ~_any_text(index, field, equals)
    return lambda index: _any_text(index, field, equals)


def _any_text(index: LayerIndex, field: Field, test: Callable[[str], bool]) -> BoolArray:
    known: dict[str, bool] = {}
    mask = np.zeros(len(index.layers), np.bool_)
    for position, texts in enumerate(index.texts(field.name)):
        for text in texts:
            if text not in known:
                known[text] = test(text)
            if known[text]:
                mask[position] = True
    return mask


def _anywhere(text: str) -> Predicate:
    fields = [FIELDS[name] for name in ("name", "tensor", "op")]

    def predicate(index: LayerIndex) -> BoolArray:
        mask = np.zeros(len(index.layers), np.bool_)
        for field in fields:
            mask |= _any_text(index, field, lambda value: text in value)
        return mask

    return predicate


def _wildcard(option: str) -> str:
    """A pattern in which only ``*`` is special: names are full of ``[`` and ``?``."""
    return ".*".join(re.escape(part) for part in option.split("*"))


def _split_options(value: str) -> list[str]:
    return re.findall(r'(?:"[^"]*"|[^,"])+', value) or [value]


def _unquoted(text: str) -> str:
    return text.replace('"', "")


def _example(field: Field) -> str:
    if field.numeric:
        return {"clipped": "clipped>1%", "cos": "cos<0.99"}.get(field.name, f"{field.name}<20")
    values = {"op": "Conv", "state": "zero_quant", "role": "source", "finding": "mixed-range"}
    return f"{field.name}:{values.get(field.name, 'VALUE')}"


def _unknown_field(word: str, match: re.Match[str]) -> FilterError:
    near = difflib.get_close_matches(word.lower(), BY_WORD, 1, 0.5)
    known = "fields: " + " ".join(FIELDS)
    hint = f"did you mean {near[0]}? Quote the word to find it as text" if near else known
    return _fault(match, f"there is no field {word!r} to filter by", hint)


def _fault(match: re.Match[str], message: str, hint: str | None = None) -> FilterError:
    return FilterError(message, hint, match.start(), match.end())
