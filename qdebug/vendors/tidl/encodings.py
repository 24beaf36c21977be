"""TIDL: the list of tensors with 16 bits.

Source: TI's options of its ONNX Runtime provider. The ranges prototxt is not read: no file of the
vendor's own was at hand, and what its fields mean could not be held against anything.
"""

from __future__ import annotations

from qdebug.errors import UsageError
from qdebug.vendors.encodings import Change, ToolchainEncodings, Writer, Written

_ABLE = frozenset({"Conv", "BatchNormalization", "AveragePool", "GlobalAveragePool", "Add", "Mul"})
"""What can be given another precision; others follow what is before them."""


def write_wide(change: Change) -> Written:
    """``output_feature_16bit_names_list``: tensors of the original model, commas between."""
    if not change.keep:
        raise UsageError("nothing is to be kept out of 8 bits: there is nothing to write")
    names = [layer.tensor for layer in change.keep if layer.op in _ABLE]
    left = len(change.keep) - len(names)
    if not names:
        raise UsageError(
            "TIDL gives no other precision to these operators: they follow what is before them"
        )
    split = next((name for name in names if "," in name), None)
    if split is not None:
        raise UsageError(f"the tensor {split!r} has a comma in its name, which separates names")
    notes = [f"{left} layers follow what is before them and are left out"] if left else []
    if change.ranges:
        notes.append(f"{len(change.ranges)} better ranges are left out")
    text = f"advanced_options:output_feature_16bit_names_list = {', '.join(names)}\n"
    return Written(text.encode(), tuple(notes))


ENCODINGS = ToolchainEncodings(
    writers=(Writer("16bit", "TIDL 16-bit list", (".txt",), write_wide),),
)
