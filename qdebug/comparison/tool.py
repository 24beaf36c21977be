"""What computed a run: versions, processor, providers."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import numpy as np
import onnx

from qdebug._version import __version__
from qdebug.capture.session import PROVIDERS
from qdebug.run.model import ToolInfo

_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm", "sve")
"""Instruction sets that decide how integer products are computed."""


def tool_info(providers: tuple[str, str]) -> ToolInfo:
    """Describe this installation and machine."""
    import onnxruntime

    return ToolInfo(
        version=__version__,
        onnxruntime=onnxruntime.__version__,
        onnx=onnx.__version__,
        numpy=np.__version__,
        python=".".join(map(str, sys.version_info[:3])),
        cpu=cpu_name(),
        cpu_flags=cpu_flags(),
        providers=(PROVIDERS[providers[0]], PROVIDERS[providers[1]]),
    )


def cpu_name() -> str:
    """Model name of the processor."""
    names = [v for k, v in _cpuinfo() if k in ("model name", "Processor")]
    return names[0] if names else platform.processor() or platform.machine()


def cpu_flags() -> tuple[str, ...]:
    """Those of the processor's instruction sets that matter here; empty where not known."""
    flags = {flag for k, v in _cpuinfo() if k in ("flags", "Features") for flag in v.split()}
    return tuple(flag for flag in _FLAGS if flag in flags)


def _cpuinfo() -> list[tuple[str, str]]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    parts = (line.partition(":") for line in text.splitlines())
    return [(key.strip(), value.strip()) for key, _, value in parts]
