"""Kubernetes manifests: against published schemas, and against the commands, images and settings that they name.

The core objects (claims, services, jobs, and the pods inside a RayJob) are validated with the schemas that the package
kubernetes-validate brings. No package brings the schema of RayJob itself, which is a custom resource: it is validated
where MIKUDANCE_RAYJOB_CRD names a copy of KubeRay's `ray.io_rayjobs.yaml`.
"""

import json
import os
import re
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from pipeline.cli.main import app
from pipeline.config import DatasetConfig
from pipeline.config_file import load
from train.config import load_config

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "infra" / "kuberay"
KUBERNETES = ("1.30", "1.34")
"""The oldest and the newest release that is checked."""


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


MANIFESTS = [
    (name, place)
    for name in ("storage.yaml", "rayjob.yaml", "train-stage1.yaml", "train-stage2.yaml")
    for place in range(len(documents(name)))
]
RAYJOB = documents("rayjob.yaml")[0]
CLUSTER = RAYJOB["spec"]["rayClusterSpec"]
GROUPS = {"head": CLUSTER["headGroupSpec"]} | {g["groupName"]: g for g in CLUSTER["workerGroupSpecs"]}


def pods() -> list[tuple[str, dict[str, Any]]]:
    """Name and pod specification of everything that runs."""
    found = [(name, group["template"]["spec"]) for name, group in GROUPS.items()]
    for stage in (1, 2):
        found.append((f"stage{stage}", documents(f"train-stage{stage}.yaml")[1]["spec"]["template"]["spec"]))
    return found


def validator() -> Any:
    return pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")


@pytest.mark.parametrize("release", KUBERNETES)
@pytest.mark.parametrize(("name", "place"), MANIFESTS)
def test_core_objects_follow_their_schemas(name: str, place: int, release: str) -> None:
    document = documents(name)[place]
    if document["kind"] == "RayJob":
        for group, specification in pods()[: len(GROUPS)]:
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": group}, "spec": specification}
            validator().validate(pod, release, strict=True)
    else:
        validator().validate(document, release, strict=True)


def test_the_schemas_refuse_what_is_wrong() -> None:
    """So that the test above can fail: a misspelt key inside a pod of the RayJob."""
    package = validator()
    name, specification = pods()[0]
    container = {**specification["containers"][0], "volumeMount": []}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container]}}
    with pytest.raises(package.ValidationError, match="volumeMount"):
        package.validate(pod, KUBERNETES[-1], strict=True)


def closed(schema: Any) -> Any:
    """A CRD's schema in which unknown keys are errors, as `kubectl` treats them, and integers may be strings where the
    CRD says so.
    """
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: closed(value) for key, value in schema.items()}
    if schema.pop("x-kubernetes-int-or-string", False):
        schema.pop("type", None)
        schema.setdefault("anyOf", [{"type": "integer"}, {"type": "string"}])
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        schema.setdefault("additionalProperties", False)
    return schema


