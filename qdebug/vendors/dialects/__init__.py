"""Preprocessing as each toolchain writes it, read into specs and written from them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from qdebug.errors import InputError
from qdebug.preprocess.spec import PreprocessSpec
from qdebug.vendors.dialects.dialect import Dialect, Reading

NAMES = (
    "tpu_mlir",
    "sophgo",
    "horizon",
    "rknn",
    "ncnn",
    "aipp",
    "openvino",
    "ultralytics",
    "huggingface",
    "torchvision",
)
"""The dialects, as written before the colon: ``-p ncnn:"mean=[...] ..."``."""
_ALIASES = {"timm": "huggingface", "hf": "huggingface", "tpu-mlir": "tpu_mlir", "atc": "aipp"}


def dialect(name: str) -> Dialect:
    """Load a dialect by its name."""
    module = import_module(f"qdebug.vendors.dialects.{_ALIASES.get(name, name)}")
    loaded: Dialect = module.DIALECT
    return loaded


def is_dialect(argument: str) -> bool:
    """Whether ``NAME:...`` names a dialect."""
    name = argument.partition(":")[0]
    return ":" in argument and (name in NAMES or name in _ALIASES)


def read(argument: str) -> Reading:
    """Read ``NAME:text`` or ``NAME:file``.

    Raises:
        InputError: the text is not of the dialect, or the file cannot be read.
    """
    name, _, text = argument.partition(":")
    path = Path(text)
    if _is_file(path):
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path.name} cannot be read as text") from error
    elif path.suffix in (".yaml", ".yml", ".json", ".cfg", ".config"):
        raise InputError(f"{text} does not exist")
    try:
        return dialect(name).read(text)
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise InputError(f"the {name} settings are not understood: {error}") from error


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def write_all(spec: PreprocessSpec) -> dict[str, str]:
    """Write a pipeline in each dialect that can express it, by title."""
    written = ((dialect(name).title, dialect(name).write(spec)) for name in NAMES)
    return {title: text for title, text in written if text is not None}


__all__ = ["NAMES", "Dialect", "Reading", "dialect", "is_dialect", "read", "write_all"]
