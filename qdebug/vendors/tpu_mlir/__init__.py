"""Sophgo's TPU-MLIR."""

from qdebug.vendors.vendor import Vendor

VENDOR = Vendor(
    __name__,
    name="tpu-mlir",
    title="TPU-MLIR",
    aliases=("tpu_mlir", "sophgo"),
    place=30,
    dialect=".dialect:DIALECT",
    advice=".advice:ADVICE",
    dumps=".dumps:DUMPS",
    encodings=".encodings:ENCODINGS",
)
