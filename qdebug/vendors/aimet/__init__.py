"""Qualcomm's AIMET, whose encodings QNN, SNPE and QAIRT take."""

from qdebug.vendors.vendor import Vendor

VENDOR = Vendor(
    __name__,
    name="aimet",
    title="AIMET / QNN",
    aliases=("qnn", "snpe", "qairt"),
    place=25,
    encodings=".encodings:ENCODINGS",
    dumps=".dumps:DUMPS",
)
