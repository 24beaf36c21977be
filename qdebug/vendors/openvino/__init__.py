"""Intel's OpenVINO."""

from qdebug.vendors.vendor import Vendor

VENDOR = Vendor(
    __name__,
    name="openvino",
    title="OpenVINO",
    place=90,
    dialect=".dialect:DIALECT",
    encodings=".encodings:ENCODINGS",
)
