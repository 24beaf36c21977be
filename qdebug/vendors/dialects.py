"""Preprocessing as each toolchain writes it, read into specs and written from them."""

from __future__ import annotations

from pathlib import Path

from qdebug.bounds import read_text
from qdebug.errors import InputError, UsageError
from qdebug.preprocess.spec import PreprocessSpec
from qdebug.vendors import registry
from qdebug.vendors.dialect import Dialect, Reading
from qdebug.vendors.vendor import Vendor


def dialect(name: str) -> Dialect:
    """Load a dialect by the name or an alias of its toolchain.

    Raises:
        UsageError: no toolchain of that name has one, or it cannot be loaded.
    """
    vendor = registry.toolchain(name, "dialect")
    if vendor is None:
        known = ", ".join(x.name for x in registry.toolchains("dialect"))
        raise UsageError(f"there is no dialect {name!r}", f"known: {known}")
    loaded: Dialect = registry.load(vendor, "dialect")
    return loaded


def is_dialect(argument: str) -> bool:
    """Whether ``NAME:...`` names a dialect."""
    name, colon, _ = argument.partition(":")
    return bool(colon) and name in registry.names("dialect")


def read(argument: str) -> Reading:
    """Read ``NAME:text`` or ``NAME:file``.

    Raises:
        InputError: the text is not of the dialect, or the file cannot be read.
    """
    name, _, text = argument.partition(":")
    path = Path(text)
    if _is_file(path):
        try:
            text = read_text(path, InputError, "utf-8-sig")
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
    """Write a pipeline in each dialect that can express it, by title.

    Dialects that cannot be loaded are left out.
    """
    known: list[tuple[Vendor, Dialect]] = registry.loaded("dialect")
    written = ((dialect.title, dialect.write(spec)) for _, dialect in known)
    return {title: text for title, text in written if text is not None}
