"""The Tab key: what fits next, and that it works in real shells."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from caspy.complete import answer
from caspy.docstring import parameters, sections
from caspy.shells import SCRIPTS

OPTIONS = {"plan": "Show actors.", "save": "Write the recipe.", "window": "Iterations at once."}
DEADLINE_S = 30.0
DOC = """Do something.

    Parameters
    ----------
    *pvs : str
        Names. Any number of them.
    mode : {'every', 'sloppy'}, optional
        When; as the user likes.
    a, b : int
        Two numbers.

    Examples
    --------
    Nothing here : is a parameter.
    """


def words(line: str) -> list[str]:
    return [row.partition("\t")[0] for row in answer(line, OPTIONS).splitlines()]


@pytest.mark.parametrize(
    ("line", "fits"),
    [
        ("caspy --from-sc", ["--from-scratch"]),
        ("caspy --from-scratch random a=1 --npf", ["--npfun"]),
        ("caspy { --from-scratch random a=1 --to-sum", ["--to-summary"]),
        ("caspy -pl", ["-plan"]),
        ("caspy -plan ", ["text", "dot", "mermaid", "json"]),
        ("caspy -plan te", ["text"]),
        ("caspy -window ", []),
        ("caspy --from-epics a:b mod", ["mode="]),
        ("caspy --from-epics 'a b", []),
        ("caspy --from-scratch random a=1 [", ["["]),
        ("caspy --surely-not-there x", []),
        ("caspy --surely.not:There x", []),
        ("caspy --npfun sum [ mod", []),
        ("caspy -top scan ", ["key="]),
        ("caspy -stop scan key=a ", ["[", "]", "{", "}"]),
        ("caspy -grant scan --r", ["--read-only"]),
        ("caspy -revoke ", []),
        ("caspy", ["[", "]", "{", "}"]),
    ],
)
def test_what_fits(line, fits):
    assert words(line) == fits


def test_all_processors_fit_two_dashes_and_say_what_they_are():
    rows = dict(row.split("\t") for row in answer("caspy --", OPTIONS).splitlines())
    assert {"--from-epics", "--npfun", "--to-hdf5"} <= set(rows)
    assert rows["--from-epics"].startswith("Values of EPICS")


def test_what_a_docstring_says():
    found = parameters(DOC)
    assert list(found) == ["pvs", "mode", "a", "b"]
    assert found["pvs"].brief == "Names"
    assert found["mode"].choices == ("every", "sloppy")
    assert found["mode"].brief == "When"
    assert found["a"] == found["b"]
    assert set(sections(DOC)) == {"", "Parameters", "Examples"}


def test_an_unknown_shell_is_refused():
    caspy = Path(sys.executable).with_name("caspy")
    done = subprocess.run(
        [caspy, "-completion", "tcsh"], capture_output=True, text=True, timeout=DEADLINE_S,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert 'option -completion: "tcsh" is not one of bash, zsh, fish' in done.stderr


class Shell:
    """A shell on a terminal of its own."""

    def __init__(self, command: list[str], folder: Path) -> None:
        keep = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
        keep |= {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "TERM": "dumb"}
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.chdir(folder)
            os.execvpe(command[0], command, {**keep, "HOME": str(folder)})  # noqa: S606

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def until(self, text: str) -> None:
        seen, end = "", time.monotonic() + DEADLINE_S
        while text not in seen:
            ready, _, _ = select.select([self._terminal], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"{text!r} never came: {seen!r}"
            seen += os.read(self._terminal, 4096).decode(errors="replace")

    def close(self) -> None:
        os.close(self._terminal)  # hangs it up
        os.waitpid(self._pid, 0)


COMMANDS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "--interactive"],
}


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_the_tab_key_in_a_real_shell(name, tmp_path):
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    (tmp_path / "completion").write_text(SCRIPTS[name])
    shell = Shell(COMMANDS[name], tmp_path)
    try:
        if name == "zsh":
            shell.type("autoload -Uz compinit && compinit -u\n")
        shell.type("source completion && echo rea''dy\n")
        shell.until("ready")
        shell.type("caspy --from-scr\t")
        shell.until("--from-scratch")
        shell.type("random a=1 --npfun sum nothing\x15")  # and Ctrl-U: what was typed is forgotten
        shell.type("echo caspy_says --no; caspy --to-hdf5 f.h5 comp\t")
        shell.until("compression=")
    finally:
        shell.close()
