"""What -emit kubernetes prints is run: each pod as a host, as its manifest says.

There is no cluster; so the containers are made here of what they are made of there. Each is a host
of the test bed with its configuration and keys where the manifest wants them, and its command runs
as the manifest says: as a user without any privilege.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from caspy.cli import main
from tests.buses import wait_for
from tests.servers import hosts

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.long

RECIPE = [
    "--from-scratch", "counter", "i=1", "@daq",
    "--npfun", "negative", "@gpu", "--to-summary", "@local",
]  # fmt: skip
#: Of one's own: /etc with the files of the manifest, and a user without a name elsewhere.
_CONTAINER = """\
set -e
cat /etc/hosts > {folder}/hosts
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work
{opening}
mount -t overlay overlay -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work /etc
cp {folder}/hosts /etc/hosts
cp -r {folder}/etc/. /etc
chown -R root:1000 /etc/caspy-keys
chmod 0440 /etc/caspy-keys/*
echo "caspy:x:1000:1000::/:/bin/sh" >> /etc/passwd
mkdir -m 700 /etc/run && chown 1000 /etc/run
cd /etc/run
exec setpriv --reuid 1000 --regid 1000 --clear-groups --no-new-privs --bounding-set=-all "$@"
"""


def opening() -> str:
    """Return what lets everybody reach this Python, should it be in somebody's closed home."""
    base = Path(sys.base_prefix)
    closed = [path for path in reversed(base.parents) if not path.stat().st_mode & 0o001]
    if not closed:
        return ""
    top, inner = closed[0], base.relative_to(closed[0])
    return (
        f"mkdir /mnt/home\nmount --bind {top} /mnt/home\nmount -t tmpfs -o mode=755 tmpfs {top}\n"
        f"mkdir -p {base}\nmount --bind /mnt/home/{inner} {base}"
    )


@pytest.fixture
def manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    """Return Pods by their names, and the data of the ConfigMap as 'config'."""
    tmp_path.joinpath("hosts.toml").write_text(
        "".join(
            f'[hosts.{name}.environment]\nPYTHONPATH = "{hosts.SOURCES}"\n'
            f'PATH = "/etc/bin:/usr/bin:/bin"\nXDG_RUNTIME_DIR = "/etc/run"\n'
            for name in ("daq", "gpu")
        )
    )
    words = ["-hosts", str(tmp_path / "hosts.toml"), "-bus", "scan", "-count", "20"]
    assert main(["-emit", "kubernetes", *words, *RECIPE]) == 0
    found = {}
    for one in yaml.safe_load_all(capsys.readouterr().out):
        name = one["metadata"]["name"]
        if one["kind"] == "ConfigMap":
            found["config"] = one["data"]
        elif one["kind"] in ("Deployment", "Job"):
            found[name] = one["spec"]["template"]["spec"]
    return found


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Make the keys as docs/deploy.md says."""
    text = (hosts.ROOT / "docs/deploy.md").read_text()
    block = text[text.index("$ mkdir -m 700 keys") :].partition("```")[0]
    script = "".join(line.removeprefix("$ ") + "\n" for line in block.splitlines())
    subprocess.run(["sh", "-e", "-c", script], cwd=tmp_path, check=True, timeout=60)
    return tmp_path / "keys"


@pytest.fixture
def lab() -> Iterator[hosts.Network]:
    with hosts.network("scan-at-daq", "scan-at-gpu", "scan-launcher") as made:
        yield made


def container(
    lab: hosts.Network, name: str, pod: dict[str, Any], which: str, config: dict[str, str],
    keys: Path,
) -> tuple[list[str], dict[str, str]]:  # fmt: skip
    """Return the command line of a container on its host, and its variables."""
    folder = lab.hosts[name].folder / which
    etc = folder / "etc"
    for path in ("caspy", "caspy-keys", "bin"):
        (etc / path).mkdir(parents=True)
    (etc / "bin/caspy").write_text(f'#!/bin/sh\nexec {sys.executable} -m caspy "$@"\n')
    (etc / "bin/caspy").chmod(0o755)
    for volume in pod["volumes"]:
        for item in volume.get("configMap", {}).get("items", ()):
            (etc / "caspy" / item["path"]).write_text(config[item["key"]])
        for item in volume.get("secret", {}).get("items", ()):
            (etc / "caspy-keys" / item["path"]).write_bytes((keys / item["key"]).read_bytes())
    (folder / "container").write_text(_CONTAINER.format(folder=folder, opening=opening()))
    [inner] = pod[which]
    words = lab.command(name, "sh", folder / "container", *inner["command"])
    given = {one["name"]: one["value"] for one in inner.get("env", ())}
    # What the image would say.
    given |= {"PATH": f"/etc/bin:{os.environ['PATH']}"}
    return words, given


def run(words: list[str], given: dict[str, str]) -> subprocess.CompletedProcess[str]:
    # The console of the test bed sets a PATH of its own; a container has that of its image.
    program = words.index("sh")
    words = [*words[: program + 2], "env", *(f"{k}={v}" for k, v in given.items()),
             "XDG_RUNTIME_DIR=/etc/run", *words[program + 2 :]]  # fmt: skip
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def test_the_pods_do_what_the_recipe_says(
    manifest: dict[str, dict[str, Any]], keys: Path, lab: hosts.Network
) -> None:
    config = manifest.pop("config")
    launcher = manifest.pop("scan-launcher")
    assert len(manifest) == 2
    for name, pod in manifest.items():
        words, _ = container(lab, name, pod, "containers", config, keys)
        with (lab.hosts[name].folder / "agent.log").open("ab") as log:
            lab.serve_command(words, stdout=log, stderr=log)
    done = run(*container(lab, "scan-launcher", launcher, "initContainers", config, keys))
    assert done.returncode == 0, done.stderr
    done = run(*container(lab, "scan-launcher", launcher, "containers", config, keys))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"i: [-{number}.]" for number in range(20)]


def test_the_key_opens_nothing_but_an_agent(
    manifest: dict[str, dict[str, Any]], keys: Path, lab: hosts.Network
) -> None:
    """No command of one's own, no shell, no way through to another port."""
    config = manifest.pop("config")
    words, _ = container(
        lab, "scan-at-daq", manifest["scan-at-daq"], "containers", config, keys
    )  # fmt: skip
    log = lab.hosts["scan-at-daq"].folder / "agent.log"
    with log.open("ab") as file:
        lab.serve_command(words, stdout=file, stderr=file)
    wait_for(lambda: "Server listening" in log.read_text(), "sshd")
    options = [
        "-F", "none", "-i", str(keys / "id_ed25519"), "-o", "BatchMode=yes",
        "-o", f"UserKnownHostsFile={keys / 'known_hosts'}", "-p", "2222",
    ]  # fmt: skip
    ssh = ["/usr/bin/ssh", *options]
    done = lab.run("scan-launcher", *ssh, "caspy@scan-at-daq", "id; cat /etc/passwd",
                   encoding="latin-1")  # fmt: skip
    assert "uid=" not in done.stdout
    assert "root:" not in done.stdout
    assert "hello" in done.stdout  # the agent's first word
    done = lab.run("scan-launcher", *ssh, "-W", "localhost:22", "caspy@scan-at-daq")
    assert "administratively prohibited" in done.stderr
    for other in ("root@scan-at-daq", "daemon@scan-at-daq"):
        done = lab.run("scan-launcher", *ssh, other, "id")
        assert "Permission denied" in done.stderr
