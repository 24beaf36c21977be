"""What a pipeline may be: normalizations, orders of the channels, ways to place a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qdebug.preprocess.calibration import full_range
from qdebug.preprocess.graph_front.front import Quantizer
from qdebug.preprocess.spec import Affine, PreprocessSpec

Order = Literal["rgb", "bgr", "gray"]


@dataclass(frozen=True)
class Normalization:
    """One that people use.

    Attributes:
        name: for people.
        text: as a spec has it; means in RGB order.
        mirrored: the same with the means in BGR order; empty where all channels are alike.
    """

    name: str
    text: str
    mirrored: str = ""

    def written(self, order: Order) -> str:
        """In the order of the tensor's channels."""
        return self.mirrored if order == "bgr" and self.mirrored else self.text

    def doubled(self) -> Normalization:
        """The same with all values twice as large."""
        texts = (" | ".join(filter(None, (t, "*2"))) for t in (self.text, self.written("bgr")))
        return Normalization(f"twice {self.name}", *texts)

    @property
    def affine(self) -> Affine:
        """Gain and offset from pixels."""
        return self._spec.affine

    def span(self, quantizer: Quantizer) -> tuple[float, float]:
        """Least and largest value that meets a quantizer behind it."""
        return full_range(quantizer.meets(self._spec))

    @property
    def _spec(self) -> PreprocessSpec:
        return PreprocessSpec.parse(" | ".join(filter(None, ("rgb", self.text, "nchw"))))


NORMALIZATIONS = (
    Normalization("0..1", "/255"),
    Normalization("0..255", ""),
    Normalization("-1..1", "mean 127.5 std 127.5"),
    Normalization("mean 127, std 128", "mean 127 std 128"),
    Normalization(
        "ImageNet's mean and std",
        "mean 123.675,116.28,103.53 std 58.395,57.12,57.375",
        "mean 103.53,116.28,123.675 std 57.375,57.12,58.395",
    ),
    Normalization(
        "Caffe's mean pixel", "mean 123.68,116.779,103.939", "mean 103.939,116.779,123.68"
    ),
    Normalization("minus 128", "mean 128 std 1"),
    Normalization(
        "CLIP's mean and std",
        "mean 122.7709,116.7460,104.0937 std 68.5005,66.6322,70.3232",
        "mean 104.0937,116.7460,122.7709 std 70.3232,66.6322,68.5005",
    ),
)
"""Those of torchvision, timm, Ultralytics, PaddleOCR, MMDetection, TensorFlow, Caffe and CLIP."""


@dataclass(frozen=True)
class Habit:
    """How the networks of one head are usually fed: first guesses, never proofs.

    Attributes:
        head: for people: ``YOLOX head``.
        order: of the channels.
        geometry: steps that place the picture; ``{w}``, ``{h}`` and ``{short}`` stand for the
            input's sides and the classifier's shorter side.
        normalizations: names, the usual one first.
        finds: whether such a head finds something at places, which may speak against a calibrated
            range: noise is not found again in a mirror. A class's probability only rises and falls
            with the contrast of what is fed.
        size: usual width and height, for inputs that take any.
    """

    head: str
    order: Order = "rgb"
    geometry: str = "resize {w}x{h} cv2 linear"
    normalizations: tuple[str, ...] = ()
    finds: bool = True
    size: tuple[int, int] = (640, 640)


_CROP_SHARE = 0.875
"""Side of the crop over the shorter side: 224 of 256, torchvision's and timm's default."""


def placed(geometry: str, size: tuple[int, int]) -> str:
    """A geometry for an input of this width and height."""
    width, height = size
    return geometry.format(w=width, h=height, short=int(min(size) / _CROP_SHARE))


def is_equal(first: Affine, second: Affine) -> bool:
    """Whether two normalizations differ by less than a code and a half of 255."""
    one, two = full_range(first), full_range(second)
    width = max(one[1] - one[0], two[1] - two[0])
    return max(abs(one[0] - two[0]), abs(one[1] - two[1])) <= _SAME_CODES / 255 * width


_SAME_CODES = 1.5
"""(x - 127.5) / 127.5 and (x - 127) / 128 differ by up to one code."""
