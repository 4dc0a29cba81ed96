"""The contract of a processor: what a source, a pipe or a sink is to the rest of the program."""

from __future__ import annotations

import asyncio
import inspect
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from camagick.data import Data, Mark, adopt
from camagick.errors import DuplicateTag

Role = Literal["source", "pipe", "sink"]
Result = Mapping[str, Any] | None
Function = Callable[[Data, Data], "Result | Awaitable[Result]"]

_serials = itertools.count(1)


class Placement(NamedTuple):
    """Where a processor stands in its pipe; set before `startup`.

    Attributes
    ----------
    alone
        It is the only source of its pipe, and nothing behind it sets the pace: it should hand on
        every event in order. Otherwise the newest value is what belongs to the others.
    run
        Identity of the run, for files that tell runs apart; '' in one process.
    run_dir
        Folder of the bus, where helper services listen; '' in one process.
    number, incarnation
        The actor's number in its run, and how often it has been started, from 1: above 1 it goes
        on where its predecessor was killed. 0 in one process.
    only_sink
        No other sink stands in its pipe: when it has no more use for data, nobody has.
    """

    alone: bool = True
    run: str = ""
    run_dir: str = ""
    number: int = 0
    incarnation: int = 0
    only_sink: bool = True


class EndOfData(Exception):
    """Raised by a processor to end the run normally: no more data, or nobody reads any more."""


class ProcessorBase:
    """One source, pipe or sink.

    A subclass implements **either** `process`, a plain function (most do: it runs without an
    event loop), **or** `__call__`, a coroutine function, for what waits on devices.

    The runtime calls `startup` once, then the processor once per iteration in order and never
    twice at a time, then `shutdown` once, also after an error. Whatever it is given belongs to the
    iteration: a processor returns new dictionaries and never writes into arrays it was given
    (they are read-only on the bus). What it returns **replaces** the data for a pipe or a sink
    (None means nothing), and is **added** to the data for a source.

    The context may be changed in place; it lives for one iteration.

    **When its process is killed.** A new one takes its place. Everything whose end was not
    acknowledged is handed to it again, which is all that a processor needs whose calls depend on
    nothing else (it is `repeatable`). Of any other, the runtime keeps what it has made, outside of
    its process, and never calls it twice for an iteration; `remember` and `recall` carry over what
    it knows. A sink that keeps data for good says `commits`, and sees by itself, from the run and
    the iteration that it stores beside the data, what it has stored already.

    Attributes
    ----------
    role
        'source', 'pipe' or 'sink'.
    paces
        True where the processor decides when an iteration goes on without being a source.
    keeps_frames
        True where arrays are kept beyond the call; they are then handed over as copies.
    keeps_attributes
        Whether a new value inherits the attributes (units, ...) of the old one under its tag.
    stateful
        True where a call depends on the calls before it (a buffer, a counter, a clock): such a
        processor must see every iteration, in order, and cannot be run as several copies.
    commits
        True where what was handed over is safe only after `commit`; until then, nobody forgets it.
    memory
        How many of the last calls a restarted processor has to know of; see `remember`.
    reads_input
        True where it reads the program's standard input: one processor of a run can.
    shared_by
        How many processes share its iterations on the bus; more than 1 only without state.
    host
        Where it is to run: a host, or several, ``a|b``; '' where that was not said.
    at_home
        True where it belongs to the terminal or screen of whoever runs it, unless a host is said.
    recipe
        How the launcher was asked for it (`caspy.recipe.Step`); None where a program made it.
    seq
        Number of the iteration, set before each call; it counts from 0.
    allocate
        Where `empty` gets its arrays from; set by the runtime, None in one process.
    ended
        Says how many of its iterations have ended, here and downstream; set by the runtime. None
        in one process, where the next call says that the one before has.
    requires
        Import names of libraries outside the core that this processor needs.
    extra
        The extra of the distribution that brings them: ``pip install '.[extra]'``.
    services
        Helper services it needs, names of modules in `camagick.service`.
    """

    role: Role = "pipe"
    paces: ClassVar[bool] = False
    keeps_frames: ClassVar[bool] = False
    keeps_attributes: ClassVar[bool] = True
    stateful: ClassVar[bool] = False
    commits: ClassVar[bool] = False
    requires: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    services: ClassVar[tuple[str, ...]] = ()

    serial: int
    placement: Placement
    memory: int = 0
    reads_input: bool = False
    shared_by: int = 1
    host: str = ""
    at_home: bool = False
    recipe: Any = None
    seq: int = 0
    allocate: Callable[[Any, Any], np.ndarray] | None = None
    ended: Callable[[], int] | None = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Give the processor its number; a subclass need not call this class's constructor."""
        self = super().__new__(cls)
        self.serial = next(_serials)
        self.placement = Placement()
        return self

    @property
    def name(self) -> str:
        """Name of the flag: the last part of the module's name."""
        module = type(self).__module__.rpartition(".")[2]
        return module if type(self).__name__ == "Processor" else type(self).__name__.lower()

    @property
    def label(self) -> str:
        """What tells it apart from its like where branches are merged (npfun: its function)."""
        return self.name

    @property
    def gates(self) -> bool:
        """Whether it decides when an iteration goes on, and so may wait for the outside."""
        return self.role == "source" or self.paces

    @property
    def repeatable(self) -> bool:
        """Whether a call may be done again, by a new process, with the same result and no harm."""
        return self.commits or (self.role == "pipe" and not self.stateful)

    @property
    def synchronous(self) -> bool:
        """Whether the processor runs without an event loop."""
        return type(self).__call__ is ProcessorBase.__call__

    async def startup(self) -> None:
        """Open what is needed. Raises what stops the run before it starts."""

    async def shutdown(self) -> None:
        """Close everything. Called once; data handed over before is safe when it returns."""

    def commit(self) -> None:
        """Make safe what was handed over so far (where `commits`): a kill loses none of it.

        The runtime calls it between two calls of the processor: whenever nothing else is to do,
        and at the latest when half a window has been handed over.

        Raises
        ------
        Exception
            When that is not possible; nothing since the last commit is acknowledged then.
        """

    def remember(self) -> Mapping[str, Any] | None:
        """Return what a restarted processor has to know of the call just done (where `memory`)."""
        return None

    def recall(self, remembered: Sequence[Mapping[str, Any]]) -> None:
        """Take over from a predecessor; called after `startup`, before the first call.

        Parameters
        ----------
        remembered
            What it gave to `remember` in its last calls, the oldest first: `memory` of them, fewer
            where it has not done as many.
        """

    def figures(self) -> Mapping[str, int | float]:
        """Return what it has counted, for the statistics of the run; another thread asks."""
        return {}

    def empty(self, shape: int | Sequence[int], dtype: Any = float) -> np.ndarray:
        """Return a new array to write the result of this call to, with whatever is in it.

        On the bus a large one lies in shared memory already, where it would have to be copied to
        otherwise: ``np.add(x, y, out=self.empty(x.shape, x.dtype))``. It belongs to this call and
        its iteration: who keeps it beyond the call must keep a copy.
        """
        return np.empty(shape, dtype) if self.allocate is None else self.allocate(shape, dtype)

    def due(self) -> float:
        """Return how many seconds the next call has to wait for its time (0: none)."""
        return 0.0

    async def ready(self) -> None:
        """Wait for the event that lets the next iteration happen.

        Returns at once where there is none to wait for, or where it has come already and was not
        yet consumed by a call. May be cancelled at any time without losing an event.
        """

    def process(self, data: Data, context: Data) -> Result:
        """Do the work of one iteration without waiting for anything outside.

        Raises
        ------
        EndOfData
            When there is no more data, ever.
        """
        raise NotImplementedError(f"{type(self).__name__} implements neither process nor __call__")

    async def __call__(self, data: Any = None, context: Any = None) -> Result:
        """Do one iteration: wait until it is due, then `process`."""
        wait = self.due()
        if wait > 0:
            await asyncio.sleep(wait)
        known = Data.of(context)
        result = self.process(Data.of(data), known)
        if context is not None and known is not context:  # a caller's plain dictionary
            context.clear()
            context.update(known)
        return result


