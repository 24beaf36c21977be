"""From matched values to pairs of tensors."""

from __future__ import annotations

from dataclasses import dataclass

from qdebug.graph.pairing.build import FLOAT_TYPES
from qdebug.graph.pairing.chains import clips_already
from qdebug.graph.pairing.layout import Perm
from qdebug.graph.pairing.logical import Logical, Value
from qdebug.graph.pairing.score import base_name
from qdebug.graph.pairing.state import Match, Matches
from qdebug.graph.pairs import Pair, TensorForm


def make_pairs(matches: Matches) -> list[Pair]:
    """Pairs in execution order of the float graph."""
    twins = _twins(matches.right)
    seen: dict[Value, int] = {}
    pairs = []
    for value in matches.left.values:
        found = matches.of_left.get(value.root)
        if not found:
            continue
        match = min(found, key=lambda m: _distance(matches, m))
        if _clipped_early(match):
            continue
        order = seen.get(match.right, 0)
        seen[match.right] = order + 1
        right = _twin(twins[match.right], value, order)
        pairs.extend(_pairs_of(matches, match, value, right))
    return sorted(pairs, key=lambda pair: _position(matches.left, pair.float_tensor))


def _clipped_early(match: Match) -> bool:
    """Whether the quantizer already cuts off what the float graph's next Clip will."""
    readers = match.left.consumer_ops()
    return bool(readers) and all(clips_already(op, match.right) for op in readers)


def _position(logical: Logical, tensor: str) -> int:
    node = logical.graph.producer.get(tensor)
    return -1 if node is None else node.index


def _distance(matches: Matches, match: Match) -> tuple[bool, bool, bool, int]:
    fits = matches.layouts.fits(match.left.shape, match.right.shape, match.perm)
    return not fits, match.right.shape is None, match.perm is not None, match.right.index


def _twins(logical: Logical) -> dict[Value, list[Value]]:
    """Values that repeat one another, by the first of them."""
    found: dict[Value, list[Value]] = {}
    for value in logical.values:
        found.setdefault(value.root, []).append(value)
    return found


def _twin(candidates: list[Value], left: Value, order: int) -> Value:
    named = [v for v in candidates if base_name(v.raw) == left.raw]
    return named[0] if named else candidates[min(order, len(candidates) - 1)]


def _pairs_of(matches: Matches, match: Match, left: Value, right: Value) -> list[Pair]:
    """One pair for every float-typed tensor that holds the float value."""
    graph = matches.left.graph
    reading = choose_reading(right)
    pairs = []
    for tensor in left.paths:
        if graph.type_of(tensor).elem_type not in FLOAT_TYPES:
            continue
        if not _expressible(matches, match, tensor, right):
            continue
        before = not left.quantizers[tensor] and reading.path and any(left.quantizers.values())
        if before:  # the float graph quantizes too: before its quantizer, pair with before
            pairs.append(_pair(matches, match, tensor, right, Reading(right.raw, (), ())))
        else:
            pairs.append(_pair(matches, match, tensor, right, reading))
    return pairs


def _expressible(matches: Matches, match: Match, tensor: str, right: Value) -> bool:
    """Whether a form can say how to lay the quant tensor out: one open dimension at most."""
    target = matches.left.graph.type_of(tensor).shape
    fits = matches.layouts.fits(target, right.shape, match.perm)
    return fits or _reshape_to(target) is not None


@dataclass(frozen=True)
class Reading:
    """The tensor that a value's consumers read, the nodes that lead to it, and its copies."""

    tensor: str
    path: tuple[int, ...]
    aliases: tuple[str, ...]


def choose_reading(value: Value) -> Reading:
    """Pick what most consumers read; between equals, what has been quantized."""
    usable = [t for t in value.paths if value.codes.get(t, True) is not None]
    if value.raw not in usable:
        usable.append(value.raw)

    def rank(tensor: str) -> tuple[int, bool, int]:
        readers = value.readers.get(tensor, 0)
        return readers, value.quantizers[tensor] is not None, len(value.paths[tensor])

    quantized = [t for t in usable if value.quantizers[t] and value.readers.get(t, 0)]
    read = max(quantized or usable, key=rank)
    aliases = [t for t in usable if t not in (read, value.raw) and _same_reading(value, t, read)]
    return Reading(read, value.paths[read], tuple(aliases))


def _same_reading(value: Value, left: str, right: str) -> bool:
    one, other = (q.key if (q := value.quantizers[t]) else None for t in (left, right))
    return one == other and (left in value.codes) == (right in value.codes)


def _pair(matches: Matches, match: Match, tensor: str, right: Value, reading: Reading) -> Pair:
    read = reading.tensor
    return Pair(
        float_tensor=tensor,
        raw=right.raw,
        read=read,
        path=reading.path,
        quantizer=right.quantizers[read],
        paired_by=_evidence(match, tensor, right, reading),
        raw_form=_form(matches, match, tensor, right, right.raw),
        read_form=_form(matches, match, tensor, right, read),
        aliases=reading.aliases,
    )


def _evidence(match: Match, tensor: str, right: Value, reading: Reading) -> str:
    if match.by in ("input", "output", "values"):
        return match.by
    if base_name(reading.tensor) == tensor or base_name(right.raw) == tensor:
        return "qdq" if reading.path else "name"
    return match.by


def _form(matches: Matches, match: Match, tensor: str, right: Value, held: str) -> TensorForm:
    quantizer = right.codes.get(held)
    target = matches.left.graph.type_of(tensor).shape
    known = right.shape is not None or match.perm is not None or _reshape_to(target) is None
    if known and matches.layouts.fits(target, right.shape, match.perm):
        return TensorForm(quantizer, match.perm)
    return TensorForm(quantizer, None, _reshape_to(target))


def _reshape_to(shape: tuple[int | str | None, ...] | None) -> Perm | None:
    if shape is None or sum(not isinstance(dim, int) for dim in shape) > 1:
        return None
    return tuple(dim if isinstance(dim, int) else -1 for dim in shape)
