"""Deciding by values on one sample what structure leaves open."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from qdebug.graph.model import Array
from qdebug.graph.pairing.layout import Layouts, Perm
from qdebug.graph.pairing.logical import Value
from qdebug.graph.pairing.result import choose_reading
from qdebug.graph.pairing.state import Matches, comparable
from qdebug.graph.qparams import dequantize

Probe = Callable[[Literal["float", "quant"], Sequence[str]], Mapping[str, Array]]
"""Values of named tensors of one of the two graphs, on one sample."""

_CLEAR, _AHEAD, _UNRELATED = 0.95, 0.05, 0.3
"""Centred cosine from which two values are one, by how much it must lead the next, and below which
they have nothing to do with each other. By judgement: 8 bits leave 0.99 of most layers."""
_OTHER = 0.5
"""Likeness, far from clear, of tensors that agree but for gain or offset. By judgement."""
_TOO_FAR = 0.4
"""Relative L2 distance from which two tensors differ in gain or offset, however alike in form. A
centred cosine of 0.95 alone makes sqrt(2 - 2 x 0.95) = 0.32."""
_NEAR = 0.1
"""Relative L2 distance below which no factor per channel is looked for. By judgement: 20 dB, about
what 8 bits leave of a poor layer."""
_EXPLAINED = 0.5
"""Part of a difference's energy that is left where factors per channel explain it. By judgement:
half."""
_CHANNEL = 16  # numbers a channel must have to tell its factor from noise; by judgement
_POINTS = 4096  # values of a tensor that are compared: a cosine by chance is then 0.02
_BATCH = 1 << 26  # elements fetched at a time: 256 MiB of float32

Sample = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Candidates:
    """Values of both graphs that may belong together: all of one size."""

    lefts: tuple[Value, ...]
    rights: tuple[Value, ...]


class ValueJudge:
    """Compares values of the two graphs on one sample."""

    def __init__(self, probe: Probe, layouts: Layouts) -> None:
        self.probe = probe
        self.layouts = layouts

    def clear_pairs(self, matches: Matches) -> list[tuple[Value, Value, Perm | None]]:
        """Unmatched values that agree with one another and with nothing else."""
        lefts = [v for v in _roots(matches.left.values) if v not in matches.of_left]
        rights = [v for v in _roots(matches.right.values) if v not in matches.of_right]
        found: list[tuple[Value, Value, Perm | None]] = []
        for batch in _batches(lefts, rights):
            samples = self._samples(batch)
            for group in batch:
                found.extend(self._mutual(group, samples))
        return found

    def unrelated(self, pairs: Sequence[tuple[Value, Value]]) -> list[tuple[Value, Value]]:
        """Of these pairs, the ones whose right value clearly belongs to another left one."""
        lefts, rights = tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)
        wrong = []
        for batch in _batches(lefts, rights):
            samples = self._samples(batch)
            for group in batch:
                table = self._table(group, samples)
                for left, right in pairs:
                    if left in group.lefts and right in group.rights:
                        i, j = group.lefts.index(left), group.rights.index(right)
                        best = max(table[i].max(), table[:, j].max())
                        if table[i, j] < _UNRELATED and best >= _CLEAR:
                            wrong.append((left, right))
        return wrong

    def _samples(self, groups: Sequence[Candidates]) -> dict[Value, Array]:
        """Whole values, real and in their own layout; tensors that cannot be had are left out."""
        lefts = [v for group in groups for v in group.lefts]
        rights = [v for group in groups for v in group.rights]
        held = {v: choose_reading(v).tensor for v in rights}
        floats = self.probe("float", list(dict.fromkeys(v.raw for v in lefts)))
        quants = self.probe("quant", list(dict.fromkeys(held.values())))
        found = {v: np.asarray(floats[v.raw]) for v in lefts if v.raw in floats}
        for value, tensor in held.items():
            if tensor in quants:
                codes = value.codes.get(tensor)
                real = np.asarray(quants[tensor])
                found[value] = real if codes is None else dequantize(real, codes)
        return found

    def _mutual(
        self, group: Candidates, samples: Mapping[Value, Array]
    ) -> Iterator[tuple[Value, Value, Perm | None]]:
        table = self._table(group, samples)
        for i, left in enumerate(group.lefts):
            j = int(table[i].argmax())
            rest = np.concatenate([np.delete(table[i], j), np.delete(table[:, j], i)])
            second = float(rest.max()) if rest.size else -1.0
            if table[i, j] >= _CLEAR and table[i, j] - second >= _AHEAD:
                right = group.rights[j]
                yield left, right, self.layouts.find(left.shape, right.shape, None)[1]

    def _table(self, group: Candidates, samples: Mapping[Value, Array]) -> Sample:
        """Likeness of every left value with every right one; -1 where not comparable."""
        table = np.full((len(group.lefts), len(group.rights)), -1.0)
        known: dict[tuple[Value, Perm | None], _Points] = {}
        for i, left in enumerate(group.lefts):
            for j, right in enumerate(group.rights):
                if left in samples and right in samples:
                    table[i, j] = self._agreement(left, right, samples, known)
        return table

    def _agreement(
        self,
        left: Value,
        right: Value,
        samples: Mapping[Value, Array],
        known: dict[tuple[Value, Perm | None], _Points],
    ) -> float:
        a, b = samples[left], samples[right]
        if a.size != b.size or a.size < 2:
            return -1.0
        found, perm = self.layouts.find(a.shape, b.shape, None)
        if not found:
            perm = None
        if (left, None) not in known:
            known[left, None] = _Points.of(a)
        if (right, perm) not in known:
            known[right, perm] = _Points.of(b if perm is None else b.transpose(perm))
        likeness = _likeness(known[left, None], known[right, perm])
        if likeness >= _CLEAR:
            b = b if perm is None else b.transpose(perm)
            if a.shape == b.shape and _scaled_by_channel(a, b):
                return _OTHER
        return likeness


class _Points(NamedTuple):
    """Some values of a tensor, spread over it, and what comparing them takes; float64.

    Attributes:
        values: as they are.
        centred: without their mean.
        norm: of these.
    """

    values: Sample
    centred: Sample
    norm: float

    @classmethod
    def of(cls, tensor: Array) -> _Points:
        """Of a tensor."""
        step = max(1, tensor.size // _POINTS) | 1  # odd: does not fall in step with even sizes
        values = tensor.reshape(-1)[::step].astype(np.float64)
        centred = values - values.mean()
        return cls(values, centred, float(np.linalg.norm(centred)))


def _likeness(left: _Points, right: _Points) -> float:
    """Centred cosine, less than clear where gain or offset differ: those make another value."""
    norm = left.norm * right.norm
    if not np.isfinite(norm) or norm == 0:
        return -1.0
    cosine = float(left.centred @ right.centred) / norm
    if cosine <= _OTHER:
        return cosine
    a, b = left.values, right.values
    far = bool(np.linalg.norm(a - b) > _TOO_FAR * np.linalg.norm(a))
    return min(cosine, _OTHER if far else 1.0)


def _scaled_by_channel(left: Array, right: Array) -> bool:
    """Whether values differ, and by a factor per channel (axis 1, or the last) more than by noise.

    So does a convolution from the same one with its normalization in the weights.
    """
    a, b = left.astype(np.float32), right.astype(np.float32)
    for axis in {1, a.ndim - 1}:
        channels = a.shape[axis] if axis < a.ndim else 1
        if channels < 2 or a.size < _CHANNEL * channels:
            continue
        x, y = (np.moveaxis(v, axis, 0).reshape(channels, -1) for v in (a, b))
        xx, xy, yy = (np.einsum("cn,cn->c", p, q) for p, q in ((x, x), (x, y), (y, y)))
        apart = float((xx - 2 * xy + yy).sum())
        noise = float((yy - xy * xy / np.maximum(xx, np.finfo(np.float32).tiny)).sum())
        if apart > _NEAR**2 * float(xx.sum()) and noise < _EXPLAINED * apart:
            return True
    return False


def _roots(values: Sequence[Value]) -> list[Value]:
    return [v for v in values if v.root is v and comparable(v) and _size(v)]


def _size(value: Value) -> int:
    """Number of elements, 0 where not known."""
    size = 1
    for dim in value.shape or (0,):
        size *= dim if isinstance(dim, int) else 0
    return size


def _batches(lefts: Sequence[Value], rights: Sequence[Value]) -> Iterator[list[Candidates]]:
    """Groups of one size, several at a time as far as memory allows."""
    batch: list[Candidates] = []
    held = 0
    for size in sorted({_size(v) for v in lefts} & {_size(v) for v in rights} - {0}):
        group = Candidates(
            tuple(v for v in lefts if _size(v) == size),
            tuple(v for v in rights if _size(v) == size),
        )
        cost = size * (len(group.lefts) + len(group.rights))
        if batch and held + cost > _BATCH:
            yield batch
            batch, held = [], 0
        batch.append(group)
        held += cost
    if batch:
        yield batch
