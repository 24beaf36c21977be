"""torchvision, the models of PyTorch."""

from qdebug.vendors.vendor import Vendor

VENDOR = Vendor(
    __name__,
    name="torchvision",
    title="torchvision",
    place=120,
    dialect=".dialect:DIALECT",
)
