"""Windows that are moved over the spatial axes of a tensor: of convolutions and of pooling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qdebug.cure.reverse.tape import NoRuleError
from qdebug.graph.model import Node


@dataclass(frozen=True)
class Windows:
    """How windows lie; every list has an entry for each spatial axis.

    Attributes:
        kernel: positions read.
        strides: from one window to the next.
        dilations: between positions of a window.
        before: padding in front of the axis.
        after: padding behind it.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def reach(self) -> tuple[int, ...]:
        """From the first position of a window to behind its last."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    def count(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Windows that fit an axis."""
        ends = zip(sizes, self.before, self.after, self.reach, self.strides, strict=True)
        return tuple((n + b + a - r) // s + 1 for n, b, a, r, s in ends)

    def missed(self, sizes: Sequence[int], windows: Sequence[int]) -> list[int]:
        """Positions behind the last window that none of them reads."""
        ends = zip(sizes, windows, self.before, self.after, self.reach, self.strides, strict=True)
        return [n - ((w - 1) * s + r - b - a) for n, w, b, a, r, s in ends]

    @classmethod
    def of_convolution(cls, node: Node, sizes: Sequence[int], kernel: Sequence[int]) -> Windows:
        """Windows of a ``Conv`` or of pooling.

        Args:
            node: the node.
            sizes: of the input's spatial axes.
            kernel: of the window.
        """
        plain = _plain(node, kernel)
        kind = node.attributes.get("auto_pad", "NOTSET")
        if kind in ("NOTSET", "VALID"):
            return plain if kind == "NOTSET" else _padded(plain, [0] * len(kernel), "NOTSET")
        ends = zip(sizes, plain.reach, plain.strides, strict=True)
        total = [max((-(-n // s) - 1) * s + r - n, 0) for n, r, s in ends]
        return _padded(plain, total, kind)

    @classmethod
    def of_transposed(
        cls, node: Node, sizes: Sequence[int], outputs: Sequence[int], kernel: Sequence[int]
    ) -> Windows:
        """Windows of the convolution that a ``ConvTranspose`` undoes.

        Args:
            node: the node.
            sizes: of the input's spatial axes.
            outputs: of the output's.
            kernel: of the window.
        """
        plain = _plain(node, kernel)
        kind = node.attributes.get("auto_pad", "NOTSET")
        if kind == "NOTSET" and "output_shape" not in node.attributes:
            return plain
        if kind == "VALID":
            return _padded(plain, [0] * len(kernel), kind)
        extra = node.attributes.get("output_padding", [0] * len(kernel))
        ends = zip(sizes, outputs, plain.reach, plain.strides, extra, strict=True)
        total = [(n - 1) * s + e + r - o for n, o, r, s, e in ends]
        if min(total) < 0:
            raise NoRuleError("its output is larger than what its windows reach")
        return _padded(plain, total, "SAME_LOWER" if kind == "NOTSET" else kind)


def _plain(node: Node, kernel: Sequence[int]) -> Windows:
    """As the attributes say, without automatic padding."""
    ones, zeros = [1] * len(kernel), [0] * len(kernel)
    pads = [int(p) for p in node.attributes.get("pads", zeros + zeros)]
    return Windows(
        tuple(int(k) for k in kernel),
        tuple(int(s) for s in node.attributes.get("strides", ones)),
        tuple(int(d) for d in node.attributes.get("dilations", ones)),
        tuple(pads[: len(kernel)]),
        tuple(pads[len(kernel) :]),
    )


def _padded(plain: Windows, total: Sequence[int], kind: str) -> Windows:
    """Padding shared by both ends; an odd one is behind for ``SAME_UPPER``, else in front."""
    less, more = tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
    before, after = (less, more) if kind == "SAME_UPPER" else (more, less)
    return Windows(plain.kernel, plain.strides, plain.dilations, before, after)
