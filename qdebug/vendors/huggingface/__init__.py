"""Hugging Face and timm, hubs of models."""

from qdebug.vendors.vendor import Vendor

VENDOR = Vendor(
    __name__,
    name="huggingface",
    title="Hugging Face",
    aliases=("timm", "hf"),
    place=110,
    dialect=".dialect:DIALECT",
)
