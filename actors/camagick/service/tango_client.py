"""A Tango device that comes and goes.

Imported only where Tango is used, because it imports pytango.
"""

from __future__ import annotations

import ast
import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import tango

from camagick.service.tango_failures import Away, Late, Refused, judged, line
from camagick.service.tango_worker import Worker
from camagick.tools.tango_values import (
    INVALID,
    SEVERITIES,
    Form,
    Reading,
    described,
    incoming,
    missing,
    outgoing,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from camagick.service.tango_options import Target

log = logging.getLogger(__name__)

#: Seconds between two attempts to reach a device that is away.
RETRY = 0.5

_VOID = "DevVoid"


class Config(NamedTuple):
    """What an attribute takes, what is known of all its values, and pytango's own record."""

    form: Form
    fixed: dict[str, Any]
    info: Any


class Device:
    """A device; calls are made by a thread of its own, one after the other.

    The connection is made by the first call, and anew by each call after one that failed. That it
    is lost, and that it is back, is said once each.

    Parameters
    ----------
    name
        Its name, as Tango knows it.
    timeout
        Seconds to wait for an answer.
    text
        Whether states and enumerations are read as text.
    """

    def __init__(self, name: str, timeout: float, *, text: bool = False) -> None:
        self.name = name
        self._timeout, self._text = timeout, text
        # cppTango keeps data by thread, and wants to know of those it has not made.
        self._worker = Worker(f"tango {name}", tango.EnsureOmniThread)
        self._proxy: Any = None
        self._up: bool | None = None
        self._configs: dict[str, Config] = {}
        self._commands: dict[str, Any] = {}

    async def call(self, function: Callable[[Any], Any]) -> Any:
        """Let the device's thread call `function` with pytango's proxy, and return its result.

        Raises
        ------
        Away
            When the device cannot be reached; Late when it does not answer in time.
        Refused
            When it answers with an error.
        """
        try:
            result = await self._worker.call(lambda: self._do(function))
        except Late:
            raise
        except Away as away:
            self._note(str(away))
            raise
        except Refused:
            self._note("")
            raise
        self._note("")
        return result

    def _do(self, function: Callable[[Any], Any]) -> Any:
        try:
            if self._proxy is None:
                self._proxy = self._connected()
            return function(self._proxy)
        except tango.DevFailed as error:
            meaning = judged(error, self._timeout)
        except Away as away:
            meaning = away
        if isinstance(meaning, Away) and not isinstance(meaning, Late):
            self._proxy = None
        raise meaning from None

    def _connected(self) -> Any:
        self._configs.clear()
        self._commands.clear()
        proxy = tango.DeviceProxy(self.name)
        proxy.set_timeout_millis(int(self._timeout * 1000))
        # A server that was started anew has forgotten our events: it must not go unnoticed.
        proxy.set_transparency_reconnection(False)
        proxy.ping()
        return proxy

    def _note(self, trouble: str) -> None:
        up = not trouble
        if up is self._up or (up and self._up is None):
            self._up = up
            return
        if up:
            log.warning('msg="device connected again" device=%s', self.name)
        else:
            text = "device lost" if self._up else "device does not answer"
            log.warning('msg="%s" device=%s reason="%s"', text, self.name, trouble)
        self._up = up

    async def until_back(self) -> None:
        """Wait until the device can be reached."""
        while True:
            try:
                await self.call(lambda proxy: proxy.ping())
            except (Away, Refused):
                await asyncio.sleep(RETRY)
            else:
                return

    async def close(self) -> None:
        """Let go of it; a call under way is waited for, but not longer than its timeout."""
        self._proxy = None
        await self._worker.close(self._timeout + 1.0)

    async def read(self, targets: Sequence[Target]) -> dict[Target, Reading | Refused]:
        """Read attributes, all at the same time, and run commands.

        Returns
        -------
        dict
            What came of each: a reading, or why there is none.
        """
        found: dict[Target, Reading | Refused] = await self.call(
            lambda proxy: self._read(proxy, targets)
        )
        return found

    def _read(self, proxy: Any, targets: Sequence[Target]) -> dict[Target, Reading | Refused]:
        found: dict[Target, Reading | Refused] = {}
        attributes = [target for target in targets if not target.command]
        if attributes:
            answers = proxy.read_attributes([target.name for target in attributes])
            for target, answer in zip(attributes, answers, strict=True):
                found[target] = self._attempt(self.reading, proxy, target.name, answer)
        for target in targets:
            if target.command:
                found[target] = self._attempt(self._answer, proxy, target)
        return found

    def _attempt(self, function: Callable[..., Reading], *args: Any) -> Reading | Refused:
        try:
            return function(*args)
        except tango.DevFailed as error:
            meaning = judged(error, self._timeout)
        except ValueError as error:
            meaning = Refused(str(error))
        except Refused as refused:
            meaning = refused
        if isinstance(meaning, Refused):
            return meaning
        raise meaning

    def reading(self, proxy: Any, name: str, answer: Any) -> Reading:
        """Return what pytango's DeviceAttribute says (in the device's thread, or an event's).

        Raises
        ------
        Refused
            When it holds an error, or no valid value.
        """
        if answer.has_failed:
            raise Refused(line(answer.get_err_stack()))
        form, fixed, _ = self.config(proxy, name)
        severity = SEVERITIES[int(answer.quality)]
        attributes = {
            "timestamp": answer.time.totime(),
            "severity": severity,
            "source": f"{self.name}/{name}",
            **fixed,
        }
        if severity == INVALID:
            value = missing(form)
        else:
            value = incoming(answer.value, form, text=self._text)
        if value is None:
            raise Refused("its value is invalid (quality ATTR_INVALID)")
        return Reading(value, attributes)

    def config(self, proxy: Any, name: str) -> Config:
        """Return what is known about an attribute; it is asked for once in each connection."""
        if name not in self._configs:
            config = proxy.get_attribute_config(name)
            kind = str(tango.CmdArgType.values[int(config.data_type)])
            form = Form.of(kind, str(config.data_format), list(config.enum_labels))
            fixed = described(config)
            if form.labels and not self._text:
                fixed["enum_strings"] = list(form.labels)
            self._configs[name] = Config(form, fixed, config)
        return self._configs[name]

    def _kinds(self, proxy: Any, name: str) -> tuple[str, str]:
        """Return the types of a command's argument and answer."""
        if name not in self._commands:
            info = proxy.command_query(name)
            kinds = (tango.CmdArgType.values[int(kind)] for kind in (info.in_type, info.out_type))
            self._commands[name] = tuple(map(str, kinds))
        found: tuple[str, str] = self._commands[name]
        return found

    def _answer(self, proxy: Any, target: Target) -> Reading:
        taken, given = self._kinds(proxy, target.name)
        if given == _VOID:
            raise Refused("the command answers nothing: it belongs behind --to-tango")
        form = Form.of_command(given)
        if taken == _VOID:
            answer = proxy.command_inout(target.name)
        else:
            argument = outgoing(_literal(target.argument), Form.of_command(taken))
            answer = proxy.command_inout(target.name, argument)
        known: dict[str, Any] = {"timestamp": time.time(), "severity": 0}
        if form.labels and not self._text:
            known["enum_strings"] = list(form.labels)
        value = incoming(answer, form, text=self._text)
        return Reading(value, {**known, "source": f"{self.name}/{target}"})

    async def write(self, target: Target, value: Any) -> None:
        """Write an attribute, or run a command with `value` as its argument.

        A command without an argument is run where `value` is true.

        Raises
        ------
        Away, Refused
            As `call`; Refused also when the value does not suit it.
        """
        await self.call(lambda proxy: self._write(proxy, target, value))

    def _write(self, proxy: Any, target: Target, value: Any) -> None:
        try:
            if not target.command:
                form, _, info = self.config(proxy, target.name)
                # By its name only, pytango would ask again, and make a lost device a TypeError.
                proxy.write_attribute(info, _typed(outgoing(value, form), form))
                return
            taken, _ = self._kinds(proxy, target.name)
            if taken != _VOID:
                form = Form.of_command(taken)
                proxy.command_inout(target.name, _typed(outgoing(value, form), form))
            elif _is_true(value):
                proxy.command_inout(target.name)
        except (ValueError, TypeError, OverflowError) as error:
            raise Refused(" ".join(str(error).split())) from None


def _typed(value: Any, form: Form) -> Any:
    if form.kind == "DevState" and form.dimensions == 0:
        return tango.DevState.values[value]
    return value


def _is_true(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().lower() not in ("", "0", "off", "false", "no")
    try:
        return bool(value)
    except ValueError:  # an array of several
        return bool(value.any())


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
