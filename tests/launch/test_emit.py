"""What -emit prints is taken by those it is for, and says what the recipe says."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from caspy import hostsfile, yamlfile
from caspy.cli import main
from caspy.emit.topology import label

if TYPE_CHECKING:
    from pathlib import Path

#: Three hosts, one of them given as two of which one is enough, and texts that others may misread.
RECIPE = [
    "--from-scratch", "counter", "i=1", "@daq1",
    "--rename", "{}$HOME $(x) %n", "@gpu_2|gpu3",
    "--to-summary", "@local",
]  # fmt: skip
HOSTS = """
[hosts.daq1]
ssh = "operator@daq1.beamline.org"
cores = 4
[hosts.daq1.environment]
WORDS = 'two "words"'
[hosts.here]
engine = "local"
[hosts.n1]
engine = "slurm"
"""


@pytest.fixture
def emit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return what prints a form of `RECIPE`, as its text."""
    (tmp_path / "hosts.toml").write_text(HOSTS)
    hosts = ["-hosts", str(tmp_path / "hosts.toml"), "-count", "5", "-bus", "Scan.1"]

    def run(form: str, *more: str, recipe: list[str] = RECIPE, code: int = 0) -> str:
        assert main(["-emit", form, *hosts, *more, *recipe]) == code
        out, err = capsys.readouterr()
        return err if code else out

    return run


def objects(text: str) -> dict[tuple[str, str], dict[str, Any]]:
    return {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(text)}


def interpolated(text: str) -> str:
    """Return what compose makes of a text: $$ is a $, and a $ alone is that of a variable."""
    assert "$" not in text.replace("$$", "")
    return text.replace("$$", "$")


def configs(form: str, text: str) -> dict[str, str]:
    """Return the configuration files of a manifest, by their names."""
    if form == "kubernetes":
        return dict(objects(text)["ConfigMap", "scan-1-config"]["data"])
    return {
        name: interpolated(one["content"]) for name, one in yaml.safe_load(text)["configs"].items()
    }


@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_kubernetes_takes_every_object(emit: Any, version: str) -> None:
    validate = pytest.importorskip("kubernetes_validate")
    found = objects(emit("kubernetes"))
    assert len(found) == 9
    for one in found.values():
        validate.validate(one, version, strict=True)
    deployment = found["Deployment", "scan-1-at-daq1"]
    deployment["spec"]["replicas"] = "one"
    with pytest.raises(validate.ValidationError):
        validate.validate(deployment, version, strict=True)


def test_compose_takes_the_file(emit: Any) -> None:
    spec = pytest.importorskip("compose_spec").PyCompose
    text = emit("compose")
    spec.from_yaml(text).validate()
    with pytest.raises(ValueError, match="does not start with"):
        spec.from_yaml(text.replace("read_only", "readonly", 1))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd")
def test_systemd_takes_the_unit(emit: Any, tmp_path: Path) -> None:
    unit = tmp_path / "caspy-scan.service"

    def verify() -> subprocess.CompletedProcess[str]:
        words = ["systemd-analyze", "verify", "--recursive-errors=no", str(unit)]
        return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)

    unit.write_text(emit("systemd"))
    done = verify()
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    unit.write_text(unit.read_text().replace("KillMode=mixed", "KillMode=mixd"))
    assert "kill mode" in verify().stderr


@pytest.mark.parametrize("form", ["kubernetes", "compose"])
def test_the_launcher_gets_the_recipe_and_finds_every_host(emit: Any, form: str) -> None:
    files = configs(form, emit(form))
    (pipe,), problems = yamlfile.loads(files["recipe.spy"], "recipe.spy")
    assert not problems
    assert pipe.children[1].args == ("{}$HOME $(x) %n",)  # type: ignore[union-attr]
    hosts, problems = hostsfile.loads(files["hosts.toml"], "hosts.toml")
    assert not problems
    assert {alias: hosts.get(alias).destination for alias in hosts} == {
        "daq1": "ssh://caspy@scan-1-at-daq1:2222",
        "gpu_2": "ssh://caspy@scan-1-at-gpu-2:2222",
        "gpu3": "ssh://caspy@scan-1-at-gpu3:2222",
    }
    sshd = files["scan-1-at-daq1.sshd_config"]
    assert r'SetEnv "WORDS=two \"words\""' in sshd
    assert "ForceCommand caspy -agent" in sshd


