"""TI's TIDL."""

from qdebug.vendors.vendor import Vendor

VENDOR = Vendor(
    __name__,
    name="tidl",
    title="TI TIDL",
    aliases=("ti",),
    place=96,
    encodings=".encodings:ENCODINGS",
    dumps=".dumps:DUMPS",
)