class FunctionProcessor(ProcessorBase):
    """A plain function, or a coroutine function, of (data, context) as a pipe."""

    keeps_frames = True  # nobody knows what a user's function keeps
    stateful = True  # nor whether it would do the same again

    def __init__(self, function: Function) -> None:
        self.function = function

    @property
    def name(self) -> str:
        return str(getattr(self.function, "__name__", type(self.function).__name__))

    async def __call__(self, data: Any = None, context: Any = None) -> Result:
        # A plain dictionary, so that changing it in place is seen for what it is.
        result = self.function(dict(data or {}), context)  # type: ignore[arg-type]
        if inspect.isawaitable(result):
            result = await result
        return result


def wrap(thing: Any) -> Any:
    """Return a processor or a flow as it is, and a function as a processor."""
    if isinstance(thing, ProcessorBase) or hasattr(thing, "children"):
        return thing
    if callable(thing):
        return FunctionProcessor(thing)
    raise TypeError(f"{thing!r} is neither a processor nor a function of (data, context)")


def checked(node: ProcessorBase, made: Result) -> Mapping[str, Any]:
    """Return what a processor returned, as a mapping.

    Raises
    ------
    TypeError
        When it is none.
    """
    if made is None:
        return {}
    if not isinstance(made, (dict, Mapping)):  # the first is what it is, and quickly seen
        raise TypeError(f"{node.name} returned {type(made).__name__}, not a dictionary of tags")
    return made


def conclude(
    node: ProcessorBase, made: Result, data: Data, context: Data, before: dict[str, Any]
) -> Data:
    """Turn what a processor returned into what the next one is given.

    Parameters
    ----------
    node
        The processor.
    made
        What it returned.
    data, context
        What it was given; marks of new context entries are set here.
    before
        The context's entries from before the call.

    Raises
    ------
    DuplicateTag
        When a source delivers a tag that is there already.
    TypeError
        When the processor returned something that is not a mapping.
    """
    made = checked(node, made)
    for tag in context:
        if tag not in before or context[tag] is not before[tag]:
            # Whatever it was made of, it became context here: branches are told apart by that.
            known = context.attributes(tag)
            context.marks[tag] = Mark(node.serial, tag, known, context[tag])
    result = adopt(node.serial, made, data, keep_attributes=node.keeps_attributes)
    if node.role == "source" and data:
        double = next((tag for tag in result if tag in data and result[tag] is not data[tag]), None)
        if double is not None:
            raise DuplicateTag(node.name, double)
        result = Data({**data, **result}, {**data.marks, **result.marks})
    return result
