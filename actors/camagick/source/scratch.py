"""Data made up from scratch."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from camagick.errors import BadOption
from camagick.processor import ProcessorBase, Role
from camagick.tools.numbers import is_integer, is_real
from camagick.tools.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from camagick.data import Data

    Shape = tuple[int, ...]

#: The options of each method, and what they are when not given.
METHODS: dict[str, dict[str, Any]] = {
    "static": {"value": "", "asint": False},
    "sinus": {"start": 0.0, "stop": 6.28, "ampl": 1.0, "freq": 1.0},
    "random": {},
    "zeros": {},
    "ones": {"factor": 1.0},
    "linspace": {"start": 0.0, "stop": 1.0, "endpoint": True},
    "counter": {"start": 0, "inc": 1},
}

#: From here on a rate is no limit: nothing waits for so short a time.
UNLIMITED = 1e6


class Processor(ProcessorBase):
    """Make up data: random numbers, constants, curves, or a counter.

    Useful for tests, for demonstrations, and for the constants that a pipe has to write somewhere.
    All values are 64-bit floating-point numbers, except those of `static`.

    Methods and their options:

    - `random`: numbers between 0 and 1, new ones each time.
    - `zeros`; `ones`, with factor=1.0: all the same.
    - `linspace`, with start=0.0, stop=1.0, endpoint=True: evenly spaced numbers.
    - `sinus`, with start=0.0, stop=6.28, ampl=1.0, freq=1.0: one curve of a sine.
    - `counter`, with start=0, inc=1: the same number everywhere, one step further each time.
    - `static`, with value='', asint=False: the value itself, whatever length was asked for.

    Parameters
    ----------
    method : str
        One of the above.
    *tags : str
        Names of single values (arrays with one element). They follow behind the arrays.
    rate : float, default 100.0
        How many times per second, at most. 0 is no limit.
    opts : dict, optional
        Options of the method, as above: ``opts=start=1,stop=3``.
    seed : int, optional
        Where the random numbers begin: with the same seed they are the same in every run.
    **lengths : int or tuple of int
        Names of arrays, and the length of each, or its shape: ``image=64,32``.

    Examples
    --------
    A number and an array of 2048, once per second::

        caspy --from-scratch random iffy=1 jedda=2048 rate=1 --to-summary

    A ramp from 1 to 3::

        caspy --from-scratch linspace x=100 opts=start=1,stop=3 --to-plot
    """

    role: Role = "source"
    stateful: ClassVar[bool] = True

    def __init__(
        self,
        method: str,
        *tags: str,
        rate: float = 100.0,
        opts: dict[str, Any] | None = None,
        seed: int | None = None,
        **lengths: int | tuple[int, ...],
    ) -> None:
        if method not in METHODS:
            raise BadOption(f"scratch: no method {method!r}: there are {', '.join(METHODS)}")
        if not is_real(rate):
            raise BadOption(f"scratch: rate={rate!r} is not a number of passes per second")
        if seed is not None and not is_integer(seed, 0):
            raise BadOption(f"scratch: seed={seed!r} is not an integer of 0 or more")
        self.method = method
        self.seed = seed
        self._options = _options(method, opts)
        self._shapes = _shapes(tags, lengths)
        self._scalars = frozenset(tags)
        self._schedule = Schedule(1 / rate) if 0 < rate < UNLIMITED else None
        self._make: Callable[[], dict[str, Any]] | None = None
        self._random: np.random.Generator | None = None
        # The other methods do the same each time.
        self.memory = 1 if method == "counter" or (method == "random" and seed is not None) else 0

    async def startup(self) -> None:
        self._make = self._maker()

    def due(self) -> float:
        return 0.0 if self._schedule is None else self._schedule.due(time.monotonic())

    def process(self, data: Data, context: Data) -> dict[str, Any]:
        if self._schedule is not None:
            self._schedule.passed(time.monotonic())
        if self._make is None:
            self._make = self._maker()
        return self._make()

    def remember(self) -> dict[str, Any] | None:
        """Return how far the counter, or the random numbers, have come."""
        if isinstance(self._make, _Counter):
            return {"count": self._make.count}
        if self._random is not None:
            return {"random": json.dumps(self._random.bit_generator.state)}
        return None

    def recall(self, remembered: Sequence[Mapping[str, Any]]) -> None:
        for known in remembered:
            if isinstance(self._make, _Counter):
                self._make.count = int(known["count"])
            elif self._random is not None:
                self._random.bit_generator.state = json.loads(known["random"])

    def _maker(self) -> Callable[[], dict[str, Any]]:
        """Return the function that makes the data of one iteration."""
        shapes = list(self._shapes.items())
        if self.method == "random":
            self._random = np.random.default_rng(self.seed)
            random, empty = self._random.random, self.empty
            return lambda: {tag: random(out=empty(shape)) for tag, shape in shapes}
        if self.method == "counter":
            return _Counter(shapes, self.empty, **self._options)
        if self.method == "static":
            value = self._static()
            scalars = self._scalars
            return lambda: {
                tag: np.array(value) if tag in scalars else value for tag in self._shapes
            }
        # One number is filled in faster than an array of it is copied.
        contents = [(tag, shape, self._content(shape)) for tag, shape in shapes]
        empty = self.empty

        def make() -> dict[str, Any]:
            made = {}
            for tag, shape, content in contents:  # who receives an array may keep it
                made[tag] = empty(shape)
                made[tag][...] = content
            return made

        return make

    def _content(self, shape: Shape) -> Any:
        """Return what an array is filled with: a number, or a curve."""
        options = self._options
        if self.method == "zeros":
            return 0.0
        if self.method == "ones":
            return float(options["factor"])
        count = math.prod(shape)
        if self.method == "linspace":
            x = np.linspace(
                options["start"], options["stop"], count, endpoint=bool(options["endpoint"])
            )
        else:
            x = np.linspace(options["start"], options["stop"], count)
            x = options["ampl"] * np.sin(x * options["freq"])
        return x.reshape(shape).astype(np.float64, copy=False)

    def _static(self) -> Any:
        value = self._options["value"]
        if isinstance(value, str):
            value = _number(value)
        return int(value) if self._options["asint"] else value


class _Counter:
    """All arrays filled with one number, that goes on by a step."""

    def __init__(
        self,
        shapes: list[tuple[str, Shape]],
        empty: Callable[[Shape], Any],
        start: float,
        inc: float,
    ) -> None:
        self._shapes, self._empty = shapes, empty
        self._start, self._inc = start, inc
        self.count = 0

    def __call__(self) -> dict[str, Any]:
        # By multiplication: sums of a step such as 0.1 would drift away.
        number = float(self._start + self.count * self._inc)
        self.count += 1
        return {tag: self._full(shape, number) for tag, shape in self._shapes}

    def _full(self, shape: Shape, number: float) -> Any:
        made = self._empty(shape)
        made.fill(number)
        return made


def _options(method: str, opts: Any) -> dict[str, Any]:
    known = METHODS[method]
    opts = {} if opts is None else opts
    if not isinstance(opts, dict):
        raise BadOption(f"scratch: opts={opts!r} is not of the form key=value,key=value")
    for key, value in opts.items():
        if key not in known:
            there = f"it has {', '.join(known)}" if known else "it has none"
            raise BadOption(f"scratch: {method} has no option {key!r}: {there}")
        if method != "static" and not isinstance(value, (bool, int, float)):
            raise BadOption(f"scratch: {method}: {key}={value!r} is not a number")
    options = {**known, **opts}
    if options.get("asint"):
        try:
            int(options["value"])
        except (TypeError, ValueError, OverflowError):
            raise BadOption(f"scratch: value={options['value']!r} is not an integer") from None
    return options


def _shapes(tags: tuple[str, ...], lengths: Mapping[str, Any]) -> dict[str, Shape]:
    """Return the shape of every tag: arrays first, then the single values."""
    shapes: dict[str, Shape] = {}
    for tag, length in lengths.items():
        shape = tuple(length) if isinstance(length, (tuple, list)) else (length,)
        if not all(is_integer(n, 0) for n in shape):
            raise BadOption(
                f"scratch: {tag}={length!r} is neither a length nor a shape such as {tag}=64,32"
            )
        shapes[tag] = shape
    for tag in map(str, tags):
        if tag in shapes:
            raise BadOption(f"scratch: {tag} is named twice")
        shapes[tag] = (1,)
    if not shapes:
        raise BadOption("scratch: names no data: add a tag, or an array such as jedda=2048")
    return shapes


def _number(text: str) -> int | float | str:
    for cast in (int, float):
        try:
            return cast(text)
        except ValueError:
            pass
    return text
