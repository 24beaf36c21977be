"""Espressif's ESP-PPQ."""

from qdebug.vendors.vendor import Vendor

VENDOR = Vendor(
    __name__,
    name="esp-ppq",
    title="ESP-PPQ",
    aliases=("ppq", "espdl"),
    place=95,
    encodings=".encodings:ENCODINGS",
)