def test_a_pod_for_each_host_on_its_node(emit: Any) -> None:
    found = objects(emit("kubernetes"))
    pod = found["Deployment", "scan-1-at-daq1"]["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"kubernetes.io/hostname": "daq1.beamline.org"}
    assert pod["containers"][0]["resources"] == {"requests": {"cpu": "4"}}
    launcher = found["Job", "scan-1-launcher"]["spec"]["template"]["spec"]["containers"][0]
    assert launcher["command"][:6] == [
        "caspy", "-hosts", "/etc/caspy/hosts.toml", "-count", "5", "-bus",
    ]  # fmt: skip
    services = {name for kind, name in found if kind == "Service"}
    assert services == {"scan-1-at-daq1", "scan-1-at-gpu-2", "scan-1-at-gpu3"}


@pytest.mark.parametrize("form", ["kubernetes", "compose"])
def test_keys_are_secrets_and_nobody_gets_those_of_another(emit: Any, form: str) -> None:
    """The private key of the launcher, and the agents' own; neither in arguments or variables."""
    text = emit(form)
    assert "PRIVATE KEY" not in text
    if form == "compose":
        services = yaml.safe_load(text)["services"]
        given = {name: {key["source"] for key in one["secrets"]} for name, one in services.items()}
        said = [(one["entrypoint"], one.get("environment")) for one in services.values()]
    else:
        pods = {
            name: one["spec"]["template"]["spec"]
            for (kind, name), one in objects(text).items() if kind in ("Deployment", "Job")
        }  # fmt: skip
        given = {
            name: {item["key"] for item in volume["secret"]["items"]}
            for name, pod in pods.items() for volume in pod["volumes"] if "secret" in volume
        }  # fmt: skip
        said = [
            (one["command"], one.get("env")) for pod in pods.values() for one in pod["containers"]
        ]
    assert given.pop("scan-1-launcher") == {"id_ed25519", "known_hosts"}
    assert len(given) == 3
    assert all(keys == {"ssh_host_ed25519_key", "authorized_keys"} for keys in given.values())
    assert "ed25519" not in json.dumps(said)


def test_a_unit_gets_keys_as_credentials_and_words_as_they_are(emit: Any) -> None:
    text = emit("systemd")
    assert "LoadCredential=id_ed25519:/etc/caspy/scan-1/id_ed25519\n" in text
    assert ' -bus scan-1 --from-scratch counter i=1 @daq1 --rename "{}$$HOME $$(x) %%n"' in text
    here = ["--from-scratch", "counter", "i=1", "--to-summary"]
    assert "LoadCredential" not in emit("systemd", recipe=here)


def test_without_hosts_there_is_a_launcher_alone(emit: Any) -> None:
    recipe = ["--from-scratch", "counter", "i=1", "--to-summary"]
    assert {kind for kind, _ in objects(emit("kubernetes", recipe=recipe))} == {
        "ConfigMap", "NetworkPolicy", "Job",
    }  # fmt: skip
    assert list(yaml.safe_load(emit("compose", recipe=recipe))["services"]) == ["scan-1-launcher"]


@pytest.mark.parametrize(
    ("form", "place", "message"),
    [
        ("kubernetes", "@here", "@here: its engine is local, so it has no container"),
        ("compose", "@n1", "@n1: slurm starts its agents by itself: nothing to emit"),
        ("compose", "@a.b|a-b", "@a.b and @a-b would both be called scan-1-at-a-b: rename one"),
    ],
)
def test_what_cannot_be_emitted_is_said(emit: Any, form: str, place: str, message: str) -> None:
    recipe = ["--from-scratch", "counter", "i=1", place, "--to-summary", "@local"]
    assert message in emit(form, recipe=recipe, code=2)


def test_a_form_that_there_is_not(emit: Any) -> None:
    assert '"nomad" is not one of kubernetes, compose, systemd' in emit("nomad", code=2)


@pytest.mark.parametrize(
    ("text", "expected"), [("DAQ_1.org", "daq-1-org"), ("é", "caspy"), ("a" * 99, "a" * 63)]
)
def test_a_label_is_one_of_dns(text: str, expected: str) -> None:
    assert label(text) == expected
