"""Axera's Pulsar2."""

from qdebug.vendors.vendor import Vendor

VENDOR = Vendor(
    __name__,
    name="axera",
    title="Axera Pulsar2",
    aliases=("pulsar2",),
    place=97,
    encodings=".encodings:ENCODINGS",
    dumps=".dumps:DUMPS",
)
