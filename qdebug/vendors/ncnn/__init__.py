"""Tencent's ncnn."""

from qdebug.vendors.vendor import Vendor

VENDOR = Vendor(
    __name__,
    name="ncnn",
    title="ncnn",
    place=70,
    dialect=".dialect:DIALECT",
    advice=".advice:ADVICE",
    dumps=".dumps:DUMPS",
    encodings=".encodings:ENCODINGS",
)
