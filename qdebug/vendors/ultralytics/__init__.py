"""Ultralytics, the exporter of YOLO models."""

from qdebug.vendors.vendor import Vendor

VENDOR = Vendor(
    __name__,
    name="ultralytics",
    title="Ultralytics",
    place=100,
    dialect=".dialect:DIALECT",
)
