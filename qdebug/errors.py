"""Errors that qdebug raises on purpose, and the exit codes they lead to.

``QdebugError``
├── ``UsageError``        the request itself cannot be carried out as given
├── ``InputError``        an image, a tensor file or a preprocessing spec is unusable
├── ``EncodingsError``    a file that says how a model is quantized is unusable
├── ``ModelError``        a graph cannot be read, or ONNX Runtime cannot run it
├── ``PairingError``      the two graphs have nothing in common to compare
└── ``RunError``          a stored run cannot be read or written

Each carries one sentence for the user and a hint at what to do next.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the ``qdebug`` command."""

    PASS = 0
    """Pass, or only warnings."""
    FAILED = 1
    """A check or a threshold failed."""
    NO_VERDICT = 2
    """No verdict was possible: bad usage, unreadable input, nothing paired, internal error."""
    INTERRUPTED = 130
    """Stopped by the user (Ctrl-C)."""


class QdebugError(Exception):
    """A problem the user can act on.

    Args:
        message: one sentence, without a final period, that names the file or value at fault.
        hint: what to do about it; None for what helps with most problems of this kind.
    """

    exit_code = ExitCode.NO_VERDICT
    usual_hint: str | None = None

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.usual_hint


class UsageError(QdebugError):
    """The request cannot be carried out as given."""

    usual_hint = "qdebug COMMAND --help shows what the command takes, with examples"


class InputError(QdebugError):
    """An image, a tensor file or a preprocessing spec is unusable."""

    usual_hint = "qdebug compare --help shows what INPUT and a pipeline can be"


class EncodingsError(QdebugError):
    """A file that says how a model is quantized is unusable."""

    usual_hint = "write it again with the toolchain, or name its format with --quant-format"


class ModelError(QdebugError):
    """A graph cannot be read, or ONNX Runtime cannot run it."""

    usual_hint = "export or copy the model again, and try it in ONNX Runtime alone"


class PairingError(QdebugError):
    """No tensor of the float graph has a counterpart in the quant graph."""

    usual_hint = "make sure that the quant model was made from this float model"


class RunError(QdebugError):
    """A stored run cannot be read or written."""

    usual_hint = "write it again: qdebug compare makes a run, qdebug report its other forms"
