"""Rockchip's RKNN-Toolkit2."""

from qdebug.vendors.vendor import Vendor

VENDOR = Vendor(
    __name__,
    name="rknn",
    title="RKNN",
    aliases=("rockchip",),
    place=50,
    dialect=".dialect:DIALECT",
    advice=".advice:ADVICE",
    dumps=".dumps:DUMPS",
    encodings=".encodings:ENCODINGS",
)
