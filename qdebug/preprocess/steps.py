"""The steps a preprocessing pipeline is made of, each a small frozen dataclass.

Sizes are ``(width, height)`` in pixels; ``None`` stands for the size of the model's input and is
filled in by `PreprocessSpec.with_size`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from qdebug.errors import InputError

Size: TypeAlias = tuple[int, int] | None
ColorOrder = Literal["rgb", "bgr", "gray"]
LayoutName = Literal["nchw", "nhwc", "chw", "hwc", "nc1hwc2"]
DtypeName = Literal["float32", "float16", "float64", "uint8", "int8", "uint16", "int16", "int32"]
Library = Literal["cv2", "pil", "float"]
Rounding = Literal["round", "floor", "ceil"]
Anchor = Literal["center", "top-left"]
Axis = Literal["width", "height", "channel"]
YuvMatrix = Literal["601", "709"]
YuvRange = Literal["limited", "full"]

FILTERS: dict[Library, tuple[str, ...]] = {
    "cv2": ("linear", "nearest", "cubic", "area", "lanczos", "nearest-exact", "linear-exact"),
    "pil": ("bilinear", "nearest", "bicubic", "lanczos", "box", "hamming"),
    "float": ("linear", "align-corners", "asymmetric"),
}
"""Resampling filters by library. ``float`` computes in float32 and does not round, as
``tf.image.resize`` does: half-pixel centres, aligned corners, or TensorFlow 1's legacy grid."""

_BOTH_NAMES = {"bilinear": "linear", "bicubic": "cubic"}


@dataclass(frozen=True)
class Resampler:
    """A library's resampling filter.

    Pillow widens its filters when it shrinks an image (antialiasing), as torchvision does on PIL
    images and, by default since 0.17, on tensors; cv2's linear and cubic filters do not.
    """

    library: Library = "cv2"
    filter: str = "linear"

    def __post_init__(self) -> None:
        if self.filter not in FILTERS[self.library]:
            choices = ", ".join(FILTERS[self.library])
            raise InputError(
                f"{self.library} has no resampling filter {self.filter!r}",
                f"{self.library} has: {choices}",
            )

    @classmethod
    def named(cls, library: Library, name: str) -> Resampler:
        """Make a resampler, accepting one library's filter names for the other's."""
        if library == "cv2":
            return cls(library, _BOTH_NAMES.get(name, name))
        if library == "pil":
            return cls(library, {v: k for k, v in _BOTH_NAMES.items()}.get(name, name))
        return cls(library, _BOTH_NAMES.get(name, name))


@dataclass(frozen=True)
class Decode:
    """Which library reads the picture, and whether its EXIF orientation is applied."""

    library: Literal["cv2", "pil"] = "cv2"
    exif: bool = True


@dataclass(frozen=True)
class Color:
    """Colour order of the channels from here on; ``gray`` has one channel, or three equal ones."""

    order: ColorOrder
    channels: int = 0
    """Channels of ``gray``: 1, or 3 where it is replicated. 0 for the other orders."""

    def __post_init__(self) -> None:
        allowed = (1, 3) if self.order == "gray" else (0,)
        if self.channels not in allowed:
            raise InputError(f"{self.order} cannot have {self.channels} channels")


@dataclass(frozen=True)
class Resize:
    """Stretch to exactly this size, whatever the aspect ratio."""

    size: Size
    resampler: Resampler = Resampler()


@dataclass(frozen=True)
class ResizeShort:
    """Scale so that the shorter side has this length; the longer one follows, truncated.

    ``rounding="floor"`` is torchvision's and timm's rule ``int(size * long / short)``.
    """

    side: int
    resampler: Resampler = Resampler()
    rounding: Rounding = "floor"


@dataclass(frozen=True)
class Letterbox:
    """Scale to fit inside ``size``, keep the aspect ratio, and fill the rest with ``pad``.

    The defaults are those of Ultralytics' ``LetterBox``: sides ``round(side * r)``, centred with
    ``round(d / 2 - 0.1)`` before and ``round(d / 2 + 0.1)`` after, small pictures enlarged.
    """

    size: Size
    pad: tuple[float, ...] | None = (114.0,)
    """Value, or one value a channel, in the domain of this point of the chain. None: no padding,
    the picture keeps its own size."""
    resampler: Resampler = Resampler()
    anchor: Anchor = "center"
    rounding: Rounding = "round"
    upscale: bool = True
    stride: int = 0
    """If not 0, pad only to the next multiple of it (Ultralytics' ``auto``)."""


@dataclass(frozen=True)
class Pad:
    """Fill up to ``size`` with ``value``, for pipelines that pad after normalizing."""

    size: Size
    value: tuple[float, ...] = (0.0,)
    anchor: Anchor = "center"


