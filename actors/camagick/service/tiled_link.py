"""A Tiled server: arrays that are read, and arrays that grow."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from camagick.tools.arrayfile import ArrayFile, Missing, ReadError, StoredArray, native

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick.tools.arrayfile import Empty


class Away(Exception):
    """The server does not answer, or not now; the message says how."""


def connect(uri: str, api_key: str, timeout: float) -> Any:
    """Connect to a node of a server; return tiled's client of it.

    Parameters
    ----------
    uri
        Its address.
    api_key
        Key; '' takes that of the variable TILED_API_KEY.
    timeout
        Seconds after which an answer does not come any more.

    Raises
    ------
    Away
        When it does not answer.
    ReadError
        When it refuses.
    """
    # Who waits, and for how long, is for the callers to say.
    os.environ.setdefault("TILED_RETRY_ATTEMPTS", "1")
    from tiled.client import from_uri

    httpx: Any = importlib.import_module("httpx")

    with answering(uri):
        key = api_key or os.environ.get("TILED_API_KEY") or None
        return from_uri(uri, api_key=key, timeout=httpx.Timeout(timeout), remember_me=False)


class answering:  # noqa: N801 - used as a function
    """Say in one line what goes wrong between a client and its server.

    Parameters
    ----------
    uri
        Address of the server.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        """Translate an exception, if there is one."""
        httpx: Any = importlib.import_module("httpx")
        if not isinstance(error, Exception) or isinstance(error, (ReadError, Away)):
            return
        text = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, httpx.HTTPStatusError):
            if error.response.status_code in (401, 403):
                raise ReadError(
                    f"{self._uri}: the server does not let us do that ({text}): is api_key= (or"
                    " the variable TILED_API_KEY) right?"
                ) from error
            if error.response.status_code < 500 and error.response.status_code != 429:
                raise ReadError(f"{self._uri}: {text}") from error
            raise Away(f"{self._uri}: {text}") from error
        if isinstance(error, (httpx.TransportError, OSError)):
            raise Away(f"{self._uri}: the server does not answer ({text})") from error
        if isinstance(error, httpx.InvalidURL):
            raise ReadError(f"{self._uri}: {text}") from error
        raise ReadError(f"{self._uri}: {text}") from error


class TiledArray(StoredArray):
    """One array of a server."""

    def __init__(self, client: Any, uri: str) -> None:
        self._client, self._uri = client, uri
        self.shape = tuple(client.shape)
        kind = np.dtype(client.dtype)
        if kind.kind not in "biufcSU":
            raise ReadError(f"{uri}: values of type {kind} cannot be handed on")
        self.dtype = np.dtype("U") if kind.kind in "SU" else native(kind)
        self.chunk = client.chunks[0][0] if client.chunks and client.chunks[0] else 1

    @property
    def attributes(self) -> Mapping[str, Any]:
        return dict(self._client.metadata)

    def read(self, index: tuple[int | slice, ...], empty: Empty) -> Any:
        with answering(self._uri):
            # The server's answer for a single place differs; a range of one does not.
            cuts = [slice(cut, cut + 1) if isinstance(cut, int) else cut for cut in index]
            found = np.asarray(self._client.read(tuple(cuts)) if cuts else self._client.read())
        found = found[tuple(0 if isinstance(cut, int) else slice(None) for cut in index)]
        if self.is_text:
            return found.astype(str)
        made = empty(found.shape, self.dtype)
        made[...] = found
        return made


class TiledReader(ArrayFile):
    """A node of a Tiled server, and what is below it; see `ArrayFile`.

    Parameters
    ----------
    uri
        Its address.
    api_key
        See `connect`.
    """

    def __init__(self, uri: str, api_key: str) -> None:
        super().__init__(uri)
        try:
            self._root = connect(uri, api_key, 10.0)
        except Away as error:
            raise Missing(str(error)) from error

    def _node(self, name: str) -> Any:
        inner = name.strip("/")
        if not inner:
            return self._root
        if not hasattr(self._root, "keys"):
            return None
        try:
            with answering(self.path):
                try:
                    return self._root[tuple(inner.split("/"))]
                except KeyError:
                    return None
        except Away as error:
            raise Missing(str(error)) from error

    def look(self, name: str) -> StoredArray | None:
        found = self._node(name)
        is_array = found is not None and hasattr(found, "chunks")
        return TiledArray(found, f"{self.path}#{name.lstrip('/')}") if is_array else None

    def keys(self, group: str) -> list[str] | None:
        found = self._node(group)
        if found is None or not hasattr(found, "keys"):
            return None
        with answering(self.path):
            return sorted(found.keys())

    def group_attributes(self, group: str) -> Mapping[str, Any]:
        return dict(self._node(group).metadata)

    def close(self) -> None:
        context = self._root.context
        context.http_client.close()


def length(root: Any, name: str) -> int | None:
    """Return how many frames an array has; None where there is none of that name."""
    try:
        return int(root[tuple(name.strip("/").split("/"))].shape[0])
    except KeyError:
        return None


def put(
    root: Any, name: str, frames: np.ndarray[Any, Any], offset: int, known: Mapping[str, Any]
) -> None:
    """Put frames into an array, at a place; once or several times is the same.

    Parameters
    ----------
    root
        Client of the container that `name` begins in.
    name
        Path of the array; it, and the containers above it, are made as needed.
    frames
        What to put there.
    offset
        Number of the first one.
    known
        Metadata of a new array.
    """
    *above, last = name.strip("/").split("/")
    container = root
    for key in above:
        try:
            container = container[key]
        except KeyError:
            container = container.create_container(key=key)
    try:
        array = container[last]
    except KeyError:
        container.write_array(frames, key=last, metadata=dict(known))
        return
    array.patch(frames, offset=(offset, *(0 for _ in frames.shape[1:])), extend=True)
