"""The kinds that the check of the input raises (``qdebug.preprocess``)."""

from __future__ import annotations

from functools import partial

from qdebug.run.kinds.kind import Family, Kind

_kind = partial(Kind, family=Family.INPUT, gate="input")

DIFFERENCES: tuple[Kind, ...] = (
    _kind(
        "QD101",
        "double-normalization",
        title="The input is normalized twice",
        passed="nothing is normalized twice",
        advice="Normalize once: either in the graph or outside. Feed `{spec}`.",
    ),
    _kind(
        "QD102",
        "missing-normalization",
        title="The reference's normalization is not applied",
        passed="the normalization is the reference's",
        advice="Apply the reference's normalization, {reference}. Feed `{spec}`.",
    ),
    _kind(
        "QD103",
        "missing-scale",
        title="0..255 and 0..1 are confused",
        passed="the value range is the reference's",
        advice="Bring the values to the reference's range. Feed `{spec}`.",
    ),
    _kind(
        "QD104",
        "std-not-scaled",
        title="std or mean is of another domain",
        passed="mean and std are in the right domain",
        advice="Give mean and std in the domain of the data: `{numbers}`.",
    ),
    _kind(
        "QD105",
        "mean-std-order",
        title="mean and std stand in the wrong channel order",
        passed="mean and std stand in the right channel order",
        advice="Write mean and std in the order of the tensor's channels: {reference}.",
    ),
    _kind(
        "QD106",
        "channel-order",
        title="R and B are swapped",
        passed="the channels stand in the right order",
        advice="Swap R and B where the picture is read: the reference is {reference}.",
    ),
    _kind(
        "QD107",
        "grayscale",
        title="Gray and colour are confused",
        passed="colour and gray agree",
        advice="Read the picture as {reference}.",
    ),
    _kind(
        "QD108",
        "resize-geometry",
        title="The picture is placed differently",
        passed="the picture is placed as in the reference",
        advice="Place the picture with `{reference}`, not with `{found}`.",
    ),
    _kind(
        "QD109",
        "pad-value",
        title="The border has another value",
        passed="the border has the reference's value",
        advice="Fill the border with {reference} (pixel value), not with {found}.",
    ),
    _kind(
        "QD110",
        "interpolation",
        title="The picture is resized with another filter",
        passed="the resampling filter is the reference's",
        advice="Resize with {reference}, or accept the loss knowingly.",
    ),
    _kind(
        "QD111",
        "layout",
        title="The axes stand in another order",
        passed="the bytes lie as the shape says",
        advice="Bring the bytes into {reference} (they are {found}).",
    ),
    _kind(
        "QD112",
        "row-stride",
        title="Rows are padded to an alignment",
        passed="no row is read with a wrong stride",
        advice="Copy row by row with the stride of the buffer: {found}.",
    ),
    _kind(
        "QD113",
        "flip-rotate",
        title="The picture is mirrored or turned",
        passed="the picture is upright",
        advice="Feed the picture {reference}, not {found}.",
    ),
    _kind(
        "QD114",
        "yuv-range",
        title="The YUV range is read wrongly",
        passed="no YUV range is confused",
        advice="Convert with the {reference} range that the frames are in.",
    ),
    _kind(
        "QD115",
        "yuv-matrix",
        title="The YUV matrix is confused",
        passed="no YUV matrix is confused",
        advice="Convert with {reference}, the standard that the frames are in.",
    ),
    _kind(
        "QD116",
        "integer-offset",
        title="The offset of 128 is wrong",
        passed="the integer offset is right",
        advice="Subtract 128 exactly once: the reference is {reference}.",
    ),
    _kind(
        "QD117",
        "sign-misread",
        title="Signed and unsigned bytes are confused",
        passed="the sign of the bytes is right",
        advice="Read the bytes as {reference}.",
    ),
    _kind(
        "QD118",
        "decoder-difference",
        title="The decoder differs by a few codes",
        passed="the decoder gives the same pixels",
        advice="Nothing to do: differences of this size are benign.",
    ),
    _kind(
        "QD122",
        "gamma",
        title="The pixels went through a tone curve",
        passed="the pixels went through no tone curve",
        advice="Feed the pixels as they are decoded: find the step that changes their curve (an"
        " image signal processor's gamma, a conversion to linear light), or train with it.",
    ),
)
"""What the pipeline that made a tensor can do otherwise than the one that is right.

Their advice may hold ``{spec}``, the pipeline to feed; ``{reference}`` and ``{found}``, what it
should be and what it is; ``{numbers}``, the arithmetic of the right pipeline.
"""

INPUT_KINDS: tuple[Kind, ...] = (
    _kind(
        "QD100",
        "input",
        title="the check of the input crashed",
    ),
    *DIFFERENCES,
    _kind(
        "QD119",
        "not-identifiable",
        title="This picture cannot tell everything",
    ),
    _kind(
        "QD120",
        "normalization-in-graph",
        title="The graph normalizes its input itself",
        passed="The first layers get what the pipelines say",
    ),
    _kind(
        "QD121",
        "calibration-range",
        title="The calibrated input range does not fit what is fed",
        passed="The calibrated input range fits",
    ),
    _kind(
        "QD123",
        "calibration-set",
        title="The calibration set does not fit the pipeline",
        passed="The calibration set is made as the pipeline says",
    ),
)
