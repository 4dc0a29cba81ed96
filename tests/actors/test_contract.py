"""Every processor keeps the contract."""

import importlib
import os
import pkgutil
from typing import Any

import numpy as np
import pytest

import camagick.pipe
import camagick.sink
import camagick.source
from camagick.processor import ProcessorBase
from camagick.testing import check_class, check_processor, heavy_imports

MODULES = sorted(
    f"{package.__name__}.{found.name}"
    for package in (camagick.source, camagick.pipe, camagick.sink)
    for found in pkgutil.iter_modules(package.__path__)
)

SAMPLES: list[dict[str, Any]] = [
    {"x": np.arange(12.0), "y": np.arange(12).reshape(12)},
    {"x": np.arange(12.0)[::-1].copy(), "y": np.arange(12)},
]

#: What to construct those processors with that run without anything outside.
ARGUMENTS: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {
    "camagick.pipe.demote": [((), {}), (("x", "z"), {})],
    "camagick.pipe.eval": [(("{} + known",), {})],
    "camagick.pipe.exclude": [(("x",), {})],
    "camagick.pipe.idem": [((), {})],
    "camagick.pipe.max": [((), {})],
    "camagick.pipe.min": [((), {"axis": 0})],
    "camagick.pipe.nonempty": [((), {})],
    "camagick.pipe.npfun": [(("sum",), {}), (("clip", 2, 3), {}), (("sort",), {})],
    "camagick.pipe.only": [(("x",), {})],
    "camagick.pipe.pace": [((), {"Hz": 1e5}), ((1.0,), {})],
    "camagick.pipe.promote": [((), {}), (("known",), {})],
    "camagick.pipe.rename": [(("{}_a",), {}), (("{tag}_{known}",), {"only": "x"})],
    "camagick.pipe.reshape": [((3, 4), {}), (("known", -1), {}), ((), {"shape": "3,4"})],
    "camagick.pipe.slice": [((":",), {}), (("known:3",), {}), ((), {})],
    "camagick.pipe.stack": [((), {}), ((2,), {"fill": "mean"})],
    "camagick.pipe.sum": [((), {}), ((0,), {})],
    "camagick.sink.pipe": [((), {"cmd": "cat >/dev/null", "format": "json"})],
    "camagick.sink.summary": [((), {}), ((), {"mode": "table"}), ((), {"fmt": "{tag} {} {known}"})],
    "camagick.source.file": [(("/proc/self/status",), {"format": "lines"})],
    "camagick.source.pipe": [
        (("a", "b"), {"cmd": "echo 1 2"}),
        (("a",), {"cmd": "seq 5", "mode": "stream", "dtype": "int64"}),
    ],
    "camagick.source.scratch": [
        ((method, "a"), {"b": 3, "c": (2, 3), "rate": rate})
        for method in ("static", "sinus", "random", "zeros", "ones", "linspace", "counter")
        for rate in (0, 100.0)
    ],
}

CASES = [(module, *case) for module, cases in ARGUMENTS.items() for case in cases]


def processor(module: str) -> type[ProcessorBase]:
    found: type[ProcessorBase] = importlib.import_module(module).Processor
    return found


@pytest.mark.parametrize("module", MODULES)
def test_help_and_signature(module):
    check_class(processor(module))


def test_importing_a_processor_loads_nothing_heavy():
    found = heavy_imports(MODULES)
    assert {module: heavy for module, heavy in found.items() if heavy} == {}


@pytest.mark.parametrize(("module", "args", "kwargs"), CASES)
def test_contract(module, args, kwargs):
    cls = processor(module)
    check_processor(lambda: cls(*args, **kwargs), *SAMPLES)


def test_all_pipes_are_checked():
    pipes = {module for module in MODULES if module.startswith("camagick.pipe.")}
    assert pipes <= set(ARGUMENTS)


@pytest.mark.parametrize("module", [m for m in MODULES if ".pipe." in m])
def test_help_shows_a_command_line(module):
    text = processor(module).__doc__ or ""
    assert "Examples\n" in text
    assert " caspy " in text


class Writes(ProcessorBase):
    """Writes into its input."""

    def process(self, data, context):
        for value in data.values():
            value[0] = 7
        return data


class Grabs(ProcessorBase):
    """Changes the dictionary it was given."""

    def process(self, data, context):
        data.clear()
        return {}


class Opens(ProcessorBase):
    """Opens a file when it is made."""

    def __init__(self) -> None:
        with open(os.devnull, encoding="utf-8") as file:
            file.read(1)

    def process(self, data, context):
        return data


class Silent(ProcessorBase):
    def process(self, data, context):
        return data


class Undocumented(ProcessorBase):
    """Has a parameter nobody tells of."""

    def __init__(self, size: int = 3) -> None:
        self.size = size

    def process(self, data, context):
        return data


class Fails(ProcessorBase):
    """Cannot take empty data."""

    def process(self, data, context):
        return {"x": data["x"]}


class Neither(ProcessorBase):
    """Does nothing."""


class Number(ProcessorBase):
    """Returns a number."""

    def process(self, data, context):
        return 3


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (Writes, "writes into an array"),
        (Grabs, "in place"),
        (Opens, "touched the outside"),
        (Silent, "has no help"),
        (Undocumented, "size is not in its help"),
        (Neither, "not one of process and __call__"),
        (Number, "neither a mapping"),
    ],
)
def test_the_checks_notice(wrong, text):
    with pytest.raises(AssertionError, match=text):
        check_processor(wrong, *SAMPLES)


def test_empty_data_must_be_accepted():
    with pytest.raises(KeyError):
        check_processor(Fails, *SAMPLES)
