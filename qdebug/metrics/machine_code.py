"""Compiled loops that are kept as machine code, so that a later process needs no numba for them.

numba compiles them, in some seconds. llvmlite, on which numba stands, makes one object file of what
it compiled, and loads that in a few milliseconds; importing numba takes ten times as long and
60 MiB. Compiling takes 150 MiB: it may be left to a process of its own. Loops that cannot be kept,
because something in them needs numba while it runs or llvmlite has changed, are called where numba
compiled them, in that process.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import importlib
import importlib.metadata
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from qdebug import interrupts

Function = Callable[..., None]

ADDRESS, SIZE, REAL = "pnd"
"""Kinds of parameters: of values in memory, a signed integer as wide, a float64."""

_CTYPES = {ADDRESS: ctypes.c_void_p, SIZE: ctypes.c_ssize_t, REAL: ctypes.c_double}
_CALLED = ("memcpy", "memmove", "memset", "rint")
"""Of LLVM's own operations these may become calls of the C library, which any process has."""
_UNFIT = (AttributeError, LookupError, NameError, OSError, RuntimeError, TypeError, ValueError)
"""What llvmlite raises where it cannot, or where another version does it otherwise."""
_LONGEST_S = 300
"""Seconds after which a process that compiles is given up; it takes some ten."""
_LOOKED_S = 0.2
"""Seconds between two looks at whether to give it up."""
_HELD: list[Any] = []
"""What numba compiled and is called, for as long as this process lives."""


@dataclass(frozen=True)
class Loops:
    """Functions to be compiled.

    Attributes:
        module: in which they are; imported only to compile them. It has ``OPTIONS`` for numba.
        parameters: of each function, by its name, one letter for each: ``ADDRESS``, ``SIZE`` or
            ``REAL``. They return nothing.
        made_of: other modules of which something is compiled into them.
    """

    module: str
    parameters: Mapping[str, str]
    made_of: tuple[str, ...] = ()

    def functions(self, addresses: Iterable[int]) -> dict[str, Function]:
        """The functions, to be called with Python's numbers; other threads run meanwhile.

        Args:
            addresses: of their machine code, in the order of the parameters.
        """
        return {
            name: ctypes.CFUNCTYPE(None, *map(_CTYPES.__getitem__, kinds))(address)
            for (name, kinds), address in zip(self.parameters.items(), addresses, strict=True)
        }


def load(loops: Loops, *, apart: bool = False) -> dict[str, Function]:
    """The functions by their names, compiled now if nothing fitting was kept.

    Args:
        loops: the functions.
        apart: compile them in another process, if that can be.
    """
    names = list(loops.parameters)
    try:
        key = _key(loops)
    except OSError:  # without its source
        key = None
    kept = key and _kept(loops, key)
    if key and not kept and apart:
        kept = _made_apart(loops, key)
        if kept:
            _keep(loops, key, kept)
    if kept:
        return loops.functions(_linked(kept, names))
    compiled = _compiled(loops)
    try:
        code = _object_code(dict(zip(names, compiled, strict=True)))
        functions = loops.functions(_linked(code, names))
    except _UNFIT:
        _HELD.append(compiled)
        return loops.functions(function.address for function in compiled)
    if key:
        _keep(loops, key, code)
    return functions


def _made_apart(loops: Loops, key: bytes) -> bytes | None:
    """The object code as another process compiles it; None where it cannot.

    Raises:
        KeyboardInterrupt: A signal has arrived that asks to stop.
    """
    interrupts.check()
    if not sys.executable or getattr(sys, "frozen", False):
        return None  # then a program is at its place that is not Python
    # The same path as here: without one, Python would look in the working directory first.
    lines = (
        f"import sys; sys.path[:] = {sys.path!r}",
        f"from {__name__} import Loops, send",
        f"send({loops!r})",
    )
    try:
        told = _told_by([sys.executable, "-c", "\n".join(lines)])
    except OSError:
        return None
    interrupts.check()
    return _unsealed(told, key)


def _told_by(command: list[str]) -> bytes:
    """What a program writes; nothing if it takes too long, or this process is asked to stop.

    Raises:
        OSError: It cannot be started.
    """
    import subprocess

    nothing, end = subprocess.DEVNULL, time.monotonic() + _LONGEST_S
    with subprocess.Popen(command, stdin=nothing, stdout=subprocess.PIPE, stderr=nothing) as other:
        try:
            while not interrupts.arrived() and time.monotonic() < end:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return other.communicate(timeout=_LOOKED_S)[0]
        finally:
            other.kill()
    return b""


def send(loops: Loops) -> None:
    """Compile, and write the object code to the standard output; for ``load`` in another process.

    Raises:
        OSError: The source is not there.
        ValueError: Something in the loops needs numba while it runs.
    """
    compiled = dict(zip(loops.parameters, _compiled(loops), strict=True))
    code = _object_code(compiled)
    sys.stdout.buffer.write(_seal(_key(loops), code) + code)


def _key(loops: Loops) -> bytes:
    """Of everything that the machine code depends on."""
    try:
        numba = importlib.metadata.version("numba")
    except importlib.metadata.PackageNotFoundError:
        numba = ""
    made_by = (numba, llvmlite.__version__, llvm.llvm_version_info)
    made_for = (llvm.get_process_triple(), llvm.get_host_cpu_name(), _features(), sys.maxsize)
    key = hashlib.sha256(repr((made_by, made_for, sorted(loops.parameters.items()))).encode())
    for module in (__name__, loops.module, *loops.made_of):
        key.update(_source(module))
    return key.digest()


def _features() -> str:
    """Of this processor; none where LLVM does not know them."""
    try:
        features: str = llvm.get_host_cpu_features().flatten()
    except RuntimeError:
        return ""
    return features


