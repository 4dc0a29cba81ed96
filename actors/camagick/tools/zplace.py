"""Where a Zarr store is: a folder, or somewhere that fsspec knows (``memory://``, ``s3://``)."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any, Protocol

from camagick.tools.frames import Unfit
from camagick.tools.replacing import replace

if TYPE_CHECKING:
    from collections.abc import Iterable

_LOCAL = "file://"


def is_url(path: str) -> bool:
    """Tell whether a store is somewhere else than in a folder."""
    return "://" in path and not path.startswith(_LOCAL)


class ZPlace(Protocol):
    """Where the files of a store are; a key is a path in it, without '/' at its ends.

    Attributes
    ----------
    store
        What zarr calls a store.
    """

    store: Any

    def read(self, key: str) -> bytes | None:
        """Return what is in a file, None where there is none."""

    def replace(self, key: str, content: bytes) -> None:
        """Write a file in the place of what may be there, in one step."""

    def remove(self, key: str) -> None:
        """Remove a file, or a folder with all that is in it."""

    def folder(self, key: str) -> str | None:
        """Return the path of a local folder, None where there is none."""

    def names(self, key: str) -> Iterable[str]:
        """Return the names in a folder, as far as it is local."""


class Folder:
    """A folder of this host.

    Parameters
    ----------
    path
        The folder.
    """

    def __init__(self, path: str) -> None:
        import zarr

        self._path = path
        self.store: Any = zarr.storage.LocalStore(path)

    def read(self, key: str) -> bytes | None:
        try:
            with open(self.folder(key), "rb") as stream:
                return stream.read()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def replace(self, key: str, content: bytes) -> None:
        replace(self.folder(key), content)

    def remove(self, key: str) -> None:
        path = self.folder(key)
        if os.path.isdir(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)

    def folder(self, key: str) -> str:
        return os.path.join(self._path, key) if key else self._path

    def names(self, key: str) -> list[str]:
        try:
            return os.listdir(self.folder(key))
        except FileNotFoundError:
            return []


class Remote:
    """What fsspec knows; files are replaced in one step where the service does so (S3 does).

    Parameters
    ----------
    url
        Its URL.
    """

    def __init__(self, url: str) -> None:
        import zarr

        self.store: Any = zarr.storage.FsspecStore.from_url(url)

    def read(self, key: str) -> bytes | None:
        from zarr.core.buffer import default_buffer_prototype
        from zarr.core.sync import sync

        found = sync(self.store.get(key, default_buffer_prototype()))
        return None if found is None else found.to_bytes()

    def replace(self, key: str, content: bytes) -> None:
        from zarr.core.buffer import default_buffer_prototype
        from zarr.core.sync import sync

        sync(self.store.set(key, default_buffer_prototype().buffer.from_bytes(content)))

    def remove(self, key: str) -> None:
        from zarr.core.sync import sync

        sync(self.store.delete(key))
        sync(self.store.delete_dir(key))

    def folder(self, key: str) -> None:
        return None

    def names(self, key: str) -> tuple[str, ...]:
        return ()


def place_of(path: str) -> ZPlace:
    """Return where a store is: a path, or a URL.

    Raises
    ------
    Unfit
        When something is missing for a URL of that kind.
    """
    try:
        return Remote(path) if is_url(path) else Folder(local(path))
    except ImportError as error:  # fsspec knows it, but needs a library for it
        raise Unfit(str(error)) from None


def local(path: str) -> str:
    """Return the path of a folder that may be written as ``file://``."""
    return path.removeprefix(_LOCAL)
