"""What makes namespaces into hosts to log in to: names, keys, programs, and an sshd for each."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers.namespaces import call

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.servers.hosts import Host

ROOT = Path(__file__).parents[2]
SOURCES = ":".join(str(ROOT / name) for name in ("broker", "actors", "launch"))
SSHD = "/usr/sbin/sshd"
PROGRAMS = ("ssh", "ssh-keygen", SSHD)
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_SSHD_CONFIG = """\
ListenAddress 0.0.0.0
ListenAddress ::
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile none
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
StrictModes no
UsePAM no
UseDNS no
PrintMotd no
MaxStartups 100
SetEnv {environment}
"""
_SSH_CONFIG = """\
Host *
  IdentityFile {folder}/user_key
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile {folder}/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  BatchMode yes
  ConnectTimeout 10
  LogLevel ERROR
"""
# Mounts and the host's name are seen by what is started here alone: `ip netns exec` and `unshare`
# have made a mount and a UTS namespace for it.
_ENTER = """\
#!/bin/sh -e
hostname {name}
mount --bind {folder}/hosts /etc/hosts
export {environment}
exec "$@"
"""


def write(folder: Path, hosts: Iterable[Host]) -> None:
    """Write what all hosts share, and what each has for itself."""
    hosts = list(hosts)
    lines = [f"{at.address} {at.name}\n{at.address6} {at.name}6\n" for at in hosts]
    (folder / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n" + "".join(lines))
    script(folder / "bin" / "caspy", f'exec {sys.executable} -m caspy "$@"')
    for at in hosts:
        (at.folder / "run").mkdir(mode=0o700, parents=True)
        (at.folder / "tmp").mkdir()
        text = _ENTER.format(name=at.name, folder=folder, environment=_environment(folder, at))
        (at.folder / "enter").write_text(text)
        (at.folder / "enter").chmod(0o755)


def write_keys(folder: Path, hosts: Iterable[Host]) -> None:
    """Write keys and configurations, so that everybody can log in everywhere by name."""
    hosts = list(hosts)
    for name in ("host_key", "user_key"):
        call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name)
    key = (folder / "host_key.pub").read_text()
    (folder / "known_hosts").write_text(
        "".join(f"{at.name},{at.name}6,{at.address},{at.address6} {key}" for at in hosts)
    )
    (folder / "ssh_config").write_text(_SSH_CONFIG.format(folder=folder))
    script(folder / "bin" / "ssh", f'exec {shutil.which("ssh")} -F {folder}/ssh_config "$@"')
    (folder / "hosts.toml").write_text(
        "".join(f'[hosts.{at.name}]\nssh = "{at.name}"\n' for at in hosts)
    )
    for at in hosts:
        text = _SSHD_CONFIG.format(folder=folder, environment=_environment(folder, at))
        (at.folder / "sshd_config").write_text(text)


def _environment(folder: Path, at: Host) -> str:
    variables = (
        ("XDG_RUNTIME_DIR", at.folder / "run"), ("TMPDIR", at.folder / "tmp"),
        ("PATH", f"{folder}/bin:{_PATH}"), ("PYTHONPATH", SOURCES),
    )  # fmt: skip
    return " ".join(f"{key}={value}" for key, value in variables)


def script(path: Path, line: str) -> None:
    """Write a program of one line."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
