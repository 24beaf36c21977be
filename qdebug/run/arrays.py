"""The arrays that accompany ``run.json``: histograms, per-channel and per-sample numbers."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from qdebug.bounds import check_archive
from qdebug.errors import RunError
from qdebug.metrics.histogram import BINS as BINS  # noqa: PLC0414 - part of the form
from qdebug.npy import ZIP_DAMAGE, array_of_npy
from qdebug.run.files import RunFiles

HIST_NPZ = "hist.npz"

Float64Array = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Histogram:
    """Float and quant values of one layer on common bins.

    Attributes:
        edges: float64 ``[BINS + 1]``, equal widths, covering both sides.
        float: int64 ``[BINS]``, counts of the float run.
        quant: int64 ``[BINS]``, counts of the quant run.
    """

    edges: Float64Array
    float: Int64Array
    quant: Int64Array


@dataclass(frozen=True)
class RunArrays:
    """Arrays of all layers of a run, stacked so that one small file holds them.

    Attributes:
        hist_layers: int32 ``[H]``, indices of the layers that have a histogram, ascending.
        hist_range: float64 ``[H, 2]``, lowest and highest edge.
        hist_float: uint32 ``[H, BINS]``.
        hist_quant: uint32 ``[H, BINS]``.
        channel_offsets: int64 ``[layers + 1]``, layer ``i`` has
            ``channel_sqnr_db[offsets[i]:offsets[i + 1]]``.
        channel_sqnr_db: float32, accumulated SQNR per channel; empty for layers without channels.
        channel_absmax: float32, largest absolute float value per channel, laid out alike.
    """

    hist_layers: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    hist_range: Float64Array = field(default_factory=lambda: np.zeros((0, 2)))
    hist_float: npt.NDArray[np.uint32] = field(
        default_factory=lambda: np.zeros((0, BINS), np.uint32)
    )
    hist_quant: npt.NDArray[np.uint32] = field(
        default_factory=lambda: np.zeros((0, BINS), np.uint32)
    )
    channel_offsets: Int64Array = field(default_factory=lambda: np.zeros(1, np.int64))
    channel_sqnr_db: Float32Array = field(default_factory=lambda: np.zeros(0, np.float32))
    channel_absmax: Float32Array = field(default_factory=lambda: np.zeros(0, np.float32))

    def histogram(self, layer: int) -> Histogram | None:
        """Histogram of a layer, or None where it has none."""
        at = int(np.searchsorted(self.hist_layers, layer))
        if at == len(self.hist_layers) or self.hist_layers[at] != layer:
            return None
        low, high = self.hist_range[at]
        edges = np.linspace(low, high, BINS + 1)
        return Histogram(
            edges, self.hist_float[at].astype(np.int64), self.hist_quant[at].astype(np.int64)
        )

    def channels(self, layer: int) -> tuple[Float32Array, Float32Array]:
        """Per-channel accumulated SQNR (dB) and largest absolute float value of a layer.

        Both are empty for a layer without channels.
        """
        if layer + 1 >= len(self.channel_offsets):
            return np.zeros(0, np.float32), np.zeros(0, np.float32)
        part = slice(int(self.channel_offsets[layer]), int(self.channel_offsets[layer + 1]))
        return self.channel_sqnr_db[part], self.channel_absmax[part]

    def to_bytes(self) -> bytes:
        """The content of ``hist.npz``; equal arrays give equal bytes."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{name: getattr(self, name) for name in _FIELDS})
        return buffer.getvalue()

    @classmethod
    def read(cls, files: RunFiles) -> RunArrays:
        """Read ``hist.npz``; a run without one has no arrays.

        Raises:
            RunError: the file is damaged.
        """
        if HIST_NPZ not in files.names():
            return cls()
        try:
            with zipfile.ZipFile(io.BytesIO(files.read(HIST_NPZ))) as stored:
                check_archive(stored, HIST_NPZ, RunError)
                arrays = cls(**{name: array_of_npy(stored.read(f"{name}.npy")) for name in _FIELDS})
        except _DAMAGE as error:
            raise RunError(f"{HIST_NPZ} is damaged: {error}") from error
        arrays._check_shapes()
        return arrays

    def _check_shapes(self) -> None:
        count = len(self.hist_layers) if self.hist_layers.ndim == 1 else -1
        channels = self.channel_sqnr_db.shape
        sound = (
            self.hist_range.shape == (count, 2)
            and self.hist_float.shape == self.hist_quant.shape == (count, BINS)
            and self.channel_absmax.shape == channels
            and len(channels) == self.channel_offsets.ndim == 1
            and len(self.channel_offsets) > 0
            and bool((np.diff(self.channel_offsets) >= 0).all())
            and 0 <= int(self.channel_offsets[0]) <= int(self.channel_offsets[-1]) <= channels[0]
        )
        if not sound:
            raise RunError(f"{HIST_NPZ} is damaged: its arrays do not fit together")


_DAMAGE = (ValueError, *ZIP_DAMAGE)
_FIELDS = tuple(RunArrays.__dataclass_fields__)
