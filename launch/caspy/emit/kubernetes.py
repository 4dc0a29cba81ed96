"""A topology as objects of Kubernetes: a Job for the launcher, a Deployment for each host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from caspy.emit import ssh
from caspy.emit.topology import CONFIG, DATA, KEYS, PORT, USER
from caspy.emit.yamltext import dump

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caspy.emit.topology import Group, Topology

_GRACE_S = 90
_HEAD = """\
{name}: made by caspy -emit kubernetes. Before `kubectl apply -f` the Secret has to be there, see
docs/deploy.md:
  kubectl create secret generic {name}-keys --from-file=keys/
Each host is a pod on the node of that name (nodeSelector); files are in {data} of each pod, which
is empty at first and goes with the pod: put a volume of yours there."""
_CONTAINER = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
_POD = {
    "runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}  # fmt: skip


def manifest(topology: Topology) -> str:
    """Return all objects as YAML."""
    objects = [_config(topology), _policy(topology)]
    for group in topology.groups:
        objects += [_service(topology, group), _deployment(topology, group)]
    objects.append(_job(topology))
    return dump(objects, _HEAD.format(name=topology.name, data=DATA))


def _named(topology: Topology, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "labels": {**_labels(topology), "app.kubernetes.io/component": name},
    }


def _labels(topology: Topology) -> dict[str, str]:
    return {"app.kubernetes.io/name": "caspy", "app.kubernetes.io/instance": topology.name}


def _config(topology: Topology) -> dict[str, Any]:
    data = {"recipe.spy": topology.recipe}
    if topology.groups:
        data |= {"hosts.toml": ssh.hosts_toml(topology), "ssh_config": ssh.ssh_config()}
    data |= {f"{group.name}.sshd_config": ssh.sshd_config(group) for group in topology.groups}
    return {
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": _named(topology, f"{topology.name}-config"), "data": data,
    }  # fmt: skip


def _policy(topology: Topology) -> dict[str, Any]:
    """Return who may connect to the pods of a run: its own pods."""
    own = {"matchLabels": _labels(topology)}
    return {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": _named(topology, f"{topology.name}-own"),
        "spec": {
            "podSelector": own,
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": own}]}],
        },
    }  # fmt: skip


def _service(topology: Topology, group: Group) -> dict[str, Any]:
    """Return the name in DNS of a group's pod."""
    return {
        "apiVersion": "v1", "kind": "Service", "metadata": _named(topology, group.name),
        "spec": {
            "clusterIP": "None",
            "selector": _named(topology, group.name)["labels"],
            "ports": [{"name": "ssh", "port": PORT, "targetPort": "ssh"}],
        },
    }  # fmt: skip


def _deployment(topology: Topology, group: Group) -> dict[str, Any]:
    config = f"{group.name}.sshd_config"
    container = {
        "name": "agent",
        **_container(topology, ssh.serve_command(f"{CONFIG}/{config}")),
        "ports": [{"name": "ssh", "containerPort": PORT}],
        "readinessProbe": {"tcpSocket": {"port": "ssh"}, "periodSeconds": 2},
    }
    if group.host.cores:
        container["resources"] = {"requests": {"cpu": str(group.host.cores)}}
    pod = _pod(topology, [container], [config], ssh.AGENT_KEYS)
    pod["nodeSelector"] = {"kubernetes.io/hostname": group.machine}
    labels = _named(topology, group.name)["labels"]
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": _named(topology, group.name),
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},  # never two of one host
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }  # fmt: skip


def _job(topology: Topology) -> dict[str, Any]:
    container = {"name": "launcher", **_container(topology, topology.command)}
    configs = ["recipe.spy"]
    if topology.groups:
        configs += ["hosts.toml", "ssh_config"]
        container["env"] = [{"name": "CASPY_SSH", "value": f"ssh -F {CONFIG}/ssh_config"}]
    pod = _pod(topology, [container], configs, ssh.LAUNCHER_KEYS if topology.groups else ())
    if topology.groups:
        wait = _container(topology, ssh.wait_command(topology))
        pod["initContainers"] = [{"name": "wait-for-agents", **wait}]
    pod |= {"restartPolicy": "Never", "terminationGracePeriodSeconds": _GRACE_S}
    meta = _named(topology, topology.launcher)
    return {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": meta,
        "spec": {
            "backoffLimit": 0,  # a run that has failed is not begun again by itself
            "template": {"metadata": {"labels": meta["labels"]}, "spec": pod},
        },
    }  # fmt: skip


def _container(topology: Topology, command: Sequence[str]) -> dict[str, Any]:
    return {
        "image": topology.image,
        # $(NAME) would be a variable to Kubernetes, and $$ is a $.
        "command": [word.replace("$(", "$$(") for word in command],
        "workingDir": DATA,
        "securityContext": _CONTAINER,
        "volumeMounts": [
            {"name": "config", "mountPath": CONFIG, "readOnly": True},
            {"name": "keys", "mountPath": KEYS, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own
            {"name": "data", "mountPath": DATA},
        ],
    }


def _pod(
    topology: Topology, containers: list[Any], configs: Sequence[str], keys: Sequence[str]
) -> dict[str, Any]:
    volumes: list[dict[str, Any]] = [
        {
            "name": "config",
            "configMap": {
                "name": f"{topology.name}-config",
                "items": [{"key": name, "path": name} for name in configs],
            },
        },
        {
            "name": "keys",
            "secret": {
                "secretName": f"{topology.name}-keys",
                "defaultMode": 0o440,
                "items": [{"key": name, "path": name} for name in keys],
            },
        },
        {"name": "tmp", "emptyDir": {}},
        {"name": "data", "emptyDir": {}},
    ]
    if not keys:
        del volumes[1]
        for container in containers:
            container["volumeMounts"] = [
                mount for mount in container["volumeMounts"] if mount["name"] != "keys"
            ]
    return {
        "automountServiceAccountToken": False,
        "securityContext": _POD,
        "containers": containers,
        "volumes": volumes,
    }
