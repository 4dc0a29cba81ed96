"""A PV Access server: the PVs of one actor.

Imported only where a server runs, because it imports p4p.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from p4p import Value
from p4p.nt import NTEnum, NTNDArray, NTScalar
from p4p.server import Server, StaticProvider
from p4p.server.raw import SharedPV

from camagick.errors import CamagickError
from camagick.tools.pva_alarms import alarm_of
from camagick.tools.pva_forms import Form, default, fields, fit, form_of, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

#: A PV without a value yet: severity INVALID, status UDF, as in an IOC.
_UNDEFINED = {"severity": 3, "status": 17}


class _Handler:
    """What clients may do to a PV: by default, only read it."""

    def __init__(self, *, writable: bool) -> None:
        self._writable = writable

    def put(self, pv: Any, op: Any) -> None:
        if not self._writable:
            op.done(error="caspy serves this PV for reading only (--to-pva writable=1 allows it)")
            return
        value = op.value()
        if not value.changed("timeStamp"):
            now = time.time()
            value["timeStamp"] = {
                "secondsPastEpoch": int(now),
                "nanoseconds": int(now % 1 * 1e9),
            }
        if not value.changed("alarm"):
            value["alarm"] = alarm_of(0, 0)  # written is no longer undefined
        pv.post(value)
        op.done()


class _Hosted:
    """A PV that is served: its structure, and how to fill it."""

    def __init__(self, form: Form, handler: _Handler, *, declared: bool) -> None:
        self.form, self.declared = form, declared
        self._type = _type_of(form)
        self.pv = SharedPV(handler=handler)

    def change(self, form: Form) -> None:
        """Become a PV of another type, to be opened again; clients find it meanwhile, and wait."""
        self.pv.close()
        self.form, self._type = form, _type_of(form)

    def fill(self, value: Any, attributes: Mapping[str, Any], now: float, number: int) -> Any:
        return Value(self._type, fields(self.form, value, attributes, now, number))


def _type_of(form: Form) -> Any:
    if form.kind == "enum":
        return NTEnum.buildType()
    if form.kind == "image":
        return NTNDArray.buildType()
    code = f"a{form.code}" if form.kind == "array" else form.code
    return NTScalar.buildType(code, display=True, control=True, valueAlarm=True, form=True)


class Host:
    """One PV Access server and its PVs.

    Parameters
    ----------
    images
        Whether arrays of more than one dimension are images (NTNDArray), or flat.
    writable
        Whether clients may write.
    """

    def __init__(self, *, images: bool = True, writable: bool = False) -> None:
        self._images = images
        self._handler = _Handler(writable=writable)
        self._provider = StaticProvider("caspy")
        self._server: Any = None
        self._pvs: dict[str, _Hosted] = {}

    def start(self) -> None:
        """Open the server.

        Raises
        ------
        CamagickError
            When its interfaces cannot be used.
        """
        try:
            self._server = Server(providers=[self._provider])
        except RuntimeError as error:
            raise CamagickError(
                f"cannot open a PV Access server: {error}; see EPICS_PVAS_INTF_ADDR_LIST"
            ) from error

    def stop(self) -> None:
        """Close the server and its connections."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()
        for hosted in self._pvs.values():
            hosted.pv.close()
        self._pvs.clear()

    def declare(self, name: str, form: Form) -> None:
        """Make a PV before it has a value."""
        hosted = _Hosted(form, self._handler, declared=True)
        hosted.pv.open(hosted.fill(default(form), _UNDEFINED, time.time(), 0))
        self._enter(name, hosted)

    def _enter(self, name: str, hosted: _Hosted) -> None:
        self._provider.add(name, hosted.pv)
        self._pvs[name] = hosted

    def post(
        self, name: str, value: Any, attributes: Mapping[str, Any], now: float, number: int
    ) -> None:
        """Publish a value; the PV is made at its first one.

        Parameters
        ----------
        name
            The PV.
        value, attributes
            Value, and what is known about it.
        now
            Its timestamp.
        number
            Unique id of an image that has none.

        Raises
        ------
        ValueError
            When PV Access, or this PV, has no place for such a value.
        """
        flat = plain(value)
        hosted = self._pvs.get(name)
        form = form_of(flat, attributes, images=self._images)
        if hosted is not None and _suits(hosted, form, flat):
            hosted.pv.post(hosted.fill(fit(flat, hosted.form), attributes, now, number))
            return
        if hosted is None:
            hosted = _Hosted(form, self._handler, declared=False)
            self._enter(name, hosted)
        else:
            log.warning(
                'msg="a PV changes its type: its clients are reconnected" pv=%s old=%s new=%s',
                name, _called(hosted.form), _called(form),
            )  # fmt: skip
            hosted.change(form)
        hosted.pv.open(hosted.fill(fit(flat, form), attributes, now, number))


def _suits(hosted: _Hosted, form: Form, flat: Any) -> bool:
    """Tell whether a PV stays what it is; what was declared always does."""
    have = hosted.form
    if hosted.declared or have == form:
        return True
    if have.kind != form.kind or (have.code == "s") != (form.code == "s"):
        return False
    if have.kind == "enum":
        hosted.form = form  # other texts are no other type
        return True
    if isinstance(flat, np.ndarray) and flat.size == 0:
        return True
    try:
        fit(flat, have)
    except ValueError:
        return False
    return True


def _called(form: Form) -> str:
    return " ".join(part for part in (form.kind, form.code) if part)
