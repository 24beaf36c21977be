"""NVIDIA's TensorRT, with ModelOpt as its quantizer."""

from qdebug.vendors.vendor import Vendor

VENDOR = Vendor(
    __name__,
    name="tensorrt",
    title="TensorRT",
    aliases=("trt",),
    place=20,
    advice=".advice:ADVICE",
    encodings=".encodings:ENCODINGS",
)
