"""torchvision: the arguments of ``transforms._presets.ImageClassification``."""

from __future__ import annotations

from qdebug.preprocess.spec import PreprocessSpec
from qdebug.preprocess.steps import (
    CenterCrop,
    Color,
    Decode,
    Layout,
    Normalize,
    Resampler,
    ResizeShort,
    Scale,
)
from qdebug.vendors.dialect import (
    Dialect,
    Reading,
    numbers_of,
    pairs,
    require,
    simplified,
)

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def read(text: str) -> Reading:
    """Read ``crop_size=224 resize_size=232 mean=.. std=.. interpolation=bilinear``."""
    settings = pairs(text.replace("(", "[").replace(")", "]"))
    require(settings, ("crop_size", "resize_size"), "torchvision")
    crop = int((numbers_of(settings, "crop_size") or (224,))[0])
    short = int((numbers_of(settings, "resize_size") or (256,))[0])
    name = settings.get("interpolation", "bilinear").rpartition(".")[2].lower()
    steps = (
        Decode("pil", exif=False),
        ResizeShort(short, Resampler.named("pil", name)),
        CenterCrop((crop, crop)),
        Color("rgb"),
        Scale(255.0, divide=True),
        Normalize(numbers_of(settings, "mean") or _MEAN, numbers_of(settings, "std") or _STD),
        Layout("nchw"),
    )
    note = "on tensors with antialias=False torchvision's filter is cv2 linear, not Pillow's"
    return Reading(PreprocessSpec(steps), (note,))


def write(spec: PreprocessSpec) -> str | None:
    """Write the arguments; shorter side and centre crop with Pillow only."""
    simple = simplified(spec)
    if simple is None or simple.order != "rgb" or len(simple.geometry) != 2:
        return None
    short, crop = simple.geometry
    if not isinstance(short, ResizeShort) or not isinstance(crop, CenterCrop) or not crop.size:
        return None
    if short.resampler.library != "pil" or crop.size[0] != crop.size[1]:
        return None
    mean = ",".join(f"{round(m / 255, 7):g}" for m in simple.mean)
    std = ",".join(f"{round(s / 255, 7):g}" for s in simple.std)
    return (
        f"crop_size={crop.size[0]} resize_size={short.side} mean=[{mean}] std=[{std}]"
        f" interpolation={short.resampler.filter}"
    )


DIALECT = Dialect("torchvision classification preset", read, write)