def _source(module: str) -> bytes:
    """The text of a module, which is not imported for it.

    Raises:
        OSError: There is none.
    """
    spec = find_spec(module)
    get_data = getattr(spec and spec.loader, "get_data", None)
    if spec is None or spec.origin is None or get_data is None:
        raise FileNotFoundError(module)
    text: bytes = get_data(spec.origin)
    return text


def _places(loops: Loops, key: bytes) -> Iterable[Path]:
    """Files in which the machine code may lie, the best first: where numba keeps its own, too."""
    name = f"{loops.module}-{key.hex()[:16]}.machine-code"
    given = os.environ.get("NUMBA_CACHE_DIR")
    if given:
        yield Path(given, name)
        return
    spec = find_spec(loops.module)
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent / "__pycache__" / name
    from platformdirs import user_cache_path

    yield user_cache_path("qdebug", appauthor=False) / name


def _kept(loops: Loops, key: bytes) -> bytes | None:
    """The object code that was kept; None of none, and of a damaged one."""
    for place in _places(loops, key):
        with contextlib.suppress(OSError):
            code = _unsealed(place.read_bytes(), key)
            if code is not None:
                return code
    return None


def _keep(loops: Loops, key: bytes, code: bytes) -> None:
    """Keep object code in the first place that can be written to, if there is one."""
    for place in _places(loops, key):
        with contextlib.suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            new = place.with_name(f"{place.name}.{secrets.token_hex(4)}")
            try:
                new.write_bytes(_seal(key, code) + code)
                new.replace(place)
            finally:
                new.unlink(missing_ok=True)
            return


def _seal(key: bytes, code: bytes) -> bytes:
    return hashlib.sha256(key + code).digest()


def _unsealed(data: bytes, key: bytes) -> bytes | None:
    """Object code without its seal; None where that is another one's."""
    code = data[hashlib.sha256().digest_size :]
    return code if data.startswith(_seal(key, code)) else None


@functools.cache
def _target() -> Any:
    """What LLVM compiles for in this process."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_triple(llvm.get_process_triple())


def _linked(code: bytes, names: Iterable[str]) -> list[int]:
    """The addresses of functions in object code, which stays loaded.

    Raises:
        RuntimeError: llvmlite cannot load it.
    """
    machine = _target().create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    addresses = [engine.get_function_address(name) for name in names]
    if not all(addresses):
        raise RuntimeError("a function is missing")
    engine.detach()  # not freed: a thread may still be in a loop when the interpreter ends
    return addresses


def _compiled(loops: Loops) -> list[Any]:
    """The functions as numba's C callbacks."""
    import numba

    types = {ADDRESS: numba.types.voidptr, SIZE: numba.types.intp, REAL: numba.types.float64}
    with _as_wanted(numba.config):
        module = importlib.import_module(loops.module)
        return [
            numba.cfunc(numba.types.void(*map(types.__getitem__, kinds)), **module.OPTIONS)(
                getattr(module, name)
            )
            for name, kinds in loops.parameters.items()
        ]


@contextlib.contextmanager
def _as_wanted(config: Any) -> Iterator[None]:
    """Have numba compile, and use vectors as wide as the processor has.

    LLVM leaves those of 512 bits alone, since a processor may slow down for them: what surrounds
    the loops, ONNX Runtime's own, uses them all the time. ``NUMBA_DISABLE_JIT`` is for whoever
    debugs loops of his own; these are machine code or nothing.
    """
    config.reload_config()  # or the compiler does, where the environment has changed
    before = config.CPU_FEATURES, config.DISABLE_JIT
    features = _features()
    if config.CPU_FEATURES is None and config.ENABLE_AVX and "+avx512f" in features:
        config.CPU_FEATURES = f"{features},-prefer-256-bit"
    config.DISABLE_JIT = 0
    try:
        yield
    finally:
        config.CPU_FEATURES, config.DISABLE_JIT = before


def _object_code(functions: Mapping[str, Any]) -> bytes:
    """One object file of functions that numba compiled, which needs nothing of numba.

    Raises:
        ValueError: One of them needs something.
    """
    machine = _machine()
    whole = llvm.parse_assembly("")
    whole.triple, whole.data_layout = llvm.get_process_triple(), str(machine.target_data)
    for name, function in functions.items():
        part = llvm.parse_assembly(function.inspect_llvm())
        part.get_function(function.native_name).name = name
        whole.link_in(part)
    for value in (*whole.functions, *whole.global_variables):
        if not value.is_declaration and value.name not in functions:
            value.linkage = "internal"
    _fold(whole, machine)
    _check(whole)
    code: bytes = machine.emit_object(whole)
    return code


def _machine() -> Any:
    """This machine, for code as fast as numba's."""
    target = _target()
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=_features(),
        opt=3,
        reloc="static" if target.name.startswith("x86") else "default",  # as numba does
        jit=True,
    )


def _fold(module: Any, machine: Any) -> None:
    """Inline what has one caller and take out what is not reached: how Python is told of errors.

    The loops have been made fast by numba before.
    """
    options = llvm.create_pipeline_tuning_options(speed_level=1)
    options.loop_vectorization = options.slp_vectorization = False
    options.loop_unrolling = options.loop_interleaving = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)


def _check(module: Any) -> None:
    """Raise where something is needed that not every process has: LLVM would end the process."""
    names = [v.name for v in (*module.functions, *module.global_variables) if v.is_declaration]
    foreign = [name for name in names if not name.startswith("llvm.") and name not in _CALLED]
    used = {name.removeprefix("llvm.").split(".")[0] for name in names}
    foreign += [name for name in used & set(_CALLED) if llvm.address_of_symbol(name) is None]
    if foreign:
        raise ValueError(f"needs {', '.join(foreign)}")
