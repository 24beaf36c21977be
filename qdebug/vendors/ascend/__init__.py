"""Ascend's and HiSilicon's ``atc``, with its AIPP."""

from qdebug.vendors.vendor import Vendor

VENDOR = Vendor(
    __name__,
    name="ascend",
    title="Ascend",
    aliases=("aipp", "atc"),
    place=80,
    dialect=".dialect:DIALECT",
    dumps=".dumps:DUMPS",
    encodings=".encodings:ENCODINGS",
)
