"""What compiled loops do with addresses: read what is behind one, ask for it before it is read."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _behind(typingctx: Any, address: Any) -> Any:  # noqa: ARG001 - numba hands both
    """What ``numba.carray`` takes, for an integer that says where values begin."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), generate


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _ask_for(typingctx: Any, address: Any) -> Any:  # noqa: ARG001 - numba hands both
    """Have the processor fetch a line of memory that will be read; any address will do."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        number, nothing = ir.IntType(32), ir.VoidType()
        takes = ir.FunctionType(nothing, [cgutils.voidptr_t, number, number, number])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [cgutils.voidptr_t], takes)
        to_read, nearest_cache, of_data = number(0), number(3), number(1)
        place = builder.inttoptr(arguments[0], cgutils.voidptr_t)
        builder.call(prefetch, [place, to_read, nearest_cache, of_data])
        return context.get_dummy_value()

    return types.void(address), generate


behind: Any = _behind
ask_for: Any = _ask_for
"""As compiled code calls them, with the address alone."""
