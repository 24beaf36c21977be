"""ai-edge-quantizer's recipe: known, and refused with the reason.

It chooses bits by regular expressions on LiteRT's tensor names, which keep nothing of ONNX's, and
holds no ranges: those are in the LiteRT file that it makes.
"""

from __future__ import annotations

from qdebug.encodings.source import Source
from qdebug.vendors.encodings import Format, ToolchainEncodings
from qdebug.vendors.readers import without_ranges


def is_recipe(source: Source) -> bool:
    """Whether a file is a recipe."""
    rows = source.json if source.head.lstrip().startswith("[") else None
    return isinstance(rows, list) and bool(rows) and all(map(_is_rule, rows))


def _is_rule(row: object) -> bool:
    return isinstance(row, dict) and {"regex", "operation", "algorithm_key"} <= row.keys()


ENCODINGS = ToolchainEncodings(
    formats=(
        Format(
            "ai-edge-recipe",
            "ai-edge-quantizer recipe",
            is_recipe,
            without_ranges(
                "chooses bits by patterns of LiteRT's names",
                "quantize FLOAT with qdebug quantize --calibrate PICTURES, or give another "
                "toolchain's table",
            ),
        ),
    ),
)
