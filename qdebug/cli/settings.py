"""The configuration of a command: ``--config``, or the file that holds in this folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qdebug.errors import UsageError

if TYPE_CHECKING:
    from qdebug.config import Config

NONE = "none"


def read_config(argument: str | None) -> Config:
    """The configuration that holds.

    Args:
        argument: the value of ``--config``.

    Raises:
        UsageError: the file is not there, or not understood.
    """
    from qdebug.config import Config, find_config, load_config

    if argument == NONE:
        return Config()
    if argument is None:
        return load_config(find_config(Path.cwd()))
    if not Path(argument).is_file():
        raise UsageError(f"{argument} is not a file", "--config names a qdebug.toml")
    return load_config(Path(argument))
