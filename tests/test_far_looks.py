"""A bus on another host: who has a key looks at it; who has one for that ends it; and no others."""

from __future__ import annotations

import os
import subprocess
import tempfile
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from camagick_broker.control import say
from camagick_broker.grants import TapKey, granted, key_file, read_key
from camagick_broker.keys import fresh, key_id
from camagick_broker.looking import shown_card
from camagick_broker.remote import _card_in
from camagick_broker.remoteinquiry import RemoteInquiry
from tests.buses import CASPY, DEADLINE_S, Run, caspy, clear, wait_for
from tests.launch.test_ls import CARD
from tests.test_far_taps import SOURCE, Site
from tests.test_taps import assert_whole, grows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("far_looks")

READ_ONLY_TEXT = "may only look and listen: caspy -grant BUS without --read-only makes one that may"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    one = Site(tmp_path, "look")
    with one.run:
        one.start()
        yield one


@pytest.fixture
def elsewhere() -> Iterator[dict[str, str]]:
    """Give the environment of another host: of one that cannot see the folder of the bus."""
    with tempfile.TemporaryDirectory(prefix="ce", dir="/tmp") as folder:
        yield {**os.environ, "XDG_RUNTIME_DIR": folder}


def started(elsewhere: dict[str, str], *words: str) -> Run:
    """Start something on another host."""
    with mock.patch.dict(os.environ, elsewhere):
        return Run(*words)


def refused(done: subprocess.CompletedProcess[str], reason: str) -> None:
    """Assert that somebody was told in one line what is wrong, and where."""
    assert (done.returncode, done.stdout) == (2, ""), done
    assert reason in done.stderr.splitlines()[0]
    assert "^" in done.stderr
    assert "Traceback" not in done.stderr


def lines_of(text: str) -> list[list[str]]:
    """Return the lines of all tables in a text, as words."""
    return [line.split() for line in text.splitlines() if line.split()]


def test_ls_shows_from_elsewhere_what_it_shows_at_home(
    tmp_path: Path, elsewhere: dict[str, str]
) -> None:
    hosts = tmp_path / "hosts.toml"
    hosts.write_text('[hosts.daq]\nengine = "local"\n')
    places = ("-hosts", str(hosts), *SOURCE[:4], "@daq", *SOURCE[4:], "@local")
    site = Site(tmp_path, "ls", places)
    with site.run as run:
        site.start()
        key = site.grant()
        far: list[list[str]] = []

        def has_figures() -> bool:
            done = caspy("-ls", site.bus, f"key={key}", env=elsewhere)
            assert (done.returncode, done.stderr) == (0, "")
            far[:] = lines_of(done.stdout)
            return any(row[:1] == ["3"] and row[5] != "0" for row in far[2:])

        wait_for(has_figures, "the first figures")
        near = lines_of(caspy("-ls", site.bus).stdout)
        named = lines_of(caspy("-ls", f"key={key}", env=elsewhere).stdout)
        run.interrupt()
        assert run.wait() == 0, run.log
    head, titles, *rows = far
    assert " ".join(head).startswith(f"{site.bus}: on {os.uname().nodename}, since ")
    assert near[0][:3] == [f"{site.bus}:", "pid", str(run.process.pid)]
    assert titles == [title for title in near[2] if title != "pid"]
    assert _unchanging(rows) == _unchanging([row[:2] + row[3:] for row in near[3:6]] + near[6:])
    assert _unchanging(rows)[0] == ["1", "scratch.1", "daq", "running", "npfun.2"]
    assert _unchanging(rows)[4] == ["scratch.1", "@daq", "npfun.2"]
    assert named[1:2] + _unchanging(named[2:]) == far[1:2] + _unchanging(rows)


def _unchanging(rows: list[list[str]]) -> list[list[str]]:
    """Return what stands in the tables of -ls, without figures."""
    return [row[:4] + row[-1:] if row[0].isdecimal() else row[:3] for row in rows]


def test_top_shows_it_and_ends_with_it(site: Site, elsewhere: dict[str, str]) -> None:
    key = site.grant()
    with started(elsewhere, "-top", site.bus, f"key={key}") as top:
        wait_for(lambda: top.out.count(f"{site.bus} at ") >= 3, "some tables")
        site.run.interrupt()
        assert site.run.wait() == 0
        assert top.wait() == 0, top.log
        tables = top.out
    assert tables.splitlines()[-1] == f"{site.bus} has ended"
    assert "does not answer" not in tables
    _, titles, *rows = lines_of(tables.split(f"{site.bus} at ")[2])
    assert titles[:4] == ["#", "actor", "state", "iteration"]
    assert [row[1] for row in rows] == ["scratch.1", "npfun.2", "summary.3"]
    assert {row[2] for row in rows} == {"running"}


def test_neither_processes_nor_addresses_nor_the_command_are_shown(site: Site) -> None:
    with RemoteInquiry(read_key(str(site.grant()))) as inquiry:
        status: dict[str, Any] = wait_for(_with_before(inquiry), "figures")
    assert {entry["name"] for entry in status["actors"].values()} == {
        "scratch.1", "npfun.2", "summary.3"
    }  # fmt: skip
    for secret in (str(site.card.folder), "pid", str(site.run.process.pid), "ipc:", str(site.out)):
        assert secret not in repr(status)


