"""VeriSilicon's ACUITY (pegasus), and the toolkits that are made of it."""

from qdebug.vendors.vendor import Vendor

VENDOR = Vendor(
    __name__,
    name="acuity",
    title="VeriSilicon ACUITY",
    aliases=("pegasus", "verisilicon"),
    place=88,
    encodings=".encodings:ENCODINGS",
)
