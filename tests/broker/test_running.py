"""What a running bus leaves for others to find it."""

from __future__ import annotations

import json
import stat
import time
from typing import TYPE_CHECKING

import pytest

from camagick_broker.address import bus_folder, is_held, runtime_dir
from camagick_broker.errors import AddressError
from camagick_broker.running import Card, Member, actor_of, fate, find, read, running, write
from tests.broker.conftest import RUN

if TYPE_CHECKING:
    from pathlib import Path

ACTORS = (
    Member(1, "scratch.1", (), 0),
    Member(2, "npfun.2", (1,), 0),
    Member(3, "npfun.3", (1,), 0),
    Member(4, "summary.4", (2, 3), 0),
)


def card(name: str, run: bytes = RUN, started: float = 1.0) -> Card:
    return Card(name, run, 4711, "here", started, ("caspy", "-bus", name), "0.1.0", ACTORS)


def test_a_card_comes_back_as_it_was_and_is_nobody_elses(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    write(folder, card("mine"))
    assert read(folder) == card("mine")
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "[" * 100_000, '{"bus": "mine"}', json.dumps({"run": 5, "actors": 3})],
)
def test_a_card_that_cannot_be_read_is_none(content: str, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "bus.json").write_text(content)
    assert read(folder) is None


def test_running_is_who_holds_the_lock() -> None:
    with bus_folder("old") as old, bus_folder("new") as new, bus_folder("starting"):
        write(new, card("new", started=2.0))
        write(old, card("old"))
        assert running() == [card("old"), card("new", started=2.0)]
        assert find("new").started == 2.0
        assert is_held(old)
    assert running() == []


def test_what_was_killed_is_not_listed() -> None:
    folder = runtime_dir() / "dead"
    folder.mkdir()
    write(folder, card("dead"))
    (folder / "lock").touch()
    assert not is_held(folder)
    assert running() == []
    assert fate(card("dead")) == "killed"
    with bus_folder("dead"):  # the next of that name takes the folder over
        pass


def test_looking_does_not_keep_the_next_from_starting() -> None:
    with bus_folder("again") as folder:
        write(folder, card("again"))
        assert fate(card("again")) == "running"
    for _ in range(20):
        assert running() == []
        with bus_folder("again"):
            pass


def test_what_has_become_of_a_bus() -> None:
    with bus_folder("mine") as folder:
        write(folder, card("mine"))
        assert fate(card("mine")) == "running"
        assert fate(card("mine", run=b"\1" * 8)) == "killed", "another run of that name is there"
        (folder / "bus.json").unlink()
        assert fate(card("mine")) == "ended", "it is just being removed"
    assert fate(card("mine")) == "ended"


def test_finding() -> None:
    with pytest.raises(AddressError, match=r"no bus is running: start one"):
        find()
    with pytest.raises(AddressError, match=r"no bus called 'x' is running: start one"):
        find("x")
    with bus_folder("scan") as scan:
        write(scan, card("scan"))
        assert find() == find("scan") == card("scan")
        with pytest.raises(AddressError, match=r"no bus called 'scam' .*did you mean 'scan'\?"):
            find("scam")
        with pytest.raises(AddressError, match=r"no bus called 'xyz' is running \(running: scan\)"):
            find("xyz")
        with pytest.raises(AddressError, match="no bus called 'scan' is running: start"):
            find("scan", but=RUN)
        with bus_folder("other") as other:
            write(other, card("other", started=time.time()))
            with pytest.raises(AddressError, match="2 buses are running, name one: scan, other"):
                find()


@pytest.mark.parametrize(
    ("text", "number"), [("1", 1), ("scratch.1", 1), ("scratch", 1), ("npfun.3", 3), ("3", 3)]
)
def test_actors_by_number_and_name(text: str, number: int) -> None:
    assert actor_of(card("b"), text).number == number


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("npfun", "bus b has several actors called 'npfun': npfun.2, npfun.3"),
        ("9", "bus b has no actor '9': it has scratch.1, npfun.2, npfun.3, summary.4"),
        ("", "has no actor ''"),
    ],
)
def test_actors_that_are_not_there(text: str, wrong: str) -> None:
    with pytest.raises(AddressError, match=wrong):
        actor_of(card("b"), text)


def test_neighbours() -> None:
    assert [one.name for one in card("b").consumers(1)] == ["npfun.2", "npfun.3"]
    assert card("b").consumers(4) == []
    assert card("b").named(ACTORS[3].inputs) == ["npfun.2", "npfun.3"]
