"""The hosts file: what it says, what it leaves open, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from caspy.errors import PlanError
from caspy.hostsfile import Host, Hosts, load, loads, read
from caspy.recipe import At

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = """
[hosts.daq1]
ssh = "operator@daq1.beamline.org"
command = "/opt/caspy/bin/caspy --quiet 'a b'"
bind = "192.168.7.1"
cores = 16
compress = "lz4"
engine = "ssh"
[hosts.daq1.environment]
HDF5_USE_FILE_LOCKING = "FALSE"

[hosts."gpu2.beamline.org"]
command = ["python3", "-m", "caspy"]
bind = "[fd77::2]"

[hosts.localhost]
bind = "desk.beamline.org"
"""


def test_a_file_says_all_there_is_to_say(tmp_path: Path) -> None:
    (tmp_path / "hosts.toml").write_text(WHOLE)
    hosts = read(tmp_path / "hosts.toml")
    assert list(hosts) == ["daq1", "gpu2.beamline.org", "localhost"]
    assert hosts.get("daq1") == Host(
        "daq1", "operator@daq1.beamline.org", ("/opt/caspy/bin/caspy", "--quiet", "a b"),
        "192.168.7.1", {"HDF5_USE_FILE_LOCKING": "FALSE"}, 16, "lz4", "ssh",
    )  # fmt: skip
    assert hosts.get("gpu2.beamline.org") == Host(
        "gpu2.beamline.org", "gpu2.beamline.org", ("python3", "-m", "caspy"), "fd77::2"
    )
    assert hosts.get("localhost") == Host(
        "localhost", "localhost", bind="desk.beamline.org", engine="local"
    )


@pytest.mark.parametrize("alias", ["daq9", "me@daq9.org", "ssh://me@daq9.org:2222"])
def test_a_host_that_is_not_in_the_file_is_an_ssh_destination(alias: str) -> None:
    assert Hosts().get(alias) == Host(alias, alias, ("caspy",), None, {}, None, None)


@pytest.mark.parametrize("alias", ["local", "localhost"])
def test_this_machine_needs_no_ssh(alias: str) -> None:
    assert Hosts().get(alias).engine == "local"


@pytest.mark.parametrize("alias", ["-oProxyCommand=rm", "", "a b", "a\nb", "a;b", "$(b)"])
def test_ssh_is_never_told_an_option_or_a_command(alias: str) -> None:
    with pytest.raises(PlanError, match="cannot be a host"):
        Hosts().get(alias)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f.toml: there is no host in it: a host is a table [hosts.ALIAS]"),
        ("[hosts", "f.toml: no valid TOML: Expected ']' at the end of a table declaration"),
        ("a = " + "[" * 9999, "f.toml: no valid TOML"),
        ("[host.a]", 'f.toml: "host" does not belong here'),
        ("hosts = 3", "f.toml: hosts is a table of hosts, not 3"),
        ("[hosts]\na = 'x'", "f.toml: [hosts.a]: expected a table of settings, not 'x'"),
        ("[hosts.'a b']", 'f.toml: [hosts.a b]: "a b" cannot be an alias'),
        ("[hosts.-a]", 'f.toml: [hosts.-a]: "-a" cannot be an alias'),
        (
            "[hosts.a.org]",
            '[hosts.a]: no such key "org" (an alias with a dot is quoted: [hosts."a.',
        ),
        ("[hosts.a]\ncore = 3", '[hosts.a]: no such key "core" (did you mean "cores"?)'),
        (
            "[hosts.a]\nx = 3",
            '"x" (there are ssh, command, bind, environment, cores, compress, engine)',
        ),
        ("[hosts.a]\nssh = 3", "f.toml: [hosts.a]: ssh is text, not 3"),
        ("[hosts.a]\nssh = ' '", "ssh is one line of text, not ' '"),
        ("[hosts.a]\nssh = '-oProxyCommand=x'", 'host or user@host, not "-oProxyCommand=x"'),
        ("[hosts.a]\ncommand = ''", "command is one line of text, not ''"),
        ("[hosts.a]\ncommand = []", "command is a program with its arguments, not nothing"),
        ("[hosts.a]\ncommand = ['a', 1]", "command is text, not 1"),
        ('[hosts.a]\ncommand = "a \'b"', "command cannot be split into words: no closing"),
        ("[hosts.a]\nbind = '1.2.3.4:5'", 'without port, not "1.2.3.4:5"'),
        ("[hosts.a]\nbind = '1.2.3'", "bind is an address or a name of the host, without port, no"),
        ("[hosts.a]\nbind = '0.0.0.0'", "bind is an address that others can connect to, not 0.0."),
        ("[hosts.a]\nbind = '::'", "bind is an address that others can connect to, not ::"),
        ("[hosts.a]\nbind = 'tcp://*'", "bind is an address or a name of the host"),
        ("[hosts.a]\nenvironment = 3", "environment is a table of variables, not 3"),
        ("[hosts.a.environment]\n'a-b' = ''", 'environment has "a-b", which cannot be the name'),
        ("[hosts.a.environment]\nA = 1", "environment has A = 1: put it in quotes"),
        ('[hosts.a.environment]\nA = "a\\nb"', "environment has A, which is not one line"),
        ("[hosts.a]\ncores = 0", "cores is a whole number from 1 on, not 0"),
        ("[hosts.a]\ncores = true", "cores is a whole number from 1 on, not True"),
        ("[hosts.a]\nengine = 'rsh'", "engine is one of ssh, local, slurm, not 'rsh'"),
        ("[hosts.a]\nengine = []", "engine is one of ssh, local, slurm, not []"),
        ("[hosts.local]\nssh = 'a'", "[hosts.local]: ssh is given, but the engine is local"),
    ],
)
def test_what_is_wrong_is_said_with_file_table_and_key(text: str, message: str) -> None:
    _, problems = loads(text, "f.toml")
    assert len(problems) == 1
    assert message in f"{problems[0].at.place}: {problems[0].text}"


def test_all_mistakes_of_a_file_are_found_at_once(tmp_path: Path) -> None:
    path = tmp_path / "hosts.toml"
    path.write_text("[hosts.a]\ncores = 0\nbind = 3\n[hosts.b]\nengine = 'x'\n")
    assert len(load(path)[1]) == 3
    with pytest.raises(PlanError, match=r"hosts.toml: \[hosts.a\]: cores is .* \(and 2 more\)$"):
        read(path)


def test_a_file_that_cannot_be_read_is_named_where_it_was_asked_for(tmp_path: Path) -> None:
    _, problems = load(tmp_path / "none.toml", At(3))
    assert problems[0].at == At(3)
    assert problems[0].text == f"cannot read {tmp_path / 'none.toml'}: No such file or directory"
    (tmp_path / "latin").write_bytes("[hosts.a]\nssh = 'ä'".encode("latin-1"))
    with pytest.raises(PlanError, match="latin is no text in UTF-8"):
        read(tmp_path / "latin")
