"""What every reporter shares: a name for its files, and writing them safely."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from qdebug.errors import RunError, UsageError
from qdebug.run.atomic import write_whole
from qdebug.run.model import Run


class Reporter(ABC):
    """Renders a run in one form.

    Attributes:
        suffixes: file name endings, lower case with their dot, that ask for this form.
    """

    suffixes: tuple[str, ...] = ()

    @abstractmethod
    def render(self, run: Run) -> str | bytes:
        """The whole report. Equal runs give equal reports."""

    def write(self, run: Run, path: Path, force: bool = False) -> Path:
        """Write the report to a file, whole or not at all.

        Raises:
            UsageError: the file exists and ``force`` is false.
            RunError: the file cannot be written.
        """
        return write_file(path, self.render(run), force)


def write_file(path: Path, content: str | bytes, force: bool = False) -> Path:
    """Write a file by way of a temporary name; text as UTF-8 with Unix line ends.

    Raises:
        UsageError: the file exists and ``force`` is false, or is a folder.
        RunError: the file cannot be written.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder", "give the name of a file")
    if path.exists() and not force:
        raise UsageError(f"{path} exists already", "use --force to replace it")
    data = content.encode() if isinstance(content, str) else content
    try:
        write_whole(path, data)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
    return path
