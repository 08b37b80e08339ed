"""The list of now: from the arguments of a DaemonSet's container and its ConfigMaps, as the pod would read it."""

from typing import Any

import msgspec
import pytest

from nodeprefetch.cli.cluster_access import parse_pull_arguments
from nodeprefetch.cluster.access import ClusterAccess
from nodeprefetch.cluster.current_list import current_list, mounted_at
from nodeprefetch.cluster.installation import Installation, MountedFile, Service, expanded, installation_of
from nodeprefetch.errors import UsageError
from nodeprefetch.kube.read_objects import ConfigMap, DaemonSet
from tests.support.cluster_objects import IMAGES, config_map, daemon_set, digest_of

LIST = "/etc/nodeprefetch/list/images.txt"
NO_KUBE: Any = None


def read(found: dict[str, Any]) -> Installation:
    access = ClusterAccess(kube=NO_KUBE, namespace="default", parse=parse_pull_arguments)
    return installation_of(msgspec.convert(found, type=DaemonSet), access)


def container_of(found: dict[str, Any]) -> dict[str, Any]:
    spec = found["spec"]["template"]["spec"]
    return spec.get("initContainers", spec["containers"])[0]


def maps(*found: dict[str, Any]) -> dict[str, ConfigMap | None]:
    return {each["metadata"]["name"]: msgspec.convert(each, type=ConfigMap) for each in found}


@pytest.mark.parametrize("keep", [False, True])
def test_the_list_is_in_the_config_map_that_the_container_mounts(keep):
    found = current_list(read(daemon_set(keep=keep)), maps(config_map()))

    assert (digest_of(), IMAGES, (), ()) == (found.digest, found.images, found.problems, found.notes)


def test_images_given_as_arguments_belong_to_the_list():
    found = current_list(read(daemon_set(arguments=["quay.io/team/c:3"])), maps(config_map()))

    assert digest_of([*IMAGES, "quay.io/team/c:3"]) == found.digest


def test_several_lists_are_one():
    both = daemon_set(arguments=["--image-list-file=/etc/nodeprefetch/list/more.txt"])
    config = config_map()
    config["data"]["more.txt"] = "quay.io/team/c:3\n"

    assert digest_of([*IMAGES, "quay.io/team/c:3"]) == current_list(read(both), maps(config)).digest


def test_flags_of_our_own_environment_do_not_count(monkeypatch):
    monkeypatch.setenv("NODEPREFETCH_IMAGE_LIST_FILE", "/etc/other.txt")
    monkeypatch.setenv("NODEPREFETCH_NODE_LABEL_PREFIX", "other.example")

    found = read(daemon_set())

    assert (LIST,) == found.arguments.list_files
    assert "nodeprefetch.io" == found.label_prefix


def test_flags_of_the_containers_environment_count_where_it_has_no_such_argument():
    found = daemon_set()
    container = container_of(found)
    container["args"] = ["fetch"]
    container["env"] += [
        {"name": "NODEPREFETCH_IMAGE_LIST_FILE", "value": LIST},
        {"name": "NODEPREFETCH_NODE_LABEL_PREFIX", "value": "example.com"},
        {"name": "NODEPREFETCH_METRICS_ENDPOINT", "value": "web-metrics.infra.svc.cluster.local:8443"},
        {"name": "INSTANCE_NAME", "value": "blue"},
    ]

    found = read(found)

    assert (LIST,) == found.arguments.list_files
    assert ("example.com", "blue") == (found.label_prefix, found.instance)
    assert Service(namespace="infra", name="web-metrics") == found.service


@pytest.mark.parametrize(
    ("endpoint", "service"),
    [
        ("web-metrics:8443", ("infra", "web-metrics")),
        ("http://web-metrics:8443", ("infra", "web-metrics")),
        ("https://web-metrics/prefix", ("infra", "web-metrics")),
        ("web-metrics.other.svc:8443", ("other", "web-metrics")),
        ("web-metrics.other.svc.cluster.local:8443", ("other", "web-metrics")),
        ("https://web-metrics.other.svc.example.com.", ("other", "web-metrics")),
        ("localhost:8443", None),
        ("10.1.2.3:8443", None),
        ("[fd00::1]:8443", None),
        ("aggregator.example.com:8443", None),
        ("", None),
    ],
)
def test_a_name_without_a_namespace_is_a_service_of_the_pods_own(endpoint, service):
    daemons = daemon_set()
    container_of(daemons)["args"] = ["fetch", f"--image-list-file={LIST}", f"--metrics-endpoint={endpoint}"]

    found = read(daemons)

    assert found.arguments is not None
    assert service == (found.service and (found.service.namespace, found.service.name))


