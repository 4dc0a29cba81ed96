"""Clients on the same and on another host find every PV of several runs, with default settings."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.servers import ioc

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.skipif(shutil.which("ip") is None, reason="there is no iproute2"),
]

DEADLINE_S = 30.0
PVS = ("R1:one", "R2:two", "R2:set", "C:x")
#: Nothing of EPICS is set: neither for the servers nor for the clients.
ENV = {key: value for key, value in os.environ.items() if not key.startswith("EPICS_")}


class Hosts:
    """Two hosts on one wire: the first one has two runs of caspy, and a C IOC."""

    def __init__(self, stack: contextlib.ExitStack, folder: Path) -> None:
        self._stack, self._folder = stack, folder
        self.names = [f"caspy-{os.getpid()}-{letter}" for letter in "ab"]
        self._env = {**ENV, "XDG_RUNTIME_DIR": str(folder), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        for name in self.names:
            self._run("ip", "netns", "add", name)
            stack.callback(self._run, "ip", "netns", "del", name)
        ends = [word for n, name in enumerate(self.names) for word in (f"wire{n}", "netns", name)]
        self._run("ip", "link", "add", "name", *ends[:3], "type", "veth", "peer", "name", *ends[3:])
        for number, name in enumerate(self.names):
            address = f"10.99.0.{number + 1}/24"
            self._run("ip", "-n", name, "addr", "add", address, "broadcast", "+", "dev",
                      f"wire{number}")  # fmt: skip
            for device in ("lo", f"wire{number}"):
                self._run("ip", "-n", name, "link", "set", device, "up")

    def _run(self, *words: str) -> None:
        subprocess.run(words, check=True, timeout=DEADLINE_S, env=ENV)

    def start(self, *words: str) -> None:
        """Start a server on the first host."""
        command = ["ip", "netns", "exec", self.names[0], *words]
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(
                command, env=self._env, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self._stack.callback(process.wait, DEADLINE_S)
        self._stack.callback(process.terminate)

    @contextlib.contextmanager
    def unplugged(self) -> Iterator[None]:
        """Take the network away from the first host."""
        link = ["ip", "-n", self.names[0], "link", "set", "wire0"]
        self._run(*link, "down")
        try:
            yield
        finally:
            self._run(*link, "up")

    def caget(self, host: int, name: str, seconds: str = "2", **variables: str) -> str:
        """Return what a client on a host reads."""
        command = ["ip", "netns", "exec", self.names[host], str(ioc.tools() / "caget"), "-t", "-w"]
        done = subprocess.run(
            [*command, seconds, name], env={**self._env, **variables}, capture_output=True,
            text=True, timeout=DEADLINE_S, check=False,
        )  # fmt: skip
        return done.stdout.strip()


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    caspy = [sys.executable, "-m", "caspy"]
    with tempfile.TemporaryDirectory(prefix="caspy-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        made = Hosts(stack, folder)
        (folder / "c.db").write_text('record(ao, "C:x") { field(VAL, "7") field(PINI, "YES") }\n')
        counter = ["--from-scratch", "counter", "rate=20"]
        made.start(*caspy, *counter, "one=1", "--to-ioc", "prefix=R1:")
        made.start(*caspy, *counter, "two=1", "--to-ioc", "prefix=R2:",
                   ",", "--from-ioc", "set=set(3)", "prefix=R2:", "--to-summary")  # fmt: skip
        made.start(str(ioc.tools() / "softIoc"), "-S", "-d", str(folder / "c.db"))
        for pv in PVS:
            ioc.until(functools.partial(made.caget, 0, pv, "1"), f"{pv} is there")
        yield made


@pytest.mark.parametrize("host", [0, 1], ids=["the same host", "another host"])
def test_every_pv_is_found_with_default_settings(hosts: Hosts, host: int) -> None:
    """By broadcast, which reaches every server of a host, whoever came first to port 5064."""
    for _ in range(3):
        values = {pv: hosts.caget(host, pv) for pv in PVS}
        assert all(re.fullmatch(r"\d+", value) for value in values.values()), values
        assert (values["R2:set"], values["C:x"]) == ("3", "7")


def test_every_pv_is_found_by_the_broadcast_of_loopback(hosts: Hosts) -> None:
    there = {"EPICS_CA_AUTO_ADDR_LIST": "NO", "EPICS_CA_ADDR_LIST": "127.255.255.255"}
    assert all(hosts.caget(0, pv, **there) for pv in PVS)


@pytest.mark.parametrize("host", [0, 1], ids=["the same host", "another host"])
def test_every_pv_is_found_by_the_address_of_the_host(hosts: Hosts, host: int) -> None:
    """The kernel gives that to one server only: it passes it on."""
    for address in ("10.99.0.1", "127.0.0.1")[: 2 - host]:
        there = {"EPICS_CA_AUTO_ADDR_LIST": "NO", "EPICS_CA_ADDR_LIST": address}
        for _ in range(5):  # from another port each time: the kernel's choice depends on that
            assert all(hosts.caget(host, pv, **there) for pv in PVS), address


def test_every_pv_is_found_without_a_network(hosts: Hosts) -> None:
    """A client with default settings asks 127.0.0.1 then."""
    with hosts.unplugged():
        for _ in range(5):
            assert all(hosts.caget(0, pv) for pv in PVS)