def _with_before(inquiry: RemoteInquiry) -> Any:
    def look() -> dict[str, Any] | None:
        status = inquiry.status(5.0)
        return status if status and status["before"] else None

    return look


def test_a_full_key_ends_the_run_and_nothing_is_lost(site: Site, elsewhere: dict[str, str]) -> None:
    key = site.grant(rights=())
    grows(site.out, 20)
    done = caspy("-stop", site.bus, f"key={key}", env=elsewhere)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{site.bus} has ended, after ")
    assert site.run.wait() == 0, site.run.log
    assert site.said("ended from elsewhere", f"key {key_id(read_key(str(key)).own.public)}") == 1
    assert_whole(site.out)


def test_an_end_that_is_asked_for_again_is_one_end(site: Site) -> None:
    """Two Ctrl-C stop a run at once; a request that is repeated, or comes twice, never does."""
    key = read_key(str(site.grant(rights=())))
    sink = site.run.actor("summary.3")
    sink.suspend()  # so that the drain lasts
    with RemoteInquiry(key) as one, RemoteInquiry(key) as other:
        for inquiry in (one, other, one, one):
            assert inquiry.end(5.0) == {"op": "end", "may": True, "why_not": ""}
            assert inquiry.status(5.0) is not None
        assert site.run.running
        sink.resume()
        assert site.run.wait() == 0, site.run.log
        assert one.last_word(5.0) is not None
    assert_whole(site.out)


STOP = """
import sys
from caspy import stop
stop._SILENT_S = 1.0
print(*stop.stop(sys.argv[1], float(sys.argv[2]), sys.argv[3]), sep="; ")
"""


def stopping(elsewhere: dict[str, str], site: Site, patience_s: float) -> subprocess.Popen[str]:
    """Start what ends a run from elsewhere, with little patience."""
    key = site.grant(rights=())
    return subprocess.Popen(
        [CASPY[0], "-c", STOP, site.bus, str(patience_s), str(key)], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, env=elsewhere,
    )  # fmt: skip


def test_it_does_not_wait_for_ever(site: Site, elsewhere: dict[str, str]) -> None:
    sink = site.run.actor("summary.3")
    sink.suspend()
    said, _ = stopping(elsewhere, site, 2.0).communicate(timeout=DEADLINE_S)
    assert said.startswith(f"{site.bus} was asked to end, and still drains (caspy -ls {site.bus} ")
    assert said.endswith("; 1\n")
    sink.resume()
    assert site.run.wait() == 0, site.run.log
    assert_whole(site.out)


def test_a_run_that_is_killed_meanwhile_is_no_success(
    site: Site, elsewhere: dict[str, str]
) -> None:
    site.run.actor("summary.3").suspend()  # so that the drain lasts
    waits = stopping(elsewhere, site, 60.0)
    wait_for(lambda: site.said("ended from elsewhere"), "the request")
    site.run.process.kill()
    said, _ = waits.communicate(timeout=DEADLINE_S)
    assert said == f"{site.bus} was asked to end, and cannot be reached any more; 1\n"
    clear(site.bus)


def test_a_gateway_that_is_killed_meanwhile_does_not_matter(
    site: Site, elsewhere: dict[str, str]
) -> None:
    sink = site.run.actor("summary.3")
    sink.suspend()
    key = site.grant(rights=())
    with started(elsewhere, "-stop", site.bus, f"key={key}") as stop:
        wait_for(lambda: site.said("ended from elsewhere"), "the request")
        site.run.actor("gateway").kill()
        wait_for(lambda: site.said("is started again", "helper=gateway"), "its successor")
        with RemoteInquiry(read_key(str(key))) as inquiry:
            for _ in range(3):  # by then, the other has asked as well
                wait_for(lambda: inquiry.end(1.0), "an answer")
                inquiry.last_word(1.0)
        sink.resume()
        assert site.run.wait() == 0, site.run.log
        assert stop.wait() == 0, stop.out
        assert stop.out.startswith(f"{site.bus} has ended, after ")
    assert_whole(site.out)


def test_a_read_only_key_cannot_end_it_which_is_seen_while_data_flow(
    site: Site, elsewhere: dict[str, str]
) -> None:
    key, before = site.grant(), site.refused("taps")
    text = key.read_text()
    assert "may_end = false" in text
    for says in ("may_end = false", "may_end = true"):  # what the file says is not what counts
        key.write_text(text.replace("may_end = false", says))
        done = caspy("-stop", site.bus, f"key={key}", env=elsewhere)
        refused(done, f"the key {key} {READ_ONLY_TEXT}")
    wait_for(lambda: site.refused("taps") >= before + 2, "the refusals")
    assert site.said("a key that may only look and listen: it asks for the end", "127.0.0.1")
    grows(site.out, 20)
    assert site.run.running


