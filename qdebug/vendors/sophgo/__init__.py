"""Sophgo's older ``ufw.cali``, before TPU-MLIR."""

from qdebug.vendors.vendor import Vendor

VENDOR = Vendor(
    __name__,
    name="sophgo",
    title="Sophgo",
    place=40,
    dialect=".dialect:DIALECT",
)
