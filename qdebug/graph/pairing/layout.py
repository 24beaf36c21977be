"""Whether two tensors can hold the same values, and in which layout."""

from __future__ import annotations

from dataclasses import dataclass

Shape = tuple[int | str | None, ...]
Perm = tuple[int, ...]

_CHANNELS_LAST = {3: (0, 2, 1), 4: (0, 3, 1, 2), 5: (0, 4, 1, 2, 3)}
_CHANNELS_FIRST = {3: (0, 2, 1), 4: (0, 2, 3, 1), 5: (0, 2, 3, 4, 1)}


@dataclass(frozen=True)
class Layouts:
    """Compares shapes of the two graphs.

    Attributes:
        batches: batch sizes ``(float, quant)`` of the graphs' inputs, where they differ.
    """

    batches: tuple[int, int] = (1, 1)

    def fits(self, left: Shape | None, right: Shape | None, perm: Perm | None) -> bool:
        """Whether ``transpose(right, perm)`` can have the shape ``left``."""
        if left is None or right is None:
            return True
        if len(left) != len(right) or (perm is not None and len(perm) != len(right)):
            return False
        moved = right if perm is None else tuple(right[axis] for axis in perm)
        return all(self._same(a, b) for a, b in zip(left, moved, strict=True))

    def _same(self, left: int | str | None, right: int | str | None) -> bool:
        if not isinstance(left, int) or not isinstance(right, int):
            return True
        return left == right or left * self.batches[1] == right * self.batches[0]

    def find(
        self, left: Shape | None, right: Shape | None, hint: Perm | None
    ) -> tuple[bool, Perm | None]:
        """Layout that fits, the hint first: ``(found, perm)``."""
        if hint is not None and self.fits(left, right, hint):
            return True, hint
        if self.fits(left, right, None):
            return True, None
        rank = len(right or ())
        for table in (_CHANNELS_LAST, _CHANNELS_FIRST):
            perm = table.get(rank)
            if perm is not None and rank > 3 and self.fits(left, right, perm):
                return True, perm
        return False, None

    def reshapes(self, left: Shape | None, right: Shape | None) -> bool:
        """Whether one can be the other reshaped: of one size, and no mere change of axes."""
        if not self.same_size(left, right):
            return False
        a, b = (tuple(dim for dim in shape or () if dim != 1) for shape in (left, right))
        return a == b or sorted(map(str, a)) != sorted(map(str, b))

    def is_telling(self, shape: Shape | None) -> bool:
        """Whether no two axes can be mistaken for each other."""
        sizes = [dim for dim in shape or () if dim != 1]
        return shape is not None and None not in sizes and len(set(sizes)) == len(sizes)

    def same_size(self, left: Shape | None, right: Shape | None) -> bool:
        """Whether one can be reshaped to the other."""
        if left is None or right is None:
            return True
        if not all(isinstance(dim, int) for dim in (*left, *right)):
            return True
        a, b = 1, 1
        for dim in left:
            a *= int(dim)  # type: ignore[arg-type]
        for dim in right:
            b *= int(dim)  # type: ignore[arg-type]
        return a == b or a * self.batches[1] == b * self.batches[0]


def after_quant_transpose(perm: Perm | None, axes: Perm) -> Perm | None:
    """Layout of ``transpose(q, axes)``, where ``q`` has the layout ``perm``."""
    old = perm or tuple(range(len(axes)))
    if len(old) != len(axes):
        return None
    return _simple(tuple(axes.index(axis) for axis in old))


def before_quant_transpose(perm: Perm | None, axes: Perm) -> Perm | None:
    """Layout of ``q``, where ``transpose(q, axes)`` has the layout ``perm``."""
    new = perm or tuple(range(len(axes)))
    return _simple(tuple(axes[axis] for axis in new)) if len(new) == len(axes) else None


def after_float_transpose(perm: Perm | None, axes: Perm) -> Perm | None:
    """Layout of ``q`` against ``transpose(f, axes)``, where it has ``perm`` against ``f``."""
    old = perm or tuple(range(len(axes)))
    return _simple(tuple(old[axis] for axis in axes)) if len(old) == len(axes) else None


def before_float_transpose(perm: Perm | None, axes: Perm) -> Perm | None:
    """Layout of ``q`` against ``f``, where it has ``perm`` against ``transpose(f, axes)``."""
    new = perm or tuple(range(len(axes)))
    if len(new) != len(axes):
        return None
    return _simple(tuple(new[axes.index(axis)] for axis in range(len(axes))))


def after_moved_ones(
    perm: Perm | None, right: tuple[Shape, Shape], left: Shape
) -> tuple[bool, Perm | None]:
    """Layout behind reshapes on both sides that add or drop axes of length one only.

    Args:
        perm: layout before.
        right: shapes of the quant tensor before and after.
        left: shape of the float tensor after.

    Returns:
        Whether that can be told, and the layout after.
    """
    before, after = right
    wide = [axis for axis, dim in enumerate(before) if dim != 1]
    moved = [axis for axis in perm or range(len(before)) if axis in wide]
    targets = [axis for axis, dim in enumerate(left) if dim != 1]
    sources = [axis for axis, dim in enumerate(after) if dim != 1]
    if len(left) != len(after) or not len(wide) == len(targets) == len(sources):
        return False, None
    ones = iter([axis for axis in range(len(after)) if axis not in sources])
    order = dict(zip(targets, (sources[wide.index(axis)] for axis in moved), strict=True))
    return True, _simple(tuple(order[k] if k in order else next(ones) for k in range(len(left))))


def _simple(perm: Perm) -> Perm | None:
    return None if perm == tuple(range(len(perm))) else perm
