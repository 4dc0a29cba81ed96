"""Where a bus lives: private, short enough, one of a name, and nothing of it left."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from camagick_broker import address
from camagick_broker.address import bus_folder, check_name, clean_up, runtime_dir
from camagick_broker.errors import AddressError


def test_the_runtime_folder_is_private():
    folder = runtime_dir()
    assert folder == Path(os.environ["XDG_RUNTIME_DIR"]) / "caspy"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert runtime_dir() == folder


@pytest.mark.parametrize("base", [None, "relative", "/nonexistent"])
def test_without_a_usable_runtime_dir_it_is_under_the_temporary_one(base, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    if base is None:
        monkeypatch.delenv("XDG_RUNTIME_DIR")
    else:
        monkeypatch.setenv("XDG_RUNTIME_DIR", base)
    monkeypatch.chdir(tmp_path)
    Path("relative").mkdir()
    assert runtime_dir() == tmp_path / f"caspy-{os.getuid()}"
    assert stat.S_IMODE(runtime_dir().stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o755, 0o710, 0o701, 0o777])
def test_a_folder_that_others_can_enter_is_refused(mode):
    runtime_dir().chmod(mode)
    with pytest.raises(AddressError, match="mode 0700"):
        runtime_dir()


def test_a_folder_of_somebody_else_is_refused(monkeypatch):
    runtime_dir()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(AddressError, match="folder of yours"):
        runtime_dir()


@pytest.mark.parametrize("what", ["file", "link", "dangling link"])
def test_what_is_no_folder_is_refused(what, tmp_path):
    place = Path(os.environ["XDG_RUNTIME_DIR"]) / "caspy"
    if what == "file":
        place.touch()
    else:
        place.symlink_to(tmp_path if what == "link" else tmp_path / "nowhere")
    with pytest.raises(AddressError):
        runtime_dir()
    place.unlink()


@pytest.mark.parametrize("name", ["a", "run123", "A.b_c-9", "x" * 32])
def test_good_names(name):
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../a", "-a", "_a", "x" * 33, "a b", "a\n", "a\0", "é"]
)
def test_bad_names(name):
    with pytest.raises(AddressError, match="cannot name a bus"):
        check_name(name)


def test_a_bus_has_a_private_folder_while_it_runs():
    with bus_folder("one") as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert folder.parent == runtime_dir()
        (folder / "1.d").touch()
        (folder / "sub").mkdir()
        (folder / "sub" / "x").touch()
    assert not folder.exists()


def test_the_folder_goes_with_an_error_too():
    with pytest.raises(KeyError), bus_folder("one") as folder:
        raise KeyError
    assert not folder.exists()


def test_a_second_bus_of_that_name_is_refused_and_the_first_untouched():
    with bus_folder("one") as folder:
        (folder / "1.d").write_text("mine")
        with pytest.raises(AddressError, match="called one is running"), bus_folder("one"):
            pytest.fail("let in")
        assert (folder / "1.d").read_text() == "mine"
        clean_up()
        assert (folder / "1.d").read_text() == "mine"
        with bus_folder("two") as other:
            assert other != folder


def leave_behind(name: str) -> Path:
    """Let a process be killed while it holds a bus."""
    code = (
        "import os, signal\n"
        "from camagick_broker.address import bus_folder\n"
        f"with bus_folder({name!r}) as folder:\n"
        "    (folder / '1.d').touch(); (folder / 'sub').mkdir()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = str(Path(address.__file__).parents[1])
    process = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": root},
        timeout=30,
        check=False,
    )
    assert process.returncode == -9
    return runtime_dir() / name


def test_the_folder_of_a_killed_run_is_taken_over():
    stale = leave_behind("one")
    assert (stale / "1.d").exists()
    with bus_folder("one") as folder:
        assert folder == stale
        assert [path.name for path in folder.iterdir()] == ["lock"]


def test_cleaning_up_removes_only_what_nobody_holds():
    stale = leave_behind("dead")
    (runtime_dir() / "a file").touch()
    with bus_folder("alive") as folder:
        clean_up()
        assert folder.exists()
        assert not stale.exists()
    (runtime_dir() / "a file").unlink()


def test_a_file_in_the_way_is_named():
    (runtime_dir() / "one").touch()
    with pytest.raises(AddressError, match="in the way"), bus_folder("one"):
        pytest.fail("let in")
    (runtime_dir() / "one").unlink()


def test_a_path_too_long_for_a_socket_is_refused(monkeypatch, tmp_path):
    deep = tmp_path / ("d" * 80)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    with pytest.raises(AddressError, match="too long"), bus_folder("one"):
        pytest.fail("let in")
    assert not (deep / "caspy" / "one").exists()


def test_only_one_of_many_gets_a_name_while_others_clean_up():
    """Locks are taken and folders removed at the same time: never two holders, never a wrong."""
    holders: list[Path] = []
    faults: list[BaseException] = []

    def hold() -> None:
        for _ in range(15):
            try:
                with bus_folder("one") as folder:
                    holders.append(folder)
                    assert len(holders) == 1
                    assert (folder / "lock").exists()
                    (folder / "1.d").touch()
                    clean_up()
                    assert (folder / "1.d").exists()
                    holders.pop()
            except AddressError:
                clean_up()
            except BaseException as error:  # noqa: BLE001 - to be shown by the test
                faults.append(error)

    threads = [threading.Thread(target=hold) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not faults


def test_addresses_differ():
    folder = "/tmp/x"
    made = [
        f(folder, 3) for f in (address.data_address, address.back_address, address.loop_address)
    ]
    made.append(address.broker_address(folder))
    assert len(set(made)) == 4
    assert all(one.startswith("ipc:///tmp/x/") for one in made)
