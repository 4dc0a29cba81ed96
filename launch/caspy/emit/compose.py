"""A topology as a compose file: one service for the launcher, one for each host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from caspy.emit import ssh
from caspy.emit.topology import CONFIG, DATA, KEYS, PORT, USER
from caspy.emit.yamltext import dump

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from caspy.emit.topology import Group, Topology

_HEAD = """\
{name}: made by caspy -emit compose. The keys are files in keys/ beside this one, see
docs/deploy.md. Then: docker compose up --exit-code-from {name}-launcher"""


def manifest(topology: Topology) -> str:
    """Return the file's text."""
    services = {group.name: _agent(topology, group) for group in topology.groups}
    services[topology.launcher] = _launcher(topology)
    configs = {"recipe.spy": topology.recipe}
    if topology.groups:
        configs |= {"hosts.toml": ssh.hosts_toml(topology), "ssh_config": ssh.ssh_config()}
    configs |= {f"{group.name}.sshd_config": ssh.sshd_config(group) for group in topology.groups}
    content = {
        "name": topology.name,
        "services": services,
        "configs": {name: {"content": _literal(text)} for name, text in configs.items()},
        "volumes": {"data": {}},
    }
    if topology.groups:
        keys = (*ssh.LAUNCHER_KEYS, *ssh.AGENT_KEYS)
        content["secrets"] = {name: {"file": f"./keys/{name}"} for name in keys}
    return dump([content], _HEAD.format(name=topology.name))


def _agent(topology: Topology, group: Group) -> dict[str, Any]:
    config = f"{group.name}.sshd_config"
    service = _service(topology, ssh.serve_command(f"{CONFIG}/{config}"), [config], ssh.AGENT_KEYS)
    look = f"ssh-keyscan -p {PORT} localhost 2>/dev/null | grep -q ssh-ed25519"
    service["healthcheck"] = {
        "test": ["CMD-SHELL", look], "interval": "2s", "timeout": "5s", "retries": 30,
    }  # fmt: skip
    service["restart"] = "unless-stopped"
    if group.host.cores:
        service["cpus"] = float(group.host.cores)
    return service


def _launcher(topology: Topology) -> dict[str, Any]:
    configs = ["recipe.spy"]
    if not topology.groups:
        return {**_service(topology, topology.command, configs, ()), "stop_grace_period": "90s"}
    configs += ["hosts.toml", "ssh_config"]
    return {
        **_service(topology, topology.command, configs, ssh.LAUNCHER_KEYS),
        "environment": {"CASPY_SSH": f"ssh -F {CONFIG}/ssh_config"},
        "depends_on": {group.name: {"condition": "service_healthy"} for group in topology.groups},
        "stop_grace_period": "90s",
    }


def _service(
    topology: Topology, command: Sequence[str], configs: Iterable[str], keys: Sequence[str]
) -> dict[str, Any]:
    service: dict[str, Any] = {
        "image": topology.image,
        "entrypoint": [_literal(word) for word in command],
        "user": f"{USER}:{USER}",
        "working_dir": DATA,
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "tmpfs": ["/tmp"],  # noqa: S108 - the container's own
        "volumes": [{"type": "volume", "source": "data", "target": DATA}],
        "configs": [{"source": name, "target": f"{CONFIG}/{name}"} for name in configs],
    }
    if keys:
        service["secrets"] = [{"source": name, "target": f"{KEYS}/{name}"} for name in keys]
    return service


def _literal(text: str) -> str:
    """Return a text in which compose replaces nothing."""
    return text.replace("$", "$$")
