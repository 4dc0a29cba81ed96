"""What every processor promises, as checks that fail with an AssertionError.

They need no test framework. In a test of a processor of your own::

    from camagick.testing import check_processor


    def test_contract():
        check_processor(lambda: Processor("sum"), {"x": np.arange(5.0)})
"""

from __future__ import annotations

import asyncio
import inspect
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from camagick.data import Data
from camagick.errors import CamagickError
from camagick.processor import EndOfData, ProcessorBase

#: What may be loaded by the mere import of a processor, besides Python's own library.
LIGHT = frozenset({"camagick", "camagick_broker", "caspy", "numpy", "__main__"})

#: Audit events (see the documentation of `sys.audit`) that mean: something outside was touched.
OUTSIDE = ("open", "os.mkdir", "os.remove", "os.rename", "shutil.", "socket.", "subprocess.")

Sample = Mapping[str, Any]


def _promise(kept: bool, message: str) -> None:
    """Fail unless `kept`; an `assert` would be left out by ``python -O``."""
    if not kept:
        raise AssertionError(message)


def check_processor(make: Callable[[], ProcessorBase], *samples: Sample) -> None:
    """Check that a processor keeps its contract.

    Parameters
    ----------
    make
        Makes a new one, ready for `startup`.
    *samples
        Data to hand to it, one iteration each. Empty data comes first, whatever is given here.

    Raises
    ------
    AssertionError
        When a promise is broken.
    """
    with _watching_outside() as touched:
        node = make()
    _promise(not touched, f"{_name(node)}: its constructor touched the outside: {touched}")
    check_class(type(node))
    _check_attributes(node)
    asyncio.run(_check_runs(make, samples))


def check_class(cls: type[ProcessorBase]) -> None:
    """Check what can be seen without making a processor: its help and its signature.

    Parameters
    ----------
    cls
        The class.

    Raises
    ------
    AssertionError
        When something is missing.
    """
    where = f"{cls.__module__}.{cls.__name__}"
    _promise(issubclass(cls, ProcessorBase), f"{where} is no ProcessorBase")
    text = inspect.cleandoc(cls.__dict__.get("__doc__") or "")
    first = text.partition("\n")[0]
    _promise(bool(first), f"{where} has no help: its docstring")
    _promise(first.endswith("."), f"{where}: no full stop in the first line of its help")
    flag = cls.__module__.rpartition(".")[2] if cls.__name__ == "Processor" else ""
    _promise("_" not in flag, f"{where}: a flag has no underscore")

    documented = documented_parameters(text)
    parameters = _parameters(cls)
    for name, parameter in parameters.items():
        _promise(name in documented, f"{where}: parameter {name} is not in its help")
        annotated = parameter.annotation is not inspect.Parameter.empty
        _promise(annotated, f"{where}: parameter {name} has no annotation")
    surplus = [name for name in documented if name not in parameters]
    _promise(not surplus, f"{where}: its help tells of parameters it does not have: {surplus}")
    either = [name for name in ("process", "__call__") if _overrides(cls, name)]
    _promise(len(either) == 1, f"{where} implements {either}, not one of process and __call__")


def documented_parameters(text: str) -> list[str]:
    """Return the names in the Parameters section of a docstring in numpy's style."""
    lines = text.splitlines()
    names: list[str] = []
    inside = False
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if below and set(below) == {"-"}:
            inside = line.strip() == "Parameters"
        elif inside and line and not line.startswith((" ", "-")):
            names += [name.strip(" *") for name in line.partition(" :")[0].split(",")]
    return names


def heavy_imports(modules: Sequence[str]) -> dict[str, list[str]]:
    """Import modules one after the other in a fresh interpreter, and tell what else they load.

    Parameters
    ----------
    modules
        Names of modules.

    Returns
    -------
    dict
        For each module, the packages from outside of `LIGHT` and of Python's own library that it
        was the first to load.
    """
    code = (
        "import importlib, json, sys\n"
        "import numpy\n"
        "found, before = {}, set(sys.modules)\n"
        "for name in json.loads(sys.argv[1]):\n"
        "    importlib.import_module(name)\n"
        "    found[name] = sorted({m.partition('.')[0] for m in set(sys.modules) - before})\n"
        "    before = set(sys.modules)\n"
        "print(json.dumps(found))\n"
    )
    done = subprocess.run(  # noqa: S603 - this interpreter, with the code above
        [sys.executable, "-c", code, json.dumps(list(modules))],
        check=True,
        capture_output=True,
        text=True,
        env=_environment(),
    )
    light = LIGHT | set(sys.stdlib_module_names)
    found = json.loads(done.stdout)
    return {name: [top for top in found[name] if top not in light] for name in modules}


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def _parameters(cls: type) -> dict[str, inspect.Parameter]:
    if cls.__init__ is object.__init__:  # type: ignore[misc] # only compared
        return {}
    parameters = inspect.signature(cls.__init__).parameters  # type: ignore[misc] # only read
    return {name: parameter for name, parameter in parameters.items() if name != "self"}


