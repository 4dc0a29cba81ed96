"""A real Tango on the other side: a database on SQLite, and device servers, all on loopback.

A test module names the fixtures it needs (``from tests.servers import tango``, then
``lab = tango.lab``). The database and one device server are started once for a module.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.servers.ioc import free_port, until

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEVICE = Path(__file__).with_name("tango_device.py")
#: Where Debian's package tango-test has the C++ server.
_CPP = "/usr/lib/tango/TangoTest"
NAME = "devices/keithley/1"


class Server:
    """A device server; its device is found through the database, or directly by its `url`.

    Parameters
    ----------
    command
        What starts it.
    env
        Its environment.
    url
        Full name of the device.
    folder
        For its output.
    """

    def __init__(self, command: list[str], env: dict[str, str], url: str, folder: Path) -> None:
        self._command, self._env, self.url = command, env, url
        self._log = folder / f"{url.split('#')[0].replace('/', '_')}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until the device answers."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        if wait:
            self.wait()

    def wait(self) -> None:
        """Wait until the device answers."""
        try:
            until(self._answers, self.url)
        except BaseException:
            print(self._log.read_text())  # shown by pytest when the test fails
            self.kill()
            raise

    def _answers(self) -> bool:
        import tango

        assert self.process is None or self.process.poll() is None, "it has ended"
        with contextlib.suppress(tango.DevFailed):
            return bool(self.device().ping())
        return False

    def device(self) -> Any:
        """Return a client of one's own."""
        import tango

        return tango.DeviceProxy(self.url)

    def kill(self) -> None:
        """Kill it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Lab:
    """A Tango database; device servers are started by `keithley` and others.

    Attributes
    ----------
    host
        What ``TANGO_HOST`` has to be.
    """

    def __init__(self, port: int, folder: Path, stack: contextlib.ExitStack) -> None:
        self.host, self.folder, self._stack = f"127.0.0.1:{port}", folder, stack
        self.env = {
            **{key: value for key, value in os.environ.items() if key != "CASPY_TEST_WRITES"},
            "TANGO_HOST": self.host,
            "HOME": str(folder),
        }

    def url(self, device: str) -> str:
        """Return the full name of a device in this database."""
        return f"tango://{self.host}/{device}"

    def register(self, server: str, instance: str, device: str) -> None:
        """Tell the database of a device."""
        import tango

        info = tango.DbDevInfo()
        info.server, info._class, info.name = f"{server}/{instance}", server, device
        host, _, port = self.host.partition(":")
        tango.Database(host, port).add_device(info)

    def name(self, alias: str, device: str) -> None:
        """Give a device an alias."""
        import tango

        host, _, port = self.host.partition(":")
        tango.Database(host, port).put_device_alias(device, alias)

    def keithley(self, instance: str, device: str, **env: str) -> Server:
        """Start the device server of the tests with one device."""
        self.register("Keithley", instance, device)
        words = [
            sys.executable,
            "-P",
            str(_DEVICE),
            instance,
            "-ORBendPoint",
            "giop:tcp:127.0.0.1:0",
        ]
        return self._running(Server(words, {**self.env, **env}, self.url(device), self.folder))

    def without_database(self, port: int, device: str) -> Server:
        """Start the device server of the tests at a port, unknown to any database."""
        url = f"tango://127.0.0.1:{port}/{device}#dbase=no"
        words = [sys.executable, "-P", str(_DEVICE), "nodb", "-ORBendPoint"]
        words += [f"giop:tcp:127.0.0.1:{port}", "-nodb", "-dlist", device]
        return self._running(Server(words, self.env, url, self.folder))

    def tango_test(self) -> Server:
        """Start Debian's C++ TangoTest; skips the test where it is not installed."""
        program = os.environ.get("TANGO_TEST", _CPP)
        if shutil.which(program) is None:
            pytest.skip("the C++ device server TangoTest (Debian: tango-test) is not installed")
        self.register("TangoTest", "test", "sys/tg_test/1")
        words = [program, "test", "-ORBendPoint", "giop:tcp:127.0.0.1:0"]
        return self._running(Server(words, self.env, self.url("sys/tg_test/1"), self.folder))

    def _running(self, server: Server) -> Server:
        self._stack.callback(server.kill)
        server.start()
        return server


@contextlib.contextmanager
def database(folder: Path) -> Iterator[Lab]:
    """Give a database of one's own."""
    tango = pytest.importorskip("tango")
    with free_port() as port, contextlib.ExitStack() as stack:
        lab = Lab(port, folder, stack)
        words = ["-m", "tango.databaseds.database", "--host", "127.0.0.1", "--port", str(port), "2"]
        with (folder / "database.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *words], env=lab.env, cwd=folder, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log,
            )  # fmt: skip

        def answers() -> bool:
            assert process.poll() is None, (folder / "database.log").read_text()
            with contextlib.suppress(tango.DevFailed):
                tango.Database("127.0.0.1", str(port))
                return True
            return False

        try:
            until(answers, "the Tango database")
            with stack:
                yield lab
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Give a database."""
    with tempfile.TemporaryDirectory(prefix="caspy-tango-") as folder, database(Path(folder)) as it:
        yield it


@pytest.fixture(scope="module")
def keithley(lab: Lab) -> Server:
    """Give a running device of the document's name."""
    return lab.keithley("one", NAME)
