"""Caffe's ``Datum`` records in an LMDB, as Sophgo's ``--cali_lmdb`` takes them.

Caffe's ``convert_imageset``, which Sophgo ships, writes one record a picture: bytes or floats in
[channels, height, width], B, G, R as OpenCV reads, or the encoded file. Fields and numbers are
those of ``message Datum`` in ``caffe.proto``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdebug.errors import InputError
from qdebug.preprocess.decode import decode_bytes
from qdebug.preprocess.steps import Decode

DATABASE = "data.mdb"
_FIELDS = (
    ("channels", 1, "TYPE_INT32", "LABEL_OPTIONAL"),
    ("height", 2, "TYPE_INT32", "LABEL_OPTIONAL"),
    ("width", 3, "TYPE_INT32", "LABEL_OPTIONAL"),
    ("data", 4, "TYPE_BYTES", "LABEL_OPTIONAL"),
    ("label", 5, "TYPE_INT32", "LABEL_OPTIONAL"),
    ("float_data", 6, "TYPE_FLOAT", "LABEL_REPEATED"),
    ("encoded", 7, "TYPE_BOOL", "LABEL_OPTIONAL"),
)


def read_lmdb(folder: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the key and the tensor [1, channels, height, width] of every record, in order of keys.

    Args:
        folder: the database's folder, which holds ``data.mdb``.

    Raises:
        InputError: the package ``lmdb`` is missing, or the database or a record cannot be read.
    """
    try:
        import lmdb
    except ImportError as error:
        raise InputError(
            f"{folder.name} is an LMDB, and the package lmdb is not installed",
            "pip install 'qdebug[lmdb]'",
        ) from error
    try:
        with (
            lmdb.open(str(folder), readonly=True, lock=False, create=False) as database,
            database.begin() as transaction,
        ):
            for key, value in transaction.cursor():
                name = f"{folder.name}[{key.decode('utf-8', 'replace')}]"
                yield name, decode_datum(bytes(value), name)
    except lmdb.Error as error:
        raise InputError(f"{folder.name} cannot be read as an LMDB: {error}") from error


def decode_datum(record: bytes, name: str) -> NDArray[Any]:
    """Decode one record to [1, channels, height, width], uint8 or float32.

    Raises:
        InputError: it is no ``Datum`` that holds a picture.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    datum = _message()()
    try:
        datum.ParseFromString(record)
    except DecodeError as error:
        raise InputError(f"{name} is no Datum record") from error
    if datum.encoded:
        picture = decode_bytes(datum.data, Decode("cv2", exif=False), name)
        return np.ascontiguousarray(picture.transpose(2, 0, 1)[None])
    shape = (1, datum.channels, datum.height, datum.width)
    values = (
        np.array(datum.float_data, np.float32)
        if datum.float_data
        else np.frombuffer(datum.data, np.uint8)
    )
    if not values.size or values.size != int(np.prod(shape)):
        raise InputError(
            f"{name} says {datum.channels}x{datum.height}x{datum.width} and holds {values.size}"
            " values",
            "make the database again with the toolchain's own tool",
        )
    return values.reshape(shape)


@cache
def _message() -> Any:
    """The message's class, made of its description."""
    from google.protobuf import (  # type: ignore[import-untyped]
        descriptor_pb2,
        descriptor_pool,
        message_factory,
    )

    kind = descriptor_pb2.FieldDescriptorProto
    fields = [
        kind(name=name, number=number, type=getattr(kind, type_), label=getattr(kind, label))
        for name, number, type_, label in _FIELDS
    ]
    file = descriptor_pb2.FileDescriptorProto(
        name="qdebug/datum.proto",
        package="qdebug",
        syntax="proto2",
        message_type=[descriptor_pb2.DescriptorProto(name="Datum", field=fields)],
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("qdebug.Datum"))
