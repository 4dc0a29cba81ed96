"""Bluesky's documents to iterations: each event is one. Knows no network and no library of theirs.

The documents of a run refer to one another: events to their descriptor, that to the run's start;
datums to their resource. What is needed for that is kept until the run's stop.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import numpy as np

from camagick.data import Data
from camagick.service.bluesky_values import NoValue, attributes_of, tag_of, value_of

log = logging.getLogger(__name__)

Document = Mapping[str, Any]

#: The kinds of documents that say something about data.
_TAKEN = frozenset({
    "start", "descriptor", "resource", "stream_resource", "datum", "datum_page", "event",
    "event_page", "bulk_events", "stream_datum", "stop",
})  # fmt: skip


class Row(NamedTuple):
    """What an iteration gets: data by tag, and the context."""

    data: Data
    context: dict[str, Any]


@dataclass
class _Run:
    start: Document
    descriptors: dict[str, Document] = field(default_factory=dict)
    resources: dict[str, Document] = field(default_factory=dict)
    datums: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    external: set[str] = field(default_factory=set)


class Documents:
    """What has been said so far about the runs that go on.

    Parameters
    ----------
    stream
        Name of the stream whose events are wanted; 'all' for those of every stream.

    Attributes
    ----------
    stopped
        How many runs have ended.
    missed
        Events that were made and did not come, as the stop documents tell.
    """

    def __init__(self, stream: str = "primary") -> None:
        self._stream = stream
        self._runs: dict[str, _Run] = {}
        self._of: dict[str, str] = {}  # uid of a descriptor or resource -> uid of its run
        self._strange = False
        self._unfit: set[str] = set()
        self.stopped = self.missed = 0

    def feed(self, name: str, document: Document) -> list[Row]:
        """Take a document, and return the iterations that it makes: mostly none or one.

        Raises
        ------
        KeyError, TypeError, ValueError, AttributeError, IndexError
            When something is not as the event model says.
        """
        if name not in _TAKEN:
            return []
        return list(getattr(self, f"_{name}")(document) or ())

    def state(self) -> dict[str, bytes]:
        """Return what has to be known to go on in the middle of the runs, for a successor."""
        from camagick.service.bluesky_codec import dumps

        runs = [[run.start, run.descriptors, run.resources, run.counts] for run in
                self._runs.values()]  # fmt: skip
        return {"runs": dumps({"runs": runs})}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where a predecessor was, as its `state` tells."""
        from camagick.service.bluesky_codec import loads

        for start, descriptors, resources, counts in loads(state["runs"])["runs"]:
            run = _Run(start, descriptors, resources, counts=counts)
            self._runs[start["uid"]] = run
            self._of |= dict.fromkeys([*descriptors, *resources], start["uid"])

    def _start(self, document: Document) -> None:
        self._runs[str(document["uid"])] = _Run(document)

    def _descriptor(self, document: Document) -> None:
        self._keep(document, "descriptors")

    def _resource(self, document: Document) -> None:
        self._keep(document, "resources")

    _stream_resource = _resource

    def _keep(self, document: Document, where: str) -> None:
        run = self._runs.get(document.get("run_start", ""))
        if run is None:
            self._not_from_the_start()
            return
        getattr(run, where)[document["uid"]] = document
        self._of[document["uid"]] = document["run_start"]

    def _not_from_the_start(self) -> None:
        if not self._strange:
            self._strange = True
            text = "came in the middle of a run: what belongs to it is left out"
            log.warning('msg="%s"', text)

    def _run_of(self, uid: str) -> _Run | None:
        run = self._runs.get(self._of.get(uid, ""))
        if run is None:
            self._not_from_the_start()
        return run

    def _datum(self, document: Document) -> None:
        run = self._run_of(document["resource"])
        if run is not None:
            resource = run.resources[document["resource"]]
            more = "&".join(f"{key}={value}" for key, value in document["datum_kwargs"].items())
            path = f"{resource.get('root', '')}/{resource['resource_path']}".replace("//", "/")
            run.datums[document["datum_id"]] = f"{path}?{more}" if more else path

    def _datum_page(self, document: Document) -> None:
        for row in _unpaged(document, "datum_id", ("datum_kwargs",)):
            self._datum({**row, "resource": document["resource"]})

    def _event_page(self, document: Document) -> Iterator[Row]:
        for row in _unpaged(document, "seq_num", ("data", "timestamps", "filled")):
            yield from self._event({**row, "descriptor": document["descriptor"]})

    def _bulk_events(self, document: Document) -> Iterator[Row]:
        for events in document.values():
            for event in events:
                yield from self._event(event)

    def _event(self, document: Document) -> Iterator[Row]:
        run = self._run_of(document["descriptor"])
        if run is None:
            return
        descriptor = run.descriptors[document["descriptor"]]
        stream = str(descriptor.get("name", "primary"))
        run.counts[stream] = run.counts.get(stream, 0) + 1
        if self._stream not in (stream, "all"):
            return
        data = Data()
        for key, value in document["data"].items():
            if document.get("filled", {}).get(key) is False:
                value = run.datums.pop(value, value)
            described = descriptor["data_keys"].get(key, {})
            stamp = document.get("timestamps", {}).get(key)
            self._put(data, key, value, described, stamp)
        yield Row(data, _context(run.start, stream, int(document["seq_num"])))

    def _stream_datum(self, document: Document) -> Iterator[Row]:
        """Hand on where frames of an external file are: nobody else tells of them."""
        run = self._run_of(document["stream_resource"])
        if run is None:
            return
        descriptor = run.descriptors.get(document.get("descriptor", ""), {})
        stream = str(descriptor.get("name", "primary"))
        run.external.add(stream)
        if self._stream not in (stream, "all"):
            return
        resource = run.resources[document["stream_resource"]]
        dataset = str(resource.get("parameters", {}).get("dataset", "")).strip("/")
        first, stop = int(document["indices"]["start"]), int(document["indices"]["stop"])
        place = f"{_path(str(resource['uri']))}#{dataset}[{first}:{stop}]"
        data = Data()
        key = str(resource["data_key"])
        self._put(data, key, place, descriptor.get("data_keys", {}).get(key, {}), None)
        yield Row(data, _context(run.start, stream, int(document["seq_nums"]["start"])))

    def _put(self, data: Data, key: str, value: Any, described: Document, stamp: Any) -> None:
        tag = tag_of(key)
        try:
            value = value_of(value)
            dtype = described.get("dtype_numpy")
            if isinstance(dtype, str) and isinstance(value, np.ndarray):
                value = value.astype(dtype, copy=False)  # JSON knows only one kind of number
        except (NoValue, TypeError) as error:
            if key not in self._unfit:
                self._unfit.add(key)
                log.warning('msg="left out (said once): %s" key=%s', error, key)
            return
        data[tag] = value
        data.describe(tag, attributes_of(described, {"timestamp": stamp}))

    def _stop(self, document: Document) -> None:
        uid = document.get("run_start", "")
        run = self._runs.pop(uid, None)
        self._of = {key: of for key, of in self._of.items() if of != uid}
        if run is None:
            self._not_from_the_start()
            return
        self.stopped += 1
        self._count(run, document.get("num_events") or {})

    def _count(self, run: _Run, made: Document) -> None:
        """Compare what came with what was made, which the stop document tells."""
        missed = sum(
            max(0, int(count) - run.counts.get(stream, 0))
            for stream, count in made.items()
            if self._stream in (stream, "all") and stream not in run.external
        )
        if missed:
            self.missed += missed
            scan = run.start.get("scan_id", "-")
            log.warning('msg="events of a run did not come" missed=%d scan_id=%s', missed, scan)


def _unpaged(page: Document, counted: str, columns: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a page, which is a dictionary of columns."""
    for row, number in enumerate(page[counted]):
        made: dict[str, Any] = {counted: number}
        for name in columns:
            made[name] = {key: column[row] for key, column in page.get(name, {}).items()}
        yield made


def _context(start: Document, stream: str, number: int) -> dict[str, Any]:
    found = {"scan_id": start.get("scan_id"), "uid": str(start["uid"]), "seq_num": number}
    found |= {"stream": stream, "plan_name": start.get("plan_name")}
    return {key: value for key, value in found.items() if value is not None}


def _path(uri: str) -> str:
    parts = urlsplit(uri)
    return unquote(parts.path) if parts.scheme == "file" else uri
