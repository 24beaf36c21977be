"""Which tensors belong together, told by their values and by nothing else.

Both graphs run on the same inputs, the quantized one in real numbers (``reals``), so that a float
tensor and its counterpart agree closely and nothing else does. Written apart from the package's own
pairing, on purpose.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import permutations

import numpy as np
import onnx

from qdebug.graph.pairs import Pair, Pairing
from tests.support.nets import Array
from tests.support.reals import QUANTIZE, in_reals, ordered
from tests.support.running import run_tensors

SAME, OTHER, UNLIKE = 0.12, 0.3, 0.8
"""Relative L2 distance up to which values are the same; from which they are not where something
else is nearer; and from which they are not in any case."""
FACTOR, SLACK = 1.5, 0.02
"""A pair is wrong where another tensor of the quant graph is nearer by this much."""
FOLDED, FEW = 0.5, 16
"""Part of a distance that remains where factors per channel explain the rest of it: a folded
normalization, and not the same values. Channels of fewer numbers than this tell nothing."""
HALF = 65504.0
"""Numbers beyond float16's range (masks of minus infinity) count as its ends."""
POINTS = 2048
"""Values of a tensor that are compared."""


def run(model: onnx.ModelProto, feeds: dict[str, Array], names: Iterable[str]) -> dict[str, Array]:
    """Values of the named tensors and of all outputs, without graph optimizations."""
    computed = [name for name in names if name not in feeds]
    return run_tensors(model, feeds, [*(o.name for o in model.graph.output), *computed]) | feeds


def float_values(model: onnx.ModelProto, feeds: dict[str, Array]) -> dict[str, Array]:
    """Values of all inputs, and of all tensors of real numbers that depend on them."""
    reached = set(feeds)
    for node in ordered(model.graph):
        if node.op_type not in ("Shape", "Size") and any(name in reached for name in node.input):
            reached.update(name for name in node.output if name)
    values = run(model, feeds, reached)
    return {n: v for n, v in values.items() if v.dtype.kind == "f" and n in reached}


def read_values(
    model: onnx.ModelProto, feeds: dict[str, Array], weights: Iterable[Array] = ()
) -> dict[str, Array]:
    """Real values of the tensors that operations (not quantizers) read, or that are outputs."""
    real = in_reals(model, weights)
    narrow = {name for n in model.graph.node if _to_bfloat16(n) for name in n.output}
    made = {name for n in real.graph.node for name in n.output} - narrow
    readers = {name for n in model.graph.node if n.op_type not in QUANTIZE for name in n.input}
    values = run(real, feeds, made & readers)
    return {n: v.astype(np.float32) for n, v in values.items() if v.dtype.kind == "f"}


def _to_bfloat16(node: onnx.NodeProto) -> bool:
    # numpy has no such type, and ONNX Runtime cannot hand the values out
    return any(a.name == "to" and a.i == onnx.TensorProto.BFLOAT16 for a in node.attribute)


