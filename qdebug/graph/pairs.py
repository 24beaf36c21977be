"""What pairing finds: which quant tensor stands for which float tensor, and how."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qdebug.run.model import Unpaired

Array = npt.NDArray[Any]
FoundBy = Literal["graph", "name", "place"]


@dataclass(frozen=True)
class Quantizer:
    """``code = saturate(round(real / scale) + zero_point)`` at one tensor.

    Attributes:
        dtype: ONNX name of the code's type in lower case: ``uint8``, ``int8``, ``int4``,
            ``uint16``, ``float8e4m3fn``, ...
        scale: float32, scalar ``[]`` or ``[channels]``.
        zero_point: int64, shaped like ``scale``.
        axis: channel axis in the quant graph's layout; None for per-tensor.
        block_size: for blocked quantization along ``axis``; 0 otherwise.
        low: smallest code (narrow ranges from QCDQ Clip nodes included).
        high: largest code.
    """

    dtype: str
    scale: npt.NDArray[np.float32]
    zero_point: npt.NDArray[np.int64]
    axis: int | None
    low: int
    high: int
    block_size: int = 0

    @cached_property
    def key(self) -> Hashable:
        """Equal for quantizers that do the same."""
        arrays = (x for a in (self.scale, self.zero_point) for x in (a.shape, a.tobytes()))
        return (self.dtype, *arrays, self.axis, self.low, self.high, self.block_size)

    @cached_property
    def real_range(self) -> tuple[float, float]:
        """Smallest and largest representable real value, over all channels."""
        scale = np.asarray(self.scale, np.float64)
        with np.errstate(invalid="ignore"):  # a scale may be infinite: no range is known then
            low, high = (self.low - self.zero_point) * scale, (self.high - self.zero_point) * scale
        return float(np.min(low)), float(np.max(high))


@dataclass(frozen=True)
class TensorForm:
    """How a quant-graph tensor holds real values.

    The real value in the float graph's layout is ``transpose(dequantize(x), perm)``.

    Attributes:
        quantizer: set when the tensor holds integer codes (QOperator graphs); None when it holds
            real numbers (float32, float16, ...).
        perm: permutation from the quant graph's layout to the float graph's, as for
            ``numpy.transpose(x, perm)``; None when the layouts agree.
        shape: float graph's shape to reshape to, where the two differ otherwise (a squeezed
            dimension), with at most one -1 for a dimension that is not fixed; None when they do
            not.
    """

    quantizer: Quantizer | None = None
    perm: tuple[int, ...] | None = None
    shape: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Pair:
    """A float tensor and the quant tensor that stands for the same value.

    ``raw`` is what the quant layer computes; ``read`` is what its consumers read. In a QDQ graph
    the nodes of ``path`` (Q, DQ, or Q, Clip, DQ) lead from ``raw`` to ``read``; elsewhere the two
    are the same and ``path`` is empty.

    Attributes:
        float_tensor: in the float graph.
        raw: in the quant graph, with its form ``raw_form``.
        read: in the quant graph, with its form ``read_form``.
        path: indices of the quant nodes from ``raw`` to ``read``, in execution order.
        quantizer: the quantizer at this tensor, None where it stays in floating point.
        paired_by: how the pair was found: ``input``, ``output``, ``name``, ``qdq``, ``structure``,
            ``weights``, ``values``.
        aliases: further quant tensors that hold the same value (duplicated DQ outputs, Identity).
    """

    float_tensor: str
    raw: str
    read: str
    path: tuple[int, ...]
    quantizer: Quantizer | None
    paired_by: str
    raw_form: TensorForm = field(default_factory=TensorForm)
    read_form: TensorForm = field(default_factory=TensorForm)
    aliases: tuple[str, ...] = ()

    @property
    def held(self) -> frozenset[str]:
        """Quant tensors that hold the value: computed, read, and further ones."""
        return frozenset({self.raw, self.read, *self.aliases})


@dataclass(frozen=True)
class WeightPair:
    """A weight of the float graph and its quantized counterpart.

    Values are read when asked for and not kept, so that a pairing does not hold both models'
    weights in memory.

    Attributes:
        float_tensor: constant in the float graph.
        quant_tensor: constant (codes or real numbers) in the quant graph.
        node: float node that uses it, its index.
        role: ``weight`` or ``bias``.
        read_float: gives ``float_value``.
        read_quant: gives ``quant_value``.
        quantizer: None where the constant is not quantized; its ``axis`` refers to
            ``quant_tensor``.
        channel_axis: output-channel axis in the float graph's layout.
        folded: per-output-channel factor that relates the two where a BatchNormalization was
            folded on one side only: ``quant = float * folded``; None otherwise. For a bias it is
            None: ``float_value`` has the folding applied.
        found_by: ``graph`` where the operations that use the two are matched; where they are not,
            ``name`` (and shape), or ``place``: the only ones of their shape between the same
            neighbours.
    """

    float_tensor: str
    quant_tensor: str
    node: int
    role: Literal["weight", "bias"]
    read_float: Callable[[], Array] = field(repr=False, compare=False)
    read_quant: Callable[[], Array] = field(repr=False, compare=False)
    quantizer: Quantizer | None
    channel_axis: int
    folded: Array | None = field(default=None, repr=False, compare=False)
    found_by: FoundBy = "graph"

    @property
    def float_value(self) -> Array:
        """Float32, in the float graph's layout."""
        return self.read_float()

    @property
    def quant_value(self) -> Array:
        """Float32, dequantized and brought to the float graph's layout."""
        return self.read_quant()

    @property
    def reference(self) -> Array:
        """``float_value`` times ``folded``, float32: what ``quant_value`` is to be held against."""
        value = self.float_value
        if self.folded is None:
            return value
        shape = [1] * value.ndim
        shape[self.channel_axis] = -1
        return np.asarray(value * self.folded.reshape(shape), np.float32)


@dataclass(frozen=True)
class Pairing:
    """Result of pairing two graphs; ``pairs`` are in execution order of the float graph.

    Attributes:
        uncompared: labels of float nodes whose weight has no counterpart.
    """

    pairs: tuple[Pair, ...]
    weights: tuple[WeightPair, ...]
    unpaired_float: tuple[Unpaired, ...]
    unpaired_quant: tuple[Unpaired, ...]
    notes: tuple[str, ...] = ()
    uncompared: tuple[str, ...] = ()
