"""Horizon's and D-Robotics' ``hb_mapper``."""

from qdebug.vendors.vendor import Vendor

VENDOR = Vendor(
    __name__,
    name="horizon",
    title="Horizon",
    place=60,
    dialect=".dialect:DIALECT",
    advice=".advice:ADVICE",
    dumps=".dumps:DUMPS",
    encodings=".encodings:ENCODINGS",
)
