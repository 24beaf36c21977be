"""Google's LiteRT, formerly TensorFlow Lite."""

from qdebug.vendors.vendor import Vendor

VENDOR = Vendor(
    __name__,
    name="litert",
    title="LiteRT",
    aliases=("tflite",),
    place=75,
    dumps=".dumps:DUMPS",
)