@pytest.mark.parametrize(
    ("command", "args"),
    [
        (["nodeprefetch", "fetch", f"--image-list-file={LIST}"], None),
        (["/usr/bin/python3", "-m", "nodeprefetch"], ["keep", "--image-list-file", LIST]),
        (None, ["fetch", "--image-list-file=/etc/nodeprefetch/$(LIST)/images.txt", "--debug", "--retry-missing"]),
    ],
)
def test_hand_written_containers_are_read_too(command, args):
    found = daemon_set()
    container = container_of(found)
    container["command"], container["args"] = command, args
    container["env"].append({"name": "LIST", "value": "list"})

    assert digest_of() == current_list(read(found), maps(config_map())).digest


def test_arguments_of_another_version_leave_the_list_unknown():
    found = read(daemon_set(arguments=["--brand-new=1"]))

    assert None is found.arguments
    (note,) = found.notes
    assert "the arguments of container prefetch are not understood" in note
    assert "--brand-new" in note


def test_a_daemon_set_that_pulls_nothing_is_named():
    found = daemon_set()
    container_of(found)["args"] = ["sleep"]

    assert ("DaemonSet web has no container that runs fetch or keep",) == read(found).notes


@pytest.mark.parametrize(
    ("text", "expected"),
    [("$(A)-$(B)", "1-$(B)"), ("$$(A)", "$(A)"), ("$A $", "$A $"), ("$$$(A)", "$1"), ("$(A", "$(A")],
)
def test_variables_in_arguments_are_replaced_as_the_kubelet_does_it(text, expected):
    assert expected == expanded(text, {"A": "1"})


def mount(path: str, name: str = "m", **more: Any) -> MountedFile:
    return MountedFile(path=path, config_map=name, **more)


@pytest.mark.parametrize(
    ("mounts", "expected"),
    [
        ((mount("/etc/nodeprefetch/list"),), "m"),
        ((mount("/etc/nodeprefetch/list/"),), "m"),
        ((mount("/etc"), mount("/etc/nodeprefetch/list", "inner")), "inner"),
        ((mount("/etc/nodeprefetch/li"),), None),
        ((mount(LIST, sub_path="key"),), "m"),
        ((mount("/etc/nodeprefetch/list", items=(("key", "images.txt"),)),), "m"),
        ((mount("/etc/nodeprefetch/list", items=(("key", "other.txt"),)),), None),
        ((), None),
    ],
)
def test_the_config_map_of_a_file(mounts, expected):
    found = mounted_at(LIST, mounts)

    assert expected == (found.config_map if found else None)


@pytest.mark.parametrize(
    "mounted",
    [
        {
            "volumes": [
                {"name": "image-list", "configMap": {"name": "web", "items": [{"key": "k", "path": "images.txt"}]}}
            ]
        },
        {
            "volumes": [
                {
                    "name": "image-list",
                    "projected": {
                        "sources": [
                            {"secret": {"name": "s"}},
                            {"configMap": {"name": "web", "items": [{"key": "k", "path": "images.txt"}]}},
                        ]
                    },
                }
            ]
        },
        {
            "volumes": [{"name": "image-list", "configMap": {"name": "web"}}],
            "mounts": [{"name": "image-list", "mountPath": LIST, "subPath": "k"}],
        },
    ],
)
def test_keys_may_become_files_of_other_names(mounted):
    found = daemon_set()
    found["spec"]["template"]["spec"]["volumes"] = mounted["volumes"]
    if "mounts" in mounted:
        container_of(found)["volumeMounts"] = mounted["mounts"]
    config = {"metadata": {"name": "web"}, "data": {"k": "\n".join(IMAGES)}}

    assert digest_of() == current_list(read(found), maps(config)).digest


def test_binary_data_is_read_as_a_file_is():
    config = {"metadata": {"name": "web"}, "binaryData": {"images.txt": "/v8A"}}

    (problem,) = current_list(read(daemon_set()), maps(config)).problems

    assert f"{LIST}: encoded as UTF-16 (save it as UTF-8)" == problem


def test_a_key_that_is_missing_is_a_problem():
    config = {"metadata": {"name": "web"}, "data": {"list.txt": "a:1"}}

    assert (f"{LIST}: ConfigMap web has no key images.txt",) == current_list(read(daemon_set()), maps(config)).problems


@pytest.mark.parametrize("file", ["/usr/share/images.txt", "-"])
def test_a_list_in_the_image_or_on_the_node_is_unknown(file):
    found = current_list(read(daemon_set(arguments=[f"--image-list-file={file}"])), maps(config_map()))

    assert (None, ()) == (found.digest, found.problems)
    assert (f"{file} is not in a ConfigMap, so its images are unknown and any list counts",) == found.notes


@pytest.mark.parametrize("endpoint", ["metrics.example.com:443", "http://10.0.0.1:8080", "a.b.svcs:1"])
def test_an_aggregator_outside_is_no_service(endpoint):
    assert None is read(daemon_set(arguments=[f"--metrics-endpoint={endpoint}"])).service


def test_words_that_are_no_flags_of_ours_are_a_usage_error():
    with pytest.raises(UsageError):
        parse_pull_arguments(["fetch", "--nope"], {})
