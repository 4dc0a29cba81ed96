"""From ``module:name`` and arguments to an object of ophyd, or of ophyd-async."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from typing import TYPE_CHECKING, Any

from camagick.errors import BadOption, MissingExtra
from camagick.service.bluesky_values import tag_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from camagick.service.ophyd_thread import Thread


def check_place(flag: str, what: Any) -> None:
    """See to it that `what` is ``module:name``, or an object that is there already.

    Raises
    ------
    BadOption
        When it is neither.
    """
    if isinstance(what, str):
        module, _, name = what.partition(":")
        parts = [*module.split("."), *name.split(".")]
        if not all(part.isidentifier() for part in parts):
            raise BadOption(f"{flag}: {what!r} is not module:Class, such as ophyd.sim:det")
    elif isinstance(what, (int, float, tuple, list, dict)) or what is None:
        raise BadOption(f"{flag}: {what!r} is not module:Class, such as ophyd.sim:det")


def is_asynchronous(thing: Any) -> bool:
    """Tell whether a device, or a class of devices, is one of ophyd-async."""
    return inspect.iscoroutinefunction(getattr(thing, "connect", None))


def find(flag: str, what: Any) -> Any:
    """Import what `what` names, which may take a second.

    Raises
    ------
    BadOption
        When it is not there.
    """
    if not isinstance(what, str):
        return what
    module_name, _, path = what.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # as `python -m` would: one's own file beside the recipe
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = str(error.name)
        if missing == "ophyd":
            raise MissingExtra(flag, "ophyd", "ophyd") from None
        raise BadOption(f"{flag} {what}: there is no module {missing!r}") from None
    except Exception as error:
        raise BadOption(
            f"{flag} {what}: {module_name} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    for part in path.split("."):
        if not hasattr(found, part):
            raise BadOption(f"{flag} {what}: there is no {part!r} in it")
        found = getattr(found, part)
    return found


async def make(
    flag: str,
    what: Any,
    arguments: Sequence[Any],
    named: Mapping[str, Any],
    thread: Thread,
) -> Any:
    """Return the object that a command line means: an instance as it is, others called.

    A name is given where one is needed: that of the class, in small letters.

    Raises
    ------
    BadOption
        When that is not possible.
    """
    made = await _made(flag, what, arguments, named, thread)
    if not isinstance(getattr(made, "name", None), str) or not hasattr(made, "read"):
        raise BadOption(f"{flag} {what}: {type(made).__name__} is no device: it has no read()")
    return made


async def _made(
    flag: str,
    what: Any,
    arguments: Sequence[Any],
    named: Mapping[str, Any],
    thread: Thread,
) -> Any:
    found = find(flag, what)
    if not (inspect.isclass(found) or inspect.isroutine(found)):
        if arguments or named:
            raise BadOption(f"{flag} {what}: this is an object already, and takes no arguments")
        return found
    default = tag_of(str(getattr(found, "__name__", what)).lower())
    made: Any = None
    try:
        if "name" not in named and _needs_name(found):
            named = {**named, "name": default}
        if is_asynchronous(found) or inspect.iscoroutinefunction(found):
            made = found(*arguments, **named)  # its home is the event loop
            made = await made if inspect.isawaitable(made) else made
        else:
            made = await thread(found, *arguments, **named)
    except Exception as error:
        raise BadOption(f"{flag} {what}: {type(error).__name__}: {error}") from error
    if is_asynchronous(made) and not getattr(made, "name", None):
        made.set_name(default)
    return made


def _needs_name(thing: Callable[..., Any]) -> bool:
    """Tell whether it cannot be called without `name`; constructors often hand on all they get."""
    makers = [cls.__dict__.get("__init__") for cls in getattr(thing, "__mro__", ())] or [thing]
    for maker in filter(None, makers):
        try:
            parameters = inspect.signature(maker).parameters
        except (TypeError, ValueError):  # written in C
            return False
        if "name" in parameters:
            return parameters["name"].default is inspect.Parameter.empty
        if not any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
            return False
    return False
