"""Several hosts on one machine: network namespaces on a switch, each with a real sshd.

    @pytest.fixture(scope="module")
    def lab() -> Iterator[hosts.Network]:
        with hosts.network("daq", "gpu", "disk") as made:
            yield made

    lab.run("daq", "ssh", "gpu", "hostname")         # as if typed at the console of daq
    lab.run("daq", "caspy", "-hosts", lab.hosts_file, "--from-scratch", ...)
    lab.cut("gpu"); lab.mend("gpu"); lab.delay("disk", 0.02); lab.loss("disk", 0.1)

On each host `caspy` is the tree under test, `ssh` knows all the others by name without a question,
names resolve, and the hostname, the runtime folder and the temporary folder are its own. All hosts
share the file system and the process numbers of the machine: a test can kill a host's processes.

Everything is gone at the end: whatever still runs on a host is killed. What a test run that was
itself killed has left behind is removed by the next one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.servers import logins, wire
from tests.servers.logins import ROOT, SOURCES
from tests.servers.namespaces import (
    DEADLINE_S,
    call,
    die_with_us,
    kill,
    new_folder,
    processes,
    remove,
    sweep,
)  # fmt: skip
from tests.servers.namespaces import missing as _missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["ROOT", "SOURCES", "Host", "Network", "missing", "network", "sweep"]


class Host:
    """One of them.

    Parameters
    ----------
    name, number
        What it is called, and its place on the network, from 1.
    namespace
        The network namespace that it is.
    folder
        For its files.

    Attributes
    ----------
    address, address6
        Its addresses, IPv4 and IPv6.
    """

    def __init__(self, name: str, number: int, namespace: str, folder: Path) -> None:
        self.name, self.number, self.namespace, self.folder = name, number, namespace, folder
        self.address, self.address6 = f"10.77.0.{number}", f"fd77::{number}"
        self.wire: subprocess.Popen[str] | None = None
        self.whole = True

    @property
    def port(self) -> str:
        """The port of the switch where it is plugged in, or its wire."""
        return f"far{self.number}" if self.wire else f"port{self.number}"


class Network:
    """Hosts on a switch. Made by `network`.

    Parameters
    ----------
    folder
        For keys, configurations and logs.
    names
        Of the hosts: letters, digits and dashes.
    stack
        What is to be undone at the end.
    ssh
        Whether one can log in to them.

    Attributes
    ----------
    hosts
        By their names.
    ssh_config
        For ``ssh -F`` on any of the hosts; the `ssh` that is on their PATH uses it by itself.
    hosts_file
        What ``caspy -hosts`` takes.
    """

    def __init__(
        self, folder: Path, names: tuple[str, ...], stack: contextlib.ExitStack, *, ssh: bool
    ) -> None:
        self._folder, self._stack = folder, stack
        self._switch = f"{folder.name}-switch"
        self.ssh_config = folder / "ssh_config"
        self.hosts_file = folder / "hosts.toml"
        self._environment: dict[str, str] = {}
        self.hosts = {
            name: Host(name, number, f"{folder.name}-{name}", folder / name)
            for number, name in enumerate(names, 1)
        }
        stack.callback(self._clear)
        self._make_switch()
        logins.write(folder, self.hosts.values())
        for host in self.hosts.values():
            self._make_host(host)
        if ssh:
            logins.write_keys(folder, self.hosts.values())
            self._start_servers()

    def command(self, host: str, *words: str | os.PathLike[str]) -> list[str]:
        """Return the command line that runs `words` at the console of a host."""
        at = self.hosts[host]
        enter = ["ip", "netns", "exec", at.namespace, "unshare", "--uts", str(at.folder / "enter")]
        return [*enter, *map(str, words)]

    def run(
        self, host: str, *words: str | os.PathLike[str], **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on a host to its end."""
        options = {"stdin": subprocess.DEVNULL, "timeout": DEADLINE_S, "check": False, **options}
        options["env"] = {**self._variables, **options.get("env", {})}
        if "input" in options:
            del options["stdin"]
        return subprocess.run(self.command(host, *words), capture_output=True, text=True, **options)

    def popen(
        self, host: str, *words: str | os.PathLike[str], **options: Any
    ) -> subprocess.Popen[Any]:
        """Start a command on a host."""
        options["env"] = {**self._variables, **options.get("env", {})}
        return subprocess.Popen(
            self.command(host, *words), **{"stdin": subprocess.DEVNULL, **options}
        )

    def serve(self, host: str, *words: str | os.PathLike[str], **options: Any) -> None:
        """Start a command on a host that is killed with it."""
        self.serve_command(self.command(host, *words), **options)

    def serve_command(self, words: Sequence[str], **options: Any) -> None:
        """Start a command line of `command` that is killed with its host."""
        options = {"stdin": subprocess.DEVNULL, **options}
        process = subprocess.Popen(words, preexec_fn=die_with_us, **options)
        self._stack.callback(process.wait, DEADLINE_S)
        self._stack.callback(process.kill)

    def set_environment(self, **variables: str) -> None:
        """Set variables for what is started from now on at the consoles; not over ssh."""
        self._environment.update(variables)

    @property
    def _variables(self) -> dict[str, str]:
        """What is set at a console; of the settings of EPICS here, nothing."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("EPICS_")}
        return {**kept, **self._environment}

    def processes(self, host: str) -> list[int]:
        """Return the numbers of all processes on a host, its sshd among them."""
        return processes(self.hosts[host].namespace)

    def cut(self, host: str) -> None:
        """Pull the plug of a host at the switch: nobody is told, nothing comes through."""
        at = self.hosts[host]
        self._ip(f"link set {at.port} nomaster")
        at.whole = False

    def mend(self, host: str) -> None:
        """Put the plug in again; no frame is delayed or lost any more."""
        at = self.hosts[host]
        if at.wire is not None:
            _end_wire(at.wire)
            at.wire = None
            self._ip(f"link del near{at.number}")
        self._ip(f"link set {at.port} master switch")
        at.whole = True

    def delay(self, host: str, seconds: float) -> None:
        """Let each frame to and from a host take so long; a round trip takes twice that."""
        self._tell(host, f"delay {seconds}")

    def loss(self, host: str, share: float) -> None:
        """Lose a share of the frames to and from a host, each way."""
        self._tell(host, f"loss {share}")

    def die(self, host: str) -> None:
        """Let a host go for good: no link, and no process."""
        self.cut(host)
        kill(self.hosts[host].namespace)

    def _tell(self, host: str, line: str) -> None:
        at = self.hosts[host]
        if at.wire is None:
            self._insert_wire(at)
        assert at.wire is not None
        assert at.wire.stdin is not None
        at.wire.stdin.write(f"{line}\n")
        at.wire.stdin.flush()
        self._expect_ok(at)

    def _insert_wire(self, at: Host) -> None:
        near, far = f"near{at.number}", f"far{at.number}"
        self._ip(
            f"link add name {near} type veth peer name {far}",
            f"link set {near} up", f"link set {far} up",
        )  # fmt: skip
        program = [sys.executable, wire.__file__]
        for namespace, name in ((at.namespace, "eth0"), (self._switch, far)):
            call("ip", "netns", "exec", namespace, *program, "plain", name)
        self._ip(f"link set port{at.number} nomaster")
        at.wire = subprocess.Popen(
            ["ip", "netns", "exec", self._switch, *program, "relay", f"port{at.number}", near],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_us,
        )  # fmt: skip
        self._expect_ok(at)
        if at.whole:
            self._ip(f"link set {far} master switch")

    def _expect_ok(self, at: Host) -> None:
        assert at.wire is not None
        assert at.wire.stdout is not None
        assert at.wire.stdout.readline() == "ok\n", f"the wire of {at.name} is broken"

    def _ip(self, *lines: str, namespace: str = "") -> None:
        text = "\n".join(lines) + "\n"
        call("ip", "-n", namespace or self._switch, "-batch", "-", input=text)

    def _make_switch(self) -> None:
        call("ip", "netns", "add", self._switch)
        self._ip("link add name switch type bridge forward_delay 0", "link set switch up")

    def _make_host(self, at: Host) -> None:
        call("ip", "netns", "add", at.namespace)
        self._ip(
            f"link add name port{at.number} type veth peer name eth0 netns {at.namespace}",
            f"link set port{at.number} master switch", f"link set port{at.number} up",
        )  # fmt: skip
        self._ip(
            "link set lo up",
            f"addr add {at.address}/24 broadcast + dev eth0",
            f"addr add {at.address6}/64 dev eth0 nodad",
            "link set eth0 up",
            namespace=at.namespace,
        )

    def _start_servers(self) -> None:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd will not start without
        for at in self.hosts.values():
            with (at.folder / "sshd.log").open("ab") as log:
                config = at.folder / "sshd_config"
                self.serve(at.name, logins.SSHD, "-D", "-e", "-f", config, stdout=log, stderr=log)
        for at in self.hosts.values():
            self._wait_for_server(at)

    def _wait_for_server(self, at: Host) -> None:
        deadline = time.monotonic() + DEADLINE_S
        log = at.folder / "sshd.log"
        while "Server listening on 0.0.0.0" not in log.read_text():
            assert time.monotonic() < deadline, f"no sshd on {at.name}: {log.read_text()}"
            time.sleep(0.02)

    def _clear(self) -> None:
        """Remove everything, however much of it there is."""
        for at in self.hosts.values():
            if at.wire is not None:
                _end_wire(at.wire)
        for namespace in (*(at.namespace for at in self.hosts.values()), self._switch):
            remove(namespace)


def missing(*, ssh: bool = True) -> str:
    """Return why there can be no hosts here; '' if there can."""
    return _missing(logins.PROGRAMS if ssh else ())


@contextlib.contextmanager
def network(*names: str, ssh: bool = True) -> Iterator[Network]:
    """Give hosts with these names; skips the test where that is not possible."""
    if reason := missing(ssh=ssh):
        pytest.skip(reason)
    sweep()
    with contextlib.ExitStack() as stack:
        folder = new_folder()
        stack.callback(shutil.rmtree, folder)
        yield Network(folder, names, stack, ssh=ssh)


def _end_wire(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.kill()
    process.wait(DEADLINE_S)
    process.stdin.close()
    process.stdout.close()
