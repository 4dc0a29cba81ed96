"""Iterations to Bluesky's documents: each is an event. Knows no network.

Imported only where they are made, because it imports event_model.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from event_model import compose_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from camagick.data import Data

_LIMITS = {"control": "ctrl", "display": "disp", "alarm": "alarm", "warning": "warning"}


class Composer:
    """Makes the documents of one run after the other.

    Parameters
    ----------
    emit
        Plain function that gets the name of each document and the document.
    stream
        Name of the stream.
    metadata
        What the start documents say besides.
    """

    def __init__(
        self, emit: Callable[[str, Any], None], stream: str, metadata: Mapping[str, Any]
    ) -> None:
        self._emit, self._stream, self._metadata = emit, stream, dict(metadata)
        self._run: Any = None
        self._scan: Any = None
        self._shape: Any = None
        self._event: Any = None
        self._number = 0

    def add(self, data: Data, scan_id: int | None = None) -> None:
        """Make an event; before it, whatever has to be said before.

        Parameters
        ----------
        data
            Values by tag, with what is known about them.
        scan_id
            Of the run: another one than before ends that run, and begins the next.
        """
        if self._run is None or (scan_id is not None and scan_id != self._scan):
            self.stop()
            self._begin(scan_id)
        shape = [(tag, _kind(value), np.shape(value)) for tag, value in data.items()]
        if shape != self._shape:
            keys = {tag: _data_key(tag, value, data) for tag, value in data.items()}
            self._event = self._described(keys)
            self._shape = shape
        self._number += 1
        now = time.time()
        event = self._event(
            data={tag: _plain(value) for tag, value in data.items()},
            timestamps={tag: data.attributes(tag).get("timestamp", now) for tag in data},
            seq_num=self._number,
            validate=False,
        )
        self._emit("event", event)

    def stop(self, exit_status: str = "success", reason: str = "") -> None:
        """End the run, if there is one."""
        if self._run is not None:
            stop = self._run.compose_stop(exit_status=exit_status, reason=reason, validate=False)
            self._emit("stop", stop)
        self._run = self._shape = None

    def _begin(self, scan_id: int | None) -> None:
        more = {} if scan_id is None else {"scan_id": int(scan_id)}
        self._run = compose_run(metadata={**self._metadata, **more}, validate=False)
        self._scan, self._number = scan_id, 0
        self._emit("start", self._run.start_doc)

    def _described(self, keys: Mapping[str, Any]) -> Any:
        """Say what is in the events that follow, and return what makes them."""
        bundle = self._run.compose_descriptor(
            name=self._stream, data_keys=keys, object_keys={tag: [tag] for tag in keys},
            hints={tag: {"fields": [tag]} for tag in keys}, configuration={}, validate=False,
        )  # fmt: skip
        self._emit("descriptor", bundle.descriptor_doc)
        return bundle.compose_event


def _kind(value: Any) -> str:
    return str(np.asarray(value).dtype.str)


def _plain(value: Any) -> Any:
    """Return a scalar of numpy as Python's own, which is what events hold; others as they are."""
    return (
        value.item()
        if isinstance(value, np.generic) or (np.ndim(value) == 0 and isinstance(value, np.ndarray))
        else value
    )


def _data_key(tag: str, value: Any, data: Data) -> dict[str, Any]:
    array = np.asarray(value)
    kinds = {"b": "boolean", "i": "integer", "u": "integer", "U": "string", "S": "string"}
    known = data.attributes(tag)
    key: dict[str, Any] = {
        "source": str(known.get("source", f"caspy:{tag}")),
        "dtype": "array" if array.ndim else kinds.get(array.dtype.kind, "number"),
        "dtype_numpy": array.dtype.str,
        "shape": list(array.shape),
    }
    for name in ("units", "precision"):
        if name in known:
            key[name] = known[name]
    if "enum_strings" in known:
        key["choices"] = list(known["enum_strings"])
    limits = dict(_limits(known))
    return {**key, "limits": limits} if limits else key


def _limits(known: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, float | None]]]:
    for new, old in _LIMITS.items():
        low, high = known.get(f"lower_{old}_limit"), known.get(f"upper_{old}_limit")
        if low is not None or high is not None:
            yield new, {"low": low, "high": high}