@dataclass(frozen=True)
class CenterCrop:
    """Cut this size from the middle; a smaller picture is padded with zeros first.

    ``round`` is torchvision's and timm's ``int(round((side - crop) / 2))``, ``floor`` is Hugging
    Face's ``(side - crop) // 2``.
    """

    size: Size
    rounding: Rounding = "round"


@dataclass(frozen=True)
class Crop:
    """Cut ``size`` with its top left corner at ``origin`` (x, y)."""

    size: tuple[int, int]
    origin: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Flip:
    """Mirror left to right (``horizontal``) or top to bottom (``vertical``)."""

    axis: Literal["horizontal", "vertical"]


@dataclass(frozen=True)
class Rotate:
    """Turn clockwise by 90, 180 or 270 degrees."""

    degrees: Literal[90, 180, 270]


@dataclass(frozen=True)
class Yuv:
    """A round trip through 8-bit YUV, written one way and read another.

    A correct round trip has the same matrix and range on both sides and still loses a code or two.
    """

    written: tuple[YuvMatrix, YuvRange] = ("601", "limited")
    read: tuple[YuvMatrix, YuvRange] = ("601", "limited")
    subsampled: bool = True
    """Chroma at half resolution (NV12), else at full resolution (4:4:4)."""


@dataclass(frozen=True)
class Scale:
    """Multiply by, or divide by, one number. The two round differently in float32."""

    value: float
    divide: bool = False

    def __post_init__(self) -> None:
        if self.value == 0:
            raise InputError("a scale of zero would erase the picture")

    @property
    def factor(self) -> float:
        """The number the values are multiplied by."""
        return 1.0 / self.value if self.divide else self.value


@dataclass(frozen=True)
class Normalize:
    """``(x - mean) / std``, or ``(x - mean) * std`` with ``multiply``.

    One value for all channels, or one a channel in the order the tensor has at this point, in
    the value domain of this point.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    multiply: bool = False

    def __post_init__(self) -> None:
        if 0 in self.std:
            word = "scale" if self.multiply else "std"
            raise InputError(f"{word} contains a zero")
        if len({len(self.mean), len(self.std)} - {1}) > 1:
            raise InputError(
                f"mean has {len(self.mean)} values and std has {len(self.std)}",
                "give one value for all channels or one for each, in the tensor's channel order",
            )


_LARGEST_OFFSET = 2**24
"""float32 holds every whole number up to here."""


@dataclass(frozen=True)
class Offset:
    """Add a whole number, for instance -128 to move unsigned codes into the signed range."""

    value: int

    def __post_init__(self) -> None:
        if abs(self.value) > _LARGEST_OFFSET:
            raise InputError(f"an offset lies within {_LARGEST_OFFSET} of zero")


@dataclass(frozen=True)
class Cast:
    """Convert to a data type; to an integer type by rounding half to even and saturating."""

    dtype: DtypeName


@dataclass(frozen=True)
class Reinterpret:
    """Read the same bytes as another 8-bit type (a mistake that pipelines make)."""

    dtype: Literal["int8", "uint8"]


@dataclass(frozen=True)
class Layout:
    """Order of the axes of the tensor."""

    name: LayoutName
    block: int = 0
    """Channels of one block of ``nc1hwc2``; 0 for the other layouts."""

    def __post_init__(self) -> None:
        if (self.name == "nc1hwc2") != (self.block > 0):
            raise InputError(
                f"layout {self.name} cannot have a block of {self.block} channels",
                "write the channels of one block after nc1hwc2, for instance nc1hwc2 16",
            )


@dataclass(frozen=True)
class Align:
    """Pad one axis at its end to a multiple of ``multiple``."""

    axis: Axis
    multiple: int
    value: float = 0.0

    def __post_init__(self) -> None:
        if self.multiple < 1:
            raise InputError(f"cannot align to {self.multiple}")


Step: TypeAlias = (
    Decode
    | Color
    | Resize
    | ResizeShort
    | Letterbox
    | Pad
    | CenterCrop
    | Crop
    | Flip
    | Rotate
    | Yuv
    | Scale
    | Normalize
    | Offset
    | Cast
    | Reinterpret
    | Layout
    | Align
)

Geometric: TypeAlias = Resize | ResizeShort | Letterbox | Pad | CenterCrop | Crop | Flip | Rotate
GEOMETRIC = (Resize, ResizeShort, Letterbox, Pad, CenterCrop, Crop, Flip, Rotate)
SIZED = (Resize, Letterbox, Pad, CenterCrop)
RESAMPLING = (Resize, ResizeShort, Letterbox)
ARITHMETIC = (Scale, Normalize, Offset)
