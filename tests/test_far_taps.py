"""Taps from other hosts: who has a key listens, all else is refused and seen, and data flow."""

from __future__ import annotations

import os
import pty
import re
import resource
import socket
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from unittest import mock

import psutil
import pytest
import zmq

from camagick_broker.control import say
from camagick_broker.errors import AddressError
from camagick_broker.grants import TapKey, read_key
from camagick_broker.inquiry import Inquiry
from camagick_broker.keys import Key, fresh, key_id
from camagick_broker.port import Port
from camagick_broker.remote import find_there
from camagick_broker.tapping import topic_of
from camagick_broker.wire import Head, Kind, pack
from caspy.hosts.ports import held_at
from tests import assault
from tests.buses import CASPY, Run, card_of, caspy, wait_for
from tests.test_taps import assert_whole, counts, grows, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from camagick_broker.running import Card

pytestmark = pytest.mark.xdist_group("far_taps")


def _let_core_files_be() -> None:
    """Allow core files, as far as this host does: otherwise nobody would have to prevent them."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))


READ_ONLY = ("--read-only",)
SOURCE = ("--from-scratch", "counter", "n=20000", "rate=200", "--npfun", "max")


class Site:
    """A run that listens to others, and a key for it."""

    def __init__(self, folder: Path, name: str = "", source: Sequence[str] = SOURCE) -> None:
        self.folder, self.bus = folder, f"far{os.getpid()}{name}"
        self.out = folder / "run"
        self.run = Run(
            "-bus", self.bus, "-listen", "127.0.0.1:0", *source,
            "--to-summary", f"path={self.out}", preexec_fn=_let_core_files_be,
        )  # fmt: skip

    def start(self) -> None:
        self.card: Card = card_of(self.bus)
        wait_for((self.card.folder / "gateway.json").exists, "the gateway")
        grows(self.out, 5)

    def grant(self, name: str = "tap.key", *words: str, rights: Sequence[str] = READ_ONLY) -> Path:
        """Make a key file as a shell does with '>'."""
        path = self.folder / name
        with path.open("w") as file:
            done = subprocess.run(
                [*CASPY, "-grant", self.bus, *rights, *words], stdout=file, stderr=-1,
                check=False, timeout=30,
            )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return path

    def listening(self, path: Path, key: Path, *options: str) -> Run:
        """Listen from "another host": from one that cannot see the folder of the bus."""
        elsewhere = Path(os.environ["XDG_RUNTIME_DIR"]) / "e"  # short, for sockets
        elsewhere.mkdir(mode=0o700, exist_ok=True)
        words = ["--from-tap", f"{self.bus}/1", f"key={key}", *options, "--npfun", "max"]
        with mock.patch.dict(os.environ, {"XDG_RUNTIME_DIR": str(elsewhere)}):
            return Run(*words, "--to-summary", f"path={path}", preexec_fn=_let_core_files_be)

    def refused(self, place: str) -> int:
        """Return how often the gateway has refused something, as the broker says."""
        with Inquiry(self.card.run, self.card.folder) as inquiry:
            return int((inquiry.status(5.0) or {}).get("refused", {}).get(place, 0))

    def sees(self, place: str, before: int) -> None:
        wait_for(lambda: self.refused(place) > before, f"a refusal: {self.run.log[-500:]}")

    def said(self, *words: str) -> int:
        return sum(all(word in line for word in words) for line in self.run.log.splitlines())


@pytest.fixture(scope="module")
def home() -> Iterator[str]:
    """Give a runtime folder for the whole module; its path is short, for sockets."""
    with tempfile.TemporaryDirectory(prefix="cf", dir="/tmp") as folder:
        with mock.patch.dict(os.environ, {"XDG_RUNTIME_DIR": folder}):
            yield folder
        assert not list((Path(folder) / "caspy").iterdir()), "left behind"


@pytest.fixture(autouse=True)
def _at_home(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", home)


@pytest.fixture(scope="module")
def site(home: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    one = Site(tmp_path_factory.mktemp("far"))
    with one.run:
        one.start()
        yield one
        grows(one.out, 20)
        assert one.run.running
        one.run.interrupt()
        assert one.run.wait() == 0, one.run.log
    assert_whole(one.out)


@pytest.fixture(scope="module")
def key(site: Site) -> Path:
    return site.grant()


class Peer:
    """Talks to the gateway by hand."""

    def __init__(self, key: TapKey, own: Any = None, server: bytes = b"") -> None:
        self.port, self.key = Port(), key
        address = Key(own or key.own, server or key.server)
        self.outlet = self.port.connect_dealer(key.address, os.urandom(8), address)

    def say(self, content: dict[str, Any]) -> None:
        self.outlet.send([say(self.key.run, 2, content)])
        self.port.wait(50)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.port.close()


def test_whoever_has_the_key_listens_and_counts_exactly(site: Site, key: Path) -> None:
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    seen = site.folder / "seen"
    with site.listening(seen, key, "rate=all", "-count", "100") as tap:
        assert tap.wait() == 0, tap.log
        said = counts(tap.log)
    found = numbers(seen)
    assert len(found) == 100
    assert found == sorted(set(found))
    assert said["received"] + said["missed"] + said["skipped"] >= found[-1] - found[0] + 1
    assert not said["skipped"]


def test_an_actor_of_a_third_host_is_heard_as_well(tmp_path: Path) -> None:
    """By gate, link, and gateway."""
    (tmp_path / "hosts.toml").write_text('[hosts.a]\nengine = "local"\n')
    source = ("-hosts", str(tmp_path / "hosts.toml"), *SOURCE[:4], "@a", *SOURCE[4:])
    site = Site(tmp_path, "third", source)
    with site.run as run:
        site.start()
        seen = tmp_path / "seen"
        with site.listening(seen, site.grant(), "rate=all") as tap:
            grows(seen, 50)
            run.interrupt()
            assert (run.wait(), tap.wait()) == (0, 0), tap.log
            said = counts(tap.log)
    found = numbers(seen)
    assert found == sorted(set(found))
    assert said["received"] + said["missed"] == len(numbers(site.out)) - found[0]
    assert (said["skipped"], said["repeated"]) == (0, 0)
    assert_whole(site.out)


def test_key_files_are_checked(site: Site, key: Path) -> None:
    open_to_all, nonsense, torn = (site.folder / name for name in ("open", "nonsense", "torn"))
    text = key.read_text()
    for path, content in ((open_to_all, text), (nonsense, "[tap]"), (torn, text[:-30])):
        path.write_text(content)
        path.chmod(0o600)
    open_to_all.chmod(0o644)
    for path, reason in (
        (open_to_all, f"has mode 0644, others could use it: chmod 600 {open_to_all}"),
        (nonsense, "is no key file"), (torn, "is no key file"),
        (site.folder / "none", "No such file"),
    ):  # fmt: skip
        with pytest.raises(AddressError, match=reason) as caught:
            read_key(str(path))
        assert read_key(str(key)).own.secret.decode() not in str(caught.value)
    done = caspy("--from-tap", f"{site.bus}/1", f"key={open_to_all}", "--to-summary")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert f"chmod 600 {open_to_all}" in done.stderr


@pytest.mark.parametrize("what", ["unknown", "other server", "plain", "noise"])
def test_strangers_are_refused_counted_and_named_while_data_flow(
    site: Site, key: Path, what: str
) -> None:
    real, stranger = read_key(str(key)), fresh()
    place = "connections to taps"
    before = site.refused(place)
    host, _, port = real.address.removeprefix("tcp://").rpartition(":")
    if what == "noise":
        with socket.create_connection((host, int(port))) as one:
            one.recv(1)
            one.sendall(b"GET / HTTP/1.1\r\n\r\n")
            site.sees(place, before)
        assert site.said("no key was shown", place)
    elif what == "plain":
        with assault.peer(zmq.DEALER, Path("x"), immediate=True) as one:
            one.connect(real.address)
            site.sees(place, before)
    else:
        own = stranger if what == "unknown" else None
        server = stranger.public if what == "other server" else b""
        with Peer(real, own, server) as peer:
            wait_for(lambda: peer.port.wait(50) or peer.port.refused_by, "the refusal")
            site.sees(place, before)
        if what == "unknown":
            assert site.said("unknown key", key_id(stranger.public), 'by="127.0.0.1"') == 1
    grows(site.out, 5)


def test_a_tap_can_do_nothing_but_listen(site: Site, key: Path) -> None:
    before = site.refused("taps")
    with Peer(read_key(str(key))) as peer:
        for content in (
            {"op": "register", "pid": 1}, {"op": "statistics"}, {"op": "stop"}, {"op": "grant"},
            {"op": "tap", "actor": 99, "topic": b"tall\0"},
            {"op": "tap", "actor": 1, "topic": b"x"},
            {"op": "tap", "actor": [1]}, {"op": "got", "messages": 1}, {"op": "status"},
        ):  # fmt: skip
            peer.say(content)
        data = pack(Head(Kind.DATA, peer.key.run, 1, 1, 1), b"")
        for frames in ([data], [data, data], [b"x"], [b""], [b"x"] * 5):
            peer.outlet.send(frames)
            peer.port.wait(50)
        wait_for(lambda: site.refused("taps") >= before + 13, "the refusals")
    assert site.said("a tap may only listen", f"key {key_id(peer.key.own.public)}") == 1
    grows(site.out, 5)


def test_a_revoked_key_ends_its_taps_at_once_and_no_others(site: Site, key: Path) -> None:
    other = site.grant("other.key")
    first, second = site.folder / "first", site.folder / "second"
    name = key_id(read_key(str(other)).own.public)
    with site.listening(first, key) as stays, site.listening(second, other) as goes:
        grows(first, 3)
        grows(second, 3)
        done = caspy("-revoke", site.bus, name)
        assert (done.returncode, done.stdout) == (
            0,
            f"{name} is revoked, its connections are closed\n",
        )
        assert goes.wait() == 1
        assert "refuses the key" in goes.log
        assert "Traceback" not in goes.log
        grows(first, 10)
        assert stays.running
    assert name not in caspy("-grant", site.bus, "--list").stdout
    assert key_id(read_key(str(key)).own.public) in caspy("-grant", site.bus, "--list").stdout
    again = caspy("-revoke", site.bus, name)
    assert (again.returncode, "Traceback" in again.stderr) == (2, False)
    with pytest.raises(AddressError, match="refuses the key"):
        find_there(read_key(str(other)))


def test_a_key_is_revoked_while_others_talk(site: Site, key: Path) -> None:
    """Their connections are closed, too, perhaps before what they have said was read."""
    before = site.said("is started again")
    words = [*CASPY, "-revoke", site.bus]
    with Peer(read_key(str(key))) as peer:
        for number in range(3):
            other = read_key(str(site.grant(f"{number}.key")))
            with subprocess.Popen([*words, key_id(other.own.public)], stdout=-3) as process:
                while process.poll() is None:
                    peer.outlet.send([say(peer.key.run, 2, {"op": "watch"})])
                    peer.port.wait(1)
            assert process.returncode == 0
    assert site.said("is started again") == before


def test_a_killed_gateway_is_started_again_and_taps_go_on(tmp_path: Path) -> None:
    site, seen = Site(tmp_path, "kills"), tmp_path / "seen"
    with site.run as run:
        site.start()
        key = site.grant()
        with site.listening(seen, key, "rate=all") as tap:
            grows(seen, 3)
            for _ in range(2):
                run.actor("gateway").kill()
                grows(seen, 150)  # more than may be on their way
            tap.interrupt()
            assert tap.wait() == 0, tap.log
        other = site.grant("other.key")
        with site.listening(tmp_path / "later", other, "-count", "3") as tap:
            assert tap.wait() == 0, tap.log
        done = caspy("-revoke", site.bus, key_id(read_key(str(other)).own.public))
        assert (done.returncode, "are closed" in done.stdout) == (0, True)
        assert site.said("is started again", "helper=gateway") == 2
        run.interrupt()
        assert run.wait() == 0
    found = numbers(seen)
    assert found == sorted(set(found))
    assert_whole(site.out)


def test_whoever_says_that_more_has_come_than_was_sent_is_not_sent_more(
    site: Site, key: Path
) -> None:
    """He may have listened to a gateway that was killed, or may lie."""
    with Peer(read_key(str(key))) as peer:
        many = {"messages": 10**6, "bytes": 10**12}
        peer.say({"op": "tap", "actor": 1, "topic": topic_of(None), **many})
        came = _until_nothing_comes(site, peer)
        assert 3 <= came <= 120  # of 160 kB, 16 MB
        size = 8 * 20_000 + 1000
        peer.say({"op": "got", "messages": 10**6 + 1, "bytes": 10**12 + size})
        assert _until_nothing_comes(site, peer) <= 2
        peer.say({"op": "got", **{name: 10 * most for name, most in many.items()}})
        assert 3 <= _until_nothing_comes(site, peer) <= 120


def _until_nothing_comes(site: Site, peer: Peer) -> int:
    """Return how many data messages come until none does while the tapped actor makes some."""
    came, more = 0, 1
    while more:
        grows(site.out, 40)
        more = 0
        while readable := peer.port.wait(0):
            for source in readable:
                more += sum(len(frames) > 1 for frames in peer.port.receive(source))
        came += more
        assert came < 1000
    return came


def test_secrets_are_nowhere_but_in_the_key_file(site: Site, key: Path) -> None:
    secret = read_key(str(key)).own.secret
    with site.listening(site.folder / "third", key) as tap:
        grows(site.folder / "third", 2)
        launchers = [psutil.Process(run.process.pid) for run in (site.run, tap)]
        for one in launchers + [child for parent in launchers for child in parent.children()]:
            for name in ("cmdline", "environ"):
                assert secret not in Path(f"/proc/{one.pid}/{name}").read_bytes()
        for one in (site.run.actor("gateway"), tap.actor("tap.1")):
            limits = Path(f"/proc/{one.pid}/limits").read_text()
            (line,) = [line for line in limits.splitlines() if line.startswith("Max core")]
            assert line.split()[4] == "0"
        assert secret.decode() not in tap.log + site.run.log
    for folder, _, names in os.walk(site.card.folder):
        assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700
        for path in (Path(folder) / one for one in names):
            if path.is_file():
                assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
                assert secret not in path.read_bytes()


def test_who_keeps_secrets_leaves_no_core_file() -> None:
    script = (
        "import ctypes, resource; from camagick_broker.keys import keep_secrets; keep_secrets();"
        "print(ctypes.CDLL(None).prctl(3), resource.getrlimit(resource.RLIMIT_CORE)[0])"
    )
    done = subprocess.run(
        [CASPY[0], "-c", script], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.split() == ["0", "0"]


def test_a_secret_is_not_shown_on_a_terminal_unless_that_is_said(site: Site) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [*CASPY, "-grant", site.bus], stdout=theirs, stderr=-1, text=True, check=False, timeout=30
    )
    assert done.returncode == 2
    assert "would show a secret" in done.stderr
    os.close(ours)
    os.close(theirs)


def test_a_far_tap_ends_with_its_run_and_needs_a_run_that_listens(tmp_path: Path) -> None:
    site = Site(tmp_path, "ends")
    with site.run as run:
        site.start()
        key = site.grant()
        with site.listening(tmp_path / "seen", key, "rate=all") as tap:
            grows(tmp_path / "seen", 3)
            run.interrupt()
            assert run.wait() == 0
            assert tap.wait() == 0, tap.log
        assert numbers(tmp_path / "seen")[-1] == numbers(site.out)[-1]
    with pytest.raises(AddressError, match="cannot be reached"):
        find_there(read_key(str(key)), 0.3)
    with Run("-bus", site.bus, "--from-scratch", "counter", "n=1", "rate=10", "--to-summary"):
        card_of(site.bus)
        done = caspy("-grant", site.bus)
        assert (done.returncode, "start it with -listen" in done.stderr) == (2, True)


def test_it_keeps_to_the_ports_of_the_run() -> None:
    with held_at("127.0.0.1", 0) as free:
        low = free.getsockname()[1]
    words = ("-listen", "127.0.0.1", "-ports", f"{low}-{low + 9}")
    source = ("--from-scratch", "counter", "n=1", "rate=10", "--to-summary")
    with Run("-bus", "ports", *words, *source) as run:
        wait_for(lambda: "taps from other hosts" in run.log, "the gateway")
        found = re.search(r"at=tcp://127\.0\.0\.1:(\d+)", run.log)
        assert found is not None
        assert low <= int(found[1]) <= low + 9
