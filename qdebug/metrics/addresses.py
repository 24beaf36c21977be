"""Addresses that compiled loops find in an array, in place of being handed them one by one."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _behind(typingctx: Any, address: Any) -> Any:  # noqa: ARG001 - numba hands both
    """What ``numba.carray`` takes, for an integer that says where values begin."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), generate


behind: Any = _behind
"""As compiled code calls it, with the address alone."""