def _overrides(cls: type, name: str) -> bool:
    return getattr(cls, name) is not getattr(ProcessorBase, name)


def _name(node: ProcessorBase) -> str:
    return f"{type(node).__module__}.{type(node).__name__}"


def _check_attributes(node: ProcessorBase) -> None:
    where = _name(node)
    module = type(node).__module__
    if type(node).__name__ == "Processor":
        _promise(node.name == module.rpartition(".")[2], f"{where}: is called {node.name!r}")
    _promise(bool(node.label), f"{where} has an empty label")
    _promise(node.role in {"source", "pipe", "sink"}, f"{where}: role={node.role!r}")
    folder = module.rpartition(".")[0].rpartition(".")[2]
    if module.startswith("camagick.") and folder in {"source", "pipe", "sink"}:
        _promise(node.role == folder, f"{where}: is in {folder}, with role={node.role!r}")
    _promise(
        node.synchronous == _overrides(type(node), "process"), f"{where}: synchronous is wrong"
    )
    _promise(not (node.paces and node.role == "source"), f"{where}: a source always paces")
    for name in ("requires", "services"):
        words = getattr(node, name)
        right = isinstance(words, tuple) and all(isinstance(word, str) for word in words)
        _promise(right, f"{where}: {name}={words!r} is not a tuple of names")
    _promise(bool(node.extra or not node.requires), f"{where}: which extra brings {node.requires}?")
    for name in ("paces", "keeps_frames", "keeps_attributes", "stateful"):
        _promise(isinstance(getattr(node, name), bool), f"{where}: {name} is not True or False")


async def _check_runs(make: Callable[[], ProcessorBase], samples: Sequence[Sample]) -> None:
    node = make()
    await node.shutdown()  # a neighbour failed to start: nothing was opened here

    node = make()
    failed: Exception | None = None
    await node.startup()
    try:
        for sample in ({}, *samples):
            await _check_call(node, sample)
    except (CamagickError, EndOfData) as error:
        failed = error
    finally:
        await node.shutdown()  # also after a call that failed
    _promise(failed is None, f"{_name(node)} fails with the samples: {failed!r}")


async def _check_call(node: ProcessorBase, sample: Sample) -> None:
    where = _name(node)
    data, context = Data(_frozen(sample)), Data({"known": 1})
    given, marks = dict(data), dict(data.marks)
    copies = {tag: np.array(value, copy=True) for tag, value in data.items()}

    wait = node.due()
    _promise(isinstance(wait, (int, float)), f"{where}: due() returned {wait!r}")
    _promise(wait >= 0, f"{where}: due() returned {wait!r}")
    try:
        made = node.process(data, context) if node.synchronous else await node(data, context)
    except ValueError as error:
        if "read-only" in str(error.__cause__ or error):
            raise AssertionError(f"{where} writes into an array that it was given") from error
        raise
    _promise(_is_result(made), f"{where} returned {made!r}, neither a mapping of tags nor None")
    same = list(data) == list(given) and _same(data, given) and _same(data.marks, marks)
    _promise(same, f"{where} changed the data that it was given in place")
    for tag, copy in copies.items():
        _promise(np.array_equal(copy, given[tag]), f"{where} wrote into the value of {tag}")
    if node.role == "source":
        double = set(made or {}) & set(sample)
        _promise(not double, f"{where} returns {double} too: a source returns its own tags")


def _is_result(made: Any) -> bool:
    if made is None:
        return True
    return isinstance(made, Mapping) and all(isinstance(tag, str) for tag in made)


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(one[tag] is other[tag] for tag in one)


def _frozen(sample: Sample) -> dict[str, Any]:
    """Return a sample with arrays that cannot be written to, as on the bus."""
    frozen = {}
    for tag, value in sample.items():
        if isinstance(value, np.ndarray):
            value = value.copy()
            value.flags.writeable = False
        frozen[tag] = value
    return frozen


class _Watch(threading.local):
    """What a thread did outside while it was watched; None while it is not."""

    seen: list[str] | None = None


_watch = _Watch()
_installed = False


def _audit(event: str, args: tuple[Any, ...]) -> None:
    seen = _watch.seen
    if seen is None or not event.startswith(OUTSIDE):
        return
    # Python itself reads sources, for an import or for the text of a warning.
    if not (event == "open" and str(args[0]).endswith((".py", ".pyc"))):
        seen.append(f"{event} {args[:1]}")


@contextmanager
def _watching_outside() -> Iterator[list[str]]:
    global _installed
    if not _installed:
        sys.addaudithook(_audit)
        _installed = True
    seen: list[str] = []
    _watch.seen = seen
    try:
        yield seen
    finally:
        _watch.seen = None
