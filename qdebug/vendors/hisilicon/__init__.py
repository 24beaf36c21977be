"""HiSilicon's SVP_NNN, with its ``atc``."""

from qdebug.vendors.vendor import Vendor

VENDOR = Vendor(
    __name__,
    name="hisilicon",
    title="HiSilicon SVP",
    aliases=("svp", "svp_nnn"),
    place=85,
    encodings=".encodings:ENCODINGS",
)