def test_a_key_says_what_it_is_for(site: Site) -> None:
    looks, ends = site.grant("looks.key"), site.grant("ends.key", rights=())
    said = {line.split()[0]: line.split(maxsplit=3)[3] for line in
            caspy("-grant", site.bus, "--list").stdout.splitlines()}  # fmt: skip
    for path, text in ((looks, "read-only"), (ends, "may end the run")):
        assert said[key_id(read_key(str(path)).own.public)] == text
    assert [one.may_end for one in granted(site.card.folder)] == [False, True]
    assert f"caspy -stop {site.bus} key=FILE" in ends.read_text()
    assert "-stop" not in looks.read_text()


def test_a_grant_that_does_not_say_so_ends_nothing(site: Site) -> None:
    path = site.grant(rights=())
    (file,) = (site.card.folder / "grants").glob("*.json")
    file.write_text(file.read_text().replace('"may_end": true', '"may_end": "true"'))
    with RemoteInquiry(read_key(str(path))) as inquiry:
        answer = wait_for(lambda: inquiry.end(1.0), "an answer")
    assert answer == {"op": "end", "may": False}


@pytest.mark.parametrize("what", ["-ls", "-top", "-stop"])
def test_a_revoked_key_shows_and_ends_nothing(
    site: Site, elsewhere: dict[str, str], what: str
) -> None:
    key = site.grant(rights=())
    with started(elsewhere, "-top", site.bus, f"key={key}") as top:
        wait_for(lambda: top.out.count(" at "), "a table")
        caspy("-revoke", site.bus, key_id(read_key(str(key)).own.public))
        assert top.wait() == 2
        assert "refuses the key" in top.log.splitlines()[0]
        assert "Traceback" not in top.log
    done = caspy(what, site.bus, f"key={key}", env=elsewhere)
    refused(done, f"refuses the key for bus {site.bus}")
    assert site.run.running


def test_a_key_of_another_run_opens_nothing(site: Site, elsewhere: dict[str, str]) -> None:
    other = Site(site.folder, "other")
    with other.run:
        other.start()
        key, theirs = site.grant(rights=()), other.grant("other.key", rights=())
        done = caspy("-stop", other.bus, f"key={key}", env=elsewhere)
        refused(done, f"the key {key} is for bus '{site.bus}', not for '{other.bus}'")
        mine, real = read_key(str(key)), read_key(str(theirs))
        text = key.read_text().replace(mine.address, real.address)
        for server in (mine.server, real.server):  # what is for one gateway fits no other
            forged = text.replace(mine.server.decode(), server.decode())
            key.write_text(forged.replace(f'"{site.bus}"', f'"{other.bus}"'))
            before = other.refused("connections to taps")
            done = caspy("-stop", other.bus, f"key={key}", env=elsewhere)
            assert done.returncode == 2
            assert "Traceback" not in done.stderr
            other.sees("connections to taps", before)
        assert other.run.running
        other.run.interrupt()
        assert other.run.wait() == 0


@pytest.mark.parametrize(
    "odd", [{"host": "\x1b[2J"}, {"started": 1e300}, {"started": float("nan")}, {"bus": "a\nb"},
            {"actors": [{"number": 1, "name": "\x07", "inputs": [], "pipe": 0}]}, {"actors": None},
            {"actors": [{"number": float("inf"), "name": "a", "inputs": [], "pipe": 0}]}],
)  # fmt: skip
def test_a_card_that_would_harm_a_terminal_is_none(odd: dict[str, Any]) -> None:
    own = fresh()
    key = TapKey("b", b"12345678", "tcp://127.0.0.1:1", own.public, own)
    card = {**shown_card(CARD), **odd}
    for shown, expected in ((shown_card(CARD), CARD.actors), (card, None)):
        frame = mock.Mock(buffer=say(key.run, 0, {"op": "card", "card": shown}))
        found = _card_in([frame], key)
        assert (found and found.actors) == expected


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["-ls", "b", "key=/none"], "cannot read the key file /none: No such file"),
        (["-top", "b", "key=nonsense"], "nonsense is no key file: caspy -grant BUS > nonsense"),
        (["-stop", "b", "key=open"], "has mode 0644, others could use it: chmod 600 open"),
        (["-top", "b", "key=nowhere"], "bus b cannot be reached at tcp://a b:5: Invalid argument"),
        (["-stop", "key=/none"], "cannot read the key file /none"),
        (["-ls", "b", "key="], "-ls runs nothing: this word is too much"),
        (["-ls", "b", "key=a", "key=b"], "-ls runs nothing: this word is too much"),
    ],
)
def test_mistakes(tmp_path: Path, words: list[str], reason: str) -> None:
    for name, mode in (("nonsense", 0o600), ("open", 0o644)):
        (tmp_path / name).write_text("[tap]")
        (tmp_path / name).chmod(mode)
    key = TapKey("b", b"12345678", "tcp://a b:5", fresh().public, fresh())
    (tmp_path / "nowhere").touch(0o600)
    (tmp_path / "nowhere").write_text(key_file(key))
    refused(caspy(*words, cwd=tmp_path), reason)
