"""Segmentation: a folder of pictures, and one of PNGs whose pixels are class numbers.

As VOC and Cityscapes keep them: ``images/a.jpg`` has ``masks/a.png``; 255 is no class at all.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from qdebug.datasets.dataset import Dataset, LabelledPicture
from qdebug.datasets.files import check_some, listed, pictures_below
from qdebug.errors import InputError

FORM = "masks"
IGNORED = 255
"""Pixels that count for nothing (VOC's border, Cityscapes' void)."""
_FOLDERS = ("masks", "labels", "annotations", "SegmentationClass")


def masks_folder(folder: Path) -> Path | None:
    """The folder of the masks, where there is one."""
    found = (folder / name for name in _FOLDERS)
    return next((f for f in found if f.is_dir() and any(f.glob("*.png"))), None)


def read_masks(folder: Path, images: Path | None = None) -> Dataset:
    """Read the folder.

    Raises:
        InputError: a mask has no picture.
    """
    masks = masks_folder(folder)
    if masks is None:
        raise InputError(f"{folder.name} has no folder of masks", f"one of {', '.join(_FOLDERS)}")
    places = images or next(
        (folder / n for n in ("images", "JPEGImages") if (folder / n).is_dir()), folder
    )
    pictures = {p.stem: p for p in pictures_below(places) if masks not in p.parents}
    found = {mask.stem: mask for mask in sorted(masks.glob("*.png"))}
    alone = [mask.name for stem, mask in found.items() if stem not in pictures]
    if alone:
        raise InputError(
            f"{folder.name}: {len(alone)} of {len(found)} masks have no picture: {listed(alone)}",
            "give the folder of the pictures with --images",
        )
    check_some(found, folder.name)
    without = len(pictures) - len(found)
    return Dataset(
        folder.name,
        FORM,
        "segmentation",
        tuple(LabelledPicture(pictures[s].name, pictures[s], mask) for s, mask in found.items()),
        notes=(f"{without} pictures without a mask, left out",) if without else (),
    )


def read_mask(file: Path) -> npt.NDArray[np.int64]:
    """Class numbers ``[height, width]``.

    Raises:
        InputError: the file is no picture of one channel.
    """
    from PIL import Image

    try:
        with Image.open(file) as image:
            values = np.asarray(image)  # a palette's index is the class
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{file.name} cannot be read: {error}") from error
    if values.ndim != 2:
        raise InputError(
            f"{file.name} is a picture of {values.shape[-1]} channels",
            "a mask has one, the number of each pixel's class",
        )
    return values.astype(np.int64)
