"""Clients on the same and on another host find every PV of several runs, with default settings."""

from __future__ import annotations

import contextlib
import functools
import re
import signal
from typing import TYPE_CHECKING

import pytest

from tests.servers import hosts as beds
from tests.servers import ioc

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.long

DEADLINE_S = 30.0
PVS = ("R1:one", "R2:two", "R2:set", "C:x")
NAMES = ("one", "other")


class Hosts:
    """Two hosts on one wire: the first one has two runs of caspy, and a C IOC.

    Nothing of EPICS is set: neither for the servers nor for the clients.
    """

    def __init__(self, bed: beds.Network, stack: contextlib.ExitStack, folder: Path) -> None:
        self._bed, self._stack, self._folder = bed, stack, folder

    def start(self, *words: str) -> None:
        """Start a server on the first host."""
        with (self._folder / "log").open("ab") as log:
            process = self._bed.popen(NAMES[0], *words, stdout=log, stderr=log)
        self._stack.callback(process.wait, DEADLINE_S)
        self._stack.callback(process.send_signal, signal.SIGTERM)

    @contextlib.contextmanager
    def unplugged(self) -> Iterator[None]:
        """Take the network away from the first host."""
        link = ["ip", "link", "set", "eth0"]
        assert self._bed.run(NAMES[0], *link, "down").returncode == 0
        try:
            yield
        finally:
            self._bed.run(NAMES[0], *link, "up")

    @property
    def address(self) -> str:
        """That of the first host."""
        return self._bed.hosts[NAMES[0]].address

    def caget(self, host: int, name: str, seconds: str = "2", **variables: str) -> str:
        """Return what a client on a host reads."""
        words = [str(ioc.tools() / "caget"), "-t", "-w", seconds, name]
        done = self._bed.run(NAMES[host], *words, env=variables, timeout=DEADLINE_S)
        return done.stdout.strip()


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    folder = tmp_path_factory.mktemp("hosts")
    with beds.network(*NAMES, ssh=False) as bed, contextlib.ExitStack() as stack:
        made = Hosts(bed, stack, folder)
        (folder / "c.db").write_text('record(ao, "C:x") { field(VAL, "7") field(PINI, "YES") }\n')
        counter = ["--from-scratch", "counter", "rate=20"]
        made.start("caspy", *counter, "one=1", "--to-ioc", "prefix=R1:")
        made.start("caspy", *counter, "two=1", "--to-ioc", "prefix=R2:",
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
    for address in (hosts.address, "127.0.0.1")[: 2 - host]:
        there = {"EPICS_CA_AUTO_ADDR_LIST": "NO", "EPICS_CA_ADDR_LIST": address}
        for _ in range(5):  # from another port each time: the kernel's choice depends on that
            assert all(hosts.caget(host, pv, **there) for pv in PVS), address


def test_every_pv_is_found_without_a_network(hosts: Hosts) -> None:
    """A client with default settings asks 127.0.0.1 then."""
    with hosts.unplugged():
        for _ in range(5):
            assert all(hosts.caget(0, pv) for pv in PVS)