@dataclass
class Distances:
    """Relative L2 distances between values of two graphs, over all layouts, at sampled places.

    Of a repeated batch, the first part counts.
    """

    floats: dict[str, Array]
    quants: dict[str, Array]
    table: dict[tuple[str, str], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        by_size: dict[int, list[str]] = defaultdict(list)
        for name, value in self.floats.items():
            by_size[value.size].append(name)
        rights: dict[int, list[tuple[str, Array]]] = defaultdict(list)
        for name, value in self.quants.items():
            if value.size in by_size:
                rights[value.size].append((name, value))
            if value.size // 2 in by_size:
                rights[value.size // 2].extend((name, half) for half in _once(value))
        for size, names in by_size.items():
            if size and rights[size]:
                self._fill(size, names, rights[size])
        self._rank()

    def _rank(self) -> None:
        """Distance of every tensor's nearest one in the other graph, and of the next."""
        self.nearest_left = dict.fromkeys(self.floats, 9.0)
        self.nearest_right: dict[str, float] = {}
        self.next_right: dict[str, float] = {}
        for (left, right), gap in self.table.items():
            self.nearest_left[left] = min(gap, self.nearest_left[left])
            first = self.nearest_right.get(right, 9.0)
            self.nearest_right[right] = min(gap, first)
            self.next_right[right] = min(max(gap, first), self.next_right.get(right, 9.0))

    def __call__(self, left: str, right: str) -> float:
        """Distance of two tensors; 9 where their sizes differ."""
        return self.table.get((left, right), 9.0)

    @functools.cached_property
    def counterparts(self) -> dict[str, float]:
        """Float tensors that some quant tensor resembles, more than any other, by distance."""
        found: dict[str, float] = {}
        for (left, right), gap in self.table.items():
            nearest = self.nearest_right[right]
            alike = gap < SAME and gap <= 1.02 * nearest + 1e-4
            mutual = gap == nearest == self.nearest_left[left] and gap < OTHER
            clear = mutual and self.next_right[right] > FACTOR * gap
            if alike or (clear and not is_folded(self.floats[left], self.quants[right])):
                found[left] = min(gap, found.get(left, 9.0))
        return found

    def _fill(self, size: int, lefts: list[str], rights: list[tuple[str, Array]]) -> None:
        places = _places(size)
        shapes = {self.floats[name].shape for name in lefts}
        mine = np.stack([self.floats[name].reshape(-1)[places] for name in lefts])
        views = [(name, v) for name, value in rights for v in _views(value, shapes, places)]
        theirs = np.stack([view for _, view in views])
        gaps = _gaps(mine, theirs)
        for column, (right, _) in enumerate(views):
            for row, left in enumerate(lefts):
                gap = float(gaps[row, column])
                self.table[left, right] = min(gap, self.table.get((left, right), 9.0))


def _once(value: Array) -> Iterator[Array]:
    """The first part of a batch of two equal samples, wherever the batch's axis lies."""
    for axis, length in enumerate(value.shape):
        if length % 2 == 0:
            first, second = np.split(value, 2, axis)
            if np.allclose(first, second, rtol=1e-3, atol=1e-6):
                yield first


def _places(size: int) -> Array:
    if size <= POINTS:
        return np.arange(size)
    return np.random.default_rng(size).integers(0, size, POINTS)


def _views(value: Array, shapes: set[tuple[int, ...]], places: Array) -> Iterator[Array]:
    """The value at the places, as it is laid out and in every other layout of these shapes."""
    yield value.reshape(-1)[places]
    if value.ndim <= 5:
        for perm in permutations(range(value.ndim)):
            moved = value.transpose(perm)
            if moved.shape in shapes and list(perm) != sorted(perm):
                yield moved[np.unravel_index(places, moved.shape)]


def _gaps(left: Array, right: Array) -> Array:
    """Distance of every row of one matrix to every row of the other, relative to the first."""
    left, right = (np.clip(m.astype(np.float64), -HALF, HALF) for m in (left, right))
    norms, others = ((m * m).sum(axis=1) for m in (left, right))
    squares = np.maximum(norms[:, None] + others[None] - 2 * left @ right.T, 0.0)
    same = squares <= 1e-13 * norms[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        gaps: Array = np.sqrt(squares / norms[:, None])
    return np.where(same, 0.0, np.nan_to_num(gaps, nan=9.0, posinf=9.0))


@dataclass(frozen=True)
class Verdict:
    """How a pairing compares with the truth.

    Attributes:
        tensors: float tensors that are not constant.
        total: of these, how many have a true counterpart.
        found: of these, how many are paired rightly.
        wrong: pairs whose values are not the same, as text.
        missed: float tensors with a counterpart but without a pair.
    """

    tensors: int
    total: int
    found: int
    wrong: tuple[str, ...]
    missed: tuple[str, ...]

    @property
    def recall(self) -> float:
        """Share of the tensors with a true counterpart that are paired rightly."""
        return self.found / max(self.total, 1)


def pair_distance(pair: Pair, floats: dict[str, Array], quants: dict[str, Array]) -> float:
    """Distance of a pair's tensors, the second brought into the layout that the pair names."""
    left, right = floats[pair.float_tensor], quants.get(pair.read)
    if right is None:
        return 9.0
    form = pair.read_form
    right = right if form.perm is None else right.transpose(form.perm)
    if right.size == 2 * left.size:  # another batch size
        right = next(_once(right), right)
    if right.size != left.size or (form.shape is None and right.shape != left.shape):
        return 9.0
    places = _places(left.size)
    return float(_gaps(*(v.reshape(1, -1)[:, places] for v in (left, right)))[0, 0])


def judge(pairing: Pairing, distance: Distances) -> Verdict:
    """Compare a pairing with what values say.

    Args:
        pairing: to be judged.
        distance: between values of the float graph's tensors, and real values of the quant graph's
            tensors that are read.
    """
    floats, counterparts = distance.floats, distance.counterparts
    pairs = {pair.float_tensor: pair for pair in pairing.pairs}
    found, wrong, missed = 0, [], []
    for name in floats:
        best, pair = counterparts.get(name), pairs.get(name)
        if pair is None:
            missed.extend([name] if best is not None else [])
            continue
        gap = pair_distance(pair, floats, distance.quants)
        if _is_wrong(distance, pair, gap, best):
            wrong.append(f"{name} with {pair.read}: {gap:.3f}, best {best}")
        else:
            found += best is not None
    return Verdict(len(floats), len(counterparts), found, tuple(wrong), tuple(missed))


def _is_wrong(distance: Distances, pair: Pair, gap: float, best: float | None) -> bool:
    if best is not None and gap > max(FACTOR * best, best + SLACK):
        return True
    right = distance.quants.get(pair.read)
    if gap > SAME and right is not None and is_folded(distance.floats[pair.float_tensor], right):
        return True
    nearest = distance.nearest_left[pair.float_tensor], distance.nearest_right.get(pair.read, 9.0)
    return gap > (OTHER if FACTOR * min(nearest) < gap else UNLIKE)


def is_folded(left: Array, right: Array) -> bool:
    """Whether one is the other times a factor per channel, along some axis.

    A convolution whose normalization went into its weights computes that; its bias comes later.
    """
    if left.shape != right.shape:
        return False
    gap = np.linalg.norm(right - left)
    for axis, channels in enumerate(left.shape):
        if channels > 1 and left.size >= FEW * channels:
            a, b = (np.moveaxis(v, axis, 0).reshape(channels, -1) for v in (left, right))
            norms = (a * a).sum(axis=1, keepdims=True)
            factor = (a * b).sum(axis=1, keepdims=True) / np.maximum(norms, np.finfo(a.dtype).tiny)
            if np.linalg.norm(b - factor * a) < FOLDED * gap:
                return True
    return False