def test_rayjob_follows_the_operators_schema() -> None:
    path = os.environ.get("MIKUDANCE_RAYJOB_CRD")
    if not path:
        pytest.skip("set MIKUDANCE_RAYJOB_CRD to KubeRay's ray.io_rayjobs.yaml (config/crd/bases of its operator)")
    jsonschema = pytest.importorskip("jsonschema")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    versions = yaml.load(Path(path).read_text(), Loader=loader)["spec"]["versions"]
    (schema,) = [closed(v["schema"]["openAPIV3Schema"]) for v in versions if v["name"] == "v1"]
    schema["properties"]["metadata"] = {"type": "object"}
    jsonschema.validate(RAYJOB, schema)
    wrong = json.loads(json.dumps(RAYJOB))
    wrong["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["replica"] = 1
    with pytest.raises(jsonschema.ValidationError, match="replica"):
        jsonschema.validate(wrong, schema)


def test_the_commands_exist() -> None:
    words = shlex.split(RAYJOB["spec"]["entrypoint"])
    assert words[0] == "mikudance"
    command = get_command(app).commands[words[1]]  # type: ignore[attr-defined]
    mounted = {"/settings/settings.yaml": str(FOLDER / "settings.yaml")}
    parsed = command.make_context(words[1], [mounted.get(word, word) for word in words[2:]]).params
    assert (parsed["sources"], parsed["dataset"], parsed["ray_address"]) == (["/data/videos"], "/data/mmd", "auto")
    assert parsed["quarantine_ok"], "code 3 would start new clusters (backoffLimit)"
    assert not set(RAYJOB["spec"]["entrypoint"]) & set("$'\"|;&"), "the entrypoint is quoted by Ray for another shell"


@pytest.mark.parametrize("stage", [1, 2])
def test_training_starts_from_a_configuration_that_fits_sixteen_ranks(stage: int) -> None:
    job = documents(f"train-stage{stage}.yaml")[1]["spec"]
    words = job["template"]["spec"]["containers"][0]["command"]
    module = words[words.index("-m") + 1 :]
    assert module[0] == "train"
    settings = [f"{key.removeprefix('--')}={value}" for key, value in zip(module[2::2], module[3::2], strict=True)]
    config = load_config(module[1], [s.removeprefix("set=") for s in settings])
    assert config.stage == stage
    (nodes,) = [int(w.partition("=")[2]) for w in words if w.startswith("--nnodes=")]
    (ranks,) = [int(w.partition("=")[2]) for w in words if w.startswith("--nproc-per-node=")]
    assert (nodes, nodes * ranks) == (job["completions"], 16)
    assert config.accumulation(16) == 1
    service = documents(f"train-stage{stage}.yaml")[0]
    name = service["metadata"]["name"]
    assert f"--master-addr={name}-0.{name}" in words
    assert job["template"]["spec"]["subdomain"] == name
    assert f"--master-port={service['spec']['ports'][0]['port']}" in words


def test_images_are_those_that_the_dockerfiles_make() -> None:
    made = {
        re.search(r"-t (\S+)", path.read_text())[1]  # type: ignore[index]
        for path in (ROOT / "infra" / "docker").glob("*.Dockerfile")
    }
    used = {c["image"].removesuffix(":latest") for _, pod in pods() for c in pod["containers"]}
    assert used == made


def test_sixteen_gpus_and_every_stage_fits_its_group() -> None:
    """The resources that a group declares to Ray hold exactly the workers that its GPUs hold."""
    config = load(DatasetConfig, FOLDER / "settings.yaml")
    gpus: Counter[str] = Counter()
    offered: dict[str, tuple[str, float]] = {}
    for name, group in GROUPS.items():
        container = group["template"]["spec"]["containers"][0]
        gpus[name] = int(container["resources"]["limits"].get("nvidia.com/gpu", 0))
        if name != "head":
            ((resource, amount),) = json.loads(json.loads(group["rayStartParams"]["resources"].strip("'"))).items()
            offered[resource] = (name, amount)
    assert sum(gpus.values()) == 16
    assert gpus["xpose"] + gpus["sdxl"] == gpus["droid"] + gpus["depth"] == 8
    used = set()
    for stage in ("pose", "camera", "depth", "stylize"):
        need = getattr(config.run, stage)
        ((resource, share),) = need.custom.items()
        group, amount = offered[resource]
        used.add(resource)
        assert amount / share == gpus[group] / need.gpus, stage
        cpus = float(GROUPS[group]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"])
        assert need.cpus * amount / share < cpus, stage
    assert used == set(offered)


def partners() -> dict[str, str]:
    """The group that a group's pods must share a node with, by group."""
    found = {}
    for name, group in GROUPS.items():
        affinity = group["template"]["spec"].get("affinity")
        if affinity is None:
            continue
        (term,) = affinity["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert term["topologyKey"] == "kubernetes.io/hostname"
        found[name] = term["labelSelector"]["matchLabels"]["ray.io/group"]
    return found


def test_no_placement_of_the_pods_leaves_one_without_a_node() -> None:
    """In whatever order the scheduler takes the groups, and whichever node it prefers, two nodes of 8 GPUs hold all."""
    gpus = {
        name: int(group["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"])
        for name, group in GROUPS.items()
        if name != "head"
    }
    assert partners() == {"depth": "droid", "sdxl": "xpose"}

    def place(placed: dict[str, int]) -> None:
        free = [8 - sum(gpus[name] for name, at in placed.items() if at == node) for node in (0, 1)]
        waiting = [name for name in gpus if name not in placed]
        options = [
            (name, node)
            for name in waiting
            for node in (0, 1)
            if free[node] >= gpus[name] and (name not in partners() or placed.get(partners()[name]) == node)
        ]
        assert options or not waiting, f"{placed}: {waiting} wait for ever"
        for name, node in options:
            place({**placed, name: node})

    place({})


def test_every_volume_is_claimed_or_made() -> None:
    claims = {document["metadata"]["name"] for document in documents("storage.yaml")}
    for name, pod in pods():
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes), name
        wanted = {v["persistentVolumeClaim"]["claimName"] for v in volumes.values() if "persistentVolumeClaim" in v}
        assert wanted == claims, name
