"""The manifests: fewest permissions, no shared objects, no dangling references."""

import hashlib
from ipaddress import ip_address
from itertools import combinations

import pytest
import yaml

from deploy_gen.arguments import parse_arguments
from deploy_gen.manifests import build_manifests
from deploy_gen.parse import read_options
from deploy_gen.platforms import FLAVORS
from nodeprefetch.pull.sources import USUAL_DOWNLOAD_DIR
from nodeprefetch.report.label_key import label_key, summary_key
from tests.golden.regenerate import COMMANDS, objects, text
from tests.unit.docs_pages import ROOT, blocks

API_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"
PULLERS = {"prefetch", "keep"}
"""Containers that use the socket of the container runtime."""

every_installation = pytest.mark.parametrize("name", COMMANDS)


def made(*arguments):
    return build_manifests(read_options(parse_arguments(arguments)))


def one(found, kind, name=None):
    (wanted,) = [each for each in found if each["kind"] == kind and name in {None, each["metadata"]["name"]}]
    return wanted


def pods(found):
    return [each["spec"]["template"]["spec"] for each in found if each["kind"] in {"DaemonSet", "Deployment"}]


def containers(found):
    return [each for pod in pods(found) for each in (*pod.get("initContainers", ()), *pod["containers"])]


def prefetch(found):
    return one(found, "DaemonSet")["spec"]["template"]["spec"]["initContainers"][0]


@every_installation
def test_no_container_has_more_than_it_needs(name):
    for container in containers(objects(name)):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert ["ALL"] == security["capabilities"]["drop"]
        assert security["readOnlyRootFilesystem"] is True
        assert "privileged" not in security
        assert (container["name"] in PULLERS) == (security.get("runAsUser") == 0)


@every_installation
def test_only_containers_that_use_a_token_have_one(name):
    found = objects(name)
    with_token = [
        each["name"]
        for each in containers(found)
        if any(m["mountPath"] == API_TOKEN for m in each.get("volumeMounts", ()))
    ]

    assert set(with_token) == {each["name"] for each in containers(found) if each["name"] in {*PULLERS, "aggregator"}}
    for pod in pods(found):
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert {"type": "RuntimeDefault"} == pod["securityContext"]["seccompProfile"]
    assert all(each["automountServiceAccountToken"] is False for each in found if each["kind"] == "ServiceAccount")


@every_installation
def test_host_paths_are_mounted_read_only(name):
    for pod in pods(objects(name)):
        of_node = {volume["name"] for volume in pod["volumes"] if "hostPath" in volume}
        mounts = [m for c in (*pod.get("initContainers", ()), *pod["containers"]) for m in c.get("volumeMounts", ())]

        assert of_node <= {m["name"] for m in mounts if m.get("readOnly")}
        assert {volume["name"] for volume in pod["volumes"]} == {m["name"] for m in mounts}
        assert all(v["hostPath"]["type"] in {"Directory", "File"} for v in pod["volumes"] if "hostPath" in v)


@every_installation
def test_pods_are_selected_by_their_own_labels(name):
    found = objects(name)
    templates = [each["spec"]["template"]["metadata"]["labels"] for each in found if "template" in each.get("spec", {})]
    for each in found:
        spec = each.get("spec", {})
        wanted = {
            "DaemonSet": lambda spec: spec["selector"]["matchLabels"],
            "Deployment": lambda spec: spec["selector"]["matchLabels"],
            "Service": lambda spec: spec["selector"],
            "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"],
        }.get(each["kind"])
        if wanted:
            assert 1 == sum(wanted(spec).items() <= labels.items() for labels in templates)


@every_installation
def test_service_accounts_in_use_exist(name):
    found = objects(name)
    namespace = found[0]["metadata"]["namespace"]
    accounts = {
        each["metadata"]["name"]
        for each in found
        if each["kind"] == "ServiceAccount" and each["metadata"]["labels"]["app.kubernetes.io/component"] != "reader"
    }
    subjects = [subject for each in found for subject in each.get("subjects", ())]
    users = {subject["name"] for subject in subjects if subject["kind"] == "User"}
    subjects = [subject for subject in subjects if subject["kind"] == "ServiceAccount"]

    assert accounts == {pod["serviceAccountName"] for pod in pods(found)}
    assert accounts >= {subject["name"] for subject in subjects} - {"web-reader"}
    assert users <= {f"system:serviceaccount:{namespace}:{found[0]['metadata']['name']}"}
    assert {namespace} >= {subject["namespace"] for subject in subjects}


@every_installation
def test_what_a_policy_restricts_is_permitted_to_the_user_that_it_names(name):
    """So a change of the namespace in one of them leaves no permission without a restriction."""
    found = objects(name)
    is_restricted = "--restrict-node-access" in COMMANDS[name]
    ours = [
        each["subjects"]
        for each in found
        if each["kind"].endswith("Binding")
        and "subjects" in each
        and each["metadata"]["labels"]["app.kubernetes.io/component"] == "fetch"
    ]
    named = {
        condition["expression"].partition("== ")[2].strip("'")
        for each in found
        if each["kind"] == "ValidatingAdmissionPolicy"
        for condition in each["spec"]["matchConditions"]
        if condition["name"] == "from-our-account"
    }

    assert {is_restricted} == {subject["kind"] == "User" for (subject,) in ours}
    assert not is_restricted or named == {subject["name"] for (subject,) in ours}


def identities(found):
    return {(e["apiVersion"], e["kind"], e["metadata"].get("namespace"), e["metadata"]["name"]) for e in found}


def test_installations_share_nothing():
    everything = [
        "--collect-metrics",
        "--restrict-node-access",
        "--network-policy",
        "--persist=1Gi",
        "--service-monitor",
        "--reader-role",
    ]
    names = [
        ("a", "b-c"),
        ("a-b", "c"),
        ("c", "a-b"),
        ("b-c", "a"),
        ("a", "b"),
        ("a", "c"),
        ("a-metrics", "b"),
        ("c", "b"),
    ]
    dotted = [
        ("a.b", "c"),
        ("b", "c"),
        ("a.b-c", "c"),
        ("a", "b-c"),
        ("a.node-labeler", "c"),
        ("a", "c"),
        ("a.node", "c"),
    ]
    found = [identities(made(name, f"--namespace={ns}", *everything)) for name, ns in names if name != "a-metrics"]
    found_dotted = [
        identities(
            made(
                name,
                f"--namespace={ns}",
                "--restrict-node-access",
                "--network-policy",
                "--k8s-flavor=ocp",
                "--reader-role",
            )
        )
        for name, ns in dotted
    ]

    assert all(not first & second for first, second in combinations(found, 2))
    assert all(not first & second for first, second in combinations(found_dotted, 2))


@pytest.mark.parametrize("flavor", FLAVORS)
def test_the_longest_names_fit(flavor):
    """Objects' names have 253 characters at most, Services' 63, values of labels 63."""
    found = made(
        "a" * 55,
        f"--namespace={'b' * 63}",
        f"--k8s-flavor={flavor}",
        "--collect-metrics",
        "--restrict-node-access",
        "--reader-role",
    )

    assert all(len(each["metadata"]["name"]) <= 253 for each in found)
    assert 63 == len(one(found, "Service")["metadata"]["name"])
    assert all(len(value) <= 63 for each in found for value in each["metadata"]["labels"].values())


@pytest.mark.parametrize("name", ["web", "images.4.7", "a" * 55])
@pytest.mark.parametrize("prefix", ["nodeprefetch.io", "image-prefetcher.stackrox.io"])
def test_the_admission_policy_allows_the_keys_that_fetch_writes(name, prefix):
    found = made(name, "--restrict-node-access", f"--node-label-prefix={prefix}")
    policy = one(found, "ValidatingAdmissionPolicy", f"nodeprefetch.default.{name}.node-access")
    expressions = [each["expression"] for each in policy["spec"]["validations"]]

    assert any(f"key == '{label_key(prefix, name)}'" in text for text in expressions)
    assert any(f"key == '{summary_key(prefix, name)}'" in text for text in expressions)
    assert f"--node-label-prefix={prefix}" in prefetch(found)["args"]


def test_a_changed_list_triggers_a_rollout(tmp_path):
    digests = []
    for content in ("nginx:1\n", "nginx:2\n"):
        (tmp_path / "list").write_text(content)
        found = made("web", f"--images={tmp_path}/list")
        digests.append(
            one(found, "DaemonSet")["spec"]["template"]["metadata"]["annotations"]["nodeprefetch.io/images-sha256"]
        )
        assert {"images.txt": content} == one(found, "ConfigMap")["data"]

    assert [hashlib.sha256(content).hexdigest() for content in (b"nginx:1\n", b"nginx:2\n")] == digests


@pytest.mark.parametrize(("flags", "growth"), [([], "fixed"), (["--growth=Doubling"], "doubling")])
def test_the_limit_of_nodes_is_a_file_that_follows_edits(flags, growth):
    """A single mounted file (subPath) would never change."""
    found = made("web", "--collect-metrics", "--pulling-nodes=0", *flags)
    (pod,) = [pod for pod in pods(found) if pod["serviceAccountName"] == "web-metrics"]
    (container,) = pod["containers"]

    assert {"pulling-nodes": "0"} == one(found, "ConfigMap")["data"]
    assert {"name": "limits", "configMap": {"name": "web-metrics"}} in pod["volumes"]
    assert {"name": "limits", "mountPath": "/etc/nodeprefetch/limits", "readOnly": True} in container["volumeMounts"]
    assert {"--pulling-nodes-file=/etc/nodeprefetch/limits/pulling-nodes", f"--growth={growth}"} <= {*container["args"]}


def test_with_a_limit_nodes_ask_for_tickets():
    assert "--tickets" in prefetch(made("web", "--collect-metrics", "--pulling-nodes=10"))["args"]
    assert "--tickets" not in prefetch(made("web", "--collect-metrics"))["args"]


def test_only_for_an_automatic_spread_fetch_pods_may_read_their_own_daemon_set():
    automatic = made("web", "--spread=auto", "--registry-rate=44000/m")
    fixed = made("web", "--spread=10m")

    assert {"--spread=auto", "--registry-rate=44000/m"} <= {*prefetch(automatic)["args"]}
    assert [{"apiGroups": ["apps"], "resources": ["daemonsets"], "resourceNames": ["web"], "verbs": ["get"]}] == one(
        automatic, "Role", "web-node-counter"
    )["rules"]
    assert "web" == one(automatic, "RoleBinding", "web-node-counter")["subjects"][0]["name"]
    assert "--spread=10m" in prefetch(fixed)["args"]
    assert [] == [each for each in fixed if each["metadata"]["name"] == "web-node-counter"]


def test_without_a_limit_there_is_no_file():
    found = made("web", "--collect-metrics")

    assert [] == [each for each in found if each["kind"] == "ConfigMap"]
    assert not any(
        "pulling" in text for text in one(found, "Deployment")["spec"]["template"]["spec"]["containers"][0]["args"]
    )


def test_with_keep_a_changed_list_triggers_no_rollout(tmp_path):
    templates = []
    for content in ("nginx:1\n", "nginx:2\n"):
        (tmp_path / "list").write_text(content)
        found = made("web", "--keep", f"--images={tmp_path}/list")
        templates.append(one(found, "DaemonSet"))
        assert {"images.txt": content} == one(found, "ConfigMap")["data"]

    assert templates[0] == templates[1]


def test_the_list_is_mounted_as_a_directory_which_the_kubelet_updates():
    (pod,) = pods(made("web", "--keep"))

    (mounted,) = [each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "image-list"]

    assert "subPath" not in mounted


def test_keep_has_what_prefetch_has_and_stands_alone():
    """A list may be edited while images of it are missing: a `fetch` before it would not notice."""
    arguments = [
        "--collect-metrics",
        "--secret=a",
        "--use-kubelet-image-credential-integration=EKS",
        "--fetch-arg=--pin",
    ]
    first = prefetch(made("web", *arguments))
    (pod,) = [pod for pod in pods(made("web", *arguments, "--keep")) if pod["containers"][0]["name"] == "keep"]
    (second,) = pod["containers"]

    assert "initContainers" not in pod
    assert ("prefetch", "keep") == (first.pop("name"), second.pop("name"))
    assert ("fetch", "keep") == (first["args"].pop(0), second["args"].pop(0))
    probe = second.pop("readinessProbe")["tcpSocket"]
    assert f"--ready-address={probe['host']}:{probe['port']}" == second["args"].pop(0)
    assert first == second


def test_installations_in_the_network_of_a_node_do_not_share_an_address():
    def probe(*arguments):
        (pod,) = pods(made(*arguments, "--keep", "--host-network"))
        assert "ports" not in pod["containers"][0]  # ports of the node: the scheduler would allow one pod alone
        return pod["containers"][0]["readinessProbe"]["tcpSocket"]

    first, other, elsewhere = probe("web"), probe("web2"), probe("web", "--namespace=b")

    assert 3 == len({each["host"] for each in (first, other, elsewhere)})
    assert all(ip_address(each["host"]).is_loopback for each in (first, other, elsewhere))
    assert first == probe("web", "--max-unavailable=1")


def test_a_pod_with_a_network_of_its_own_is_probed_at_its_address():
    (pod,) = pods(made("web", "--keep"))

    assert {"port": 28460} == pod["containers"][0]["readinessProbe"]["tcpSocket"]


@pytest.mark.parametrize(
    ("cloud", "paths"),
    [
        ("GKE", {"/etc/srv/kubernetes/cri_auth_config.yaml": "File", "/home/kubernetes/bin": "Directory"}),
        ("EKS", {"/etc/eks/image-credential-provider": "Directory"}),
        (
            "AKS",
            {
                "/var/lib/kubelet/credential-provider-config.yaml": "File",
                "/var/lib/kubelet/credential-provider": "Directory",
                "/etc/kubernetes/azure.json": "File",
            },
        ),
    ],
)
def test_files_of_credential_providers_are_mounted_at_the_nodes_paths(cloud, paths):
    found = made("web", f"--use-kubelet-image-credential-integration={cloud}")
    pod = one(found, "DaemonSet")["spec"]["template"]["spec"]
    volumes = {v["name"]: v["hostPath"] for v in pod["volumes"] if v["name"].startswith("credential")}
    mounts = {m["name"]: m["mountPath"] for m in prefetch(found)["volumeMounts"] if m["name"].startswith("credential")}

    assert paths == {path["path"]: path["type"] for path in volumes.values()}
    assert {name: path["path"] for name, path in volumes.items()} == mounts
    assert (True, "ClusterFirstWithHostNet") == (pod["hostNetwork"], pod["dnsPolicy"])
    assert prefetch(found)["image"].endswith("-distro")


def test_other_credential_providers_use_the_pods_own_network():
    paths = ["--image-credential-provider-config=/a/c", "--image-credential-provider-bin-dir=/b/"]
    found = made("web", *paths)

    assert "hostNetwork" not in one(found, "DaemonSet")["spec"]["template"]["spec"]
    assert {"/a/c", "/b"} <= {mount["mountPath"] for mount in prefetch(found)["volumeMounts"]}


@pytest.mark.parametrize(
    ("flavor", "directory", "name"),
    [
        ("vanilla", "/run/containerd", "containerd.sock"),
        ("ocp", "/var/run/crio", "crio.sock"),
        ("k3s", "/run/k3s/containerd", "containerd.sock"),
        ("rke2", "/run/k3s/containerd", "containerd.sock"),
        ("microk8s", "/var/snap/microk8s/common/run", "containerd.sock"),
        ("k0s", "/run/k0s", "containerd.sock"),
    ],
)
def test_the_directory_of_the_flavors_socket_is_mounted(flavor, directory, name):
    found = made("web", f"--k8s-flavor={flavor}")
    (volume,) = [v for v in pods(found)[0]["volumes"] if v["name"] == "cri-socket-dir"]

    assert {"path": directory, "type": "Directory"} == volume["hostPath"]
    assert f"--cri-socket=/run/nodeprefetch/cri/{name}" in prefetch(found)["args"]


@pytest.mark.parametrize(
    ("arguments", "directory"),
    [
        (["--k8s-flavor=ocp"], "/var/tmp"),
        (["--cri-socket=/run/crio/crio.sock"], "/var/tmp"),
        (["--k8s-flavor=ocp", "--keep"], "/var/tmp"),
        (["--cri-socket=/run/other.sock", "--crio-download-dir=/data/tmp/"], "/data/tmp"),
        (["--k8s-flavor=ocp", "--crio-download-dir=none"], None),
        (["--k8s-flavor=ocp", "--cri-socket=/run/containerd/containerd.sock"], None),
        ([], None),
    ],
)
def test_what_crio_downloads_is_mounted_read_only(arguments, directory):
    """For the container that pulls, where `fetch` looks for it; a missing directory is an event."""
    found = made("web", *arguments)
    spec = one(found, "DaemonSet")["spec"]["template"]["spec"]
    volumes = [volume["hostPath"] for volume in spec["volumes"] if volume["name"] == "crio-downloads"]
    mounts = {
        container["name"]: mount
        for container in [*spec.get("initContainers", []), *spec["containers"]]
        for mount in container.get("volumeMounts", [])
        if mount["name"] == "crio-downloads"
    }

    assert [{"path": directory, "type": "Directory"}] * bool(directory) == volumes
    expected = {"name": "crio-downloads", "mountPath": USUAL_DOWNLOAD_DIR, "readOnly": True}
    assert [expected] * bool(directory) == [*mounts.values()]
    assert {"keep", "prefetch"} >= mounts.keys()


def test_openshift_assigns_users_and_pods_request_the_scc():
    found = made("web", "--k8s-flavor=OCP", "--collect-metrics")

    assert "runAsUser" not in one(found, "Deployment")["spec"]["template"]["spec"]["securityContext"]
    assert ["privileged"] == one(found, "Role", "web-privileged-scc")["rules"][0]["resourceNames"]
    assert (
        "privileged"
        == one(found, "DaemonSet")["spec"]["template"]["metadata"]["annotations"]["openshift.io/required-scc"]
    )
    assert {"type": "spc_t"} == prefetch(found)["securityContext"]["seLinuxOptions"]


def test_dollar_signs_are_escaped():
    """The kubelet replaces $(NAME), and $$ by $."""
    assert "a=$$(NODE_NAME)$$$$" == prefetch(made("web", "--fetch-arg=a=$(NODE_NAME)$$"))["args"][-1]


@pytest.mark.parametrize(
    ("arguments", "seconds"),
    [([], 30), (["--fetch-arg=--report-grace=1m"], 75), (["--fetch-arg=--report-grace", "--fetch-arg=0"], 15)],
)
def test_the_termination_grace_covers_the_report(arguments, seconds):
    assert seconds == pods(made("web", *arguments))[0]["terminationGracePeriodSeconds"]


def test_the_aggregator_is_probed_every_second_and_has_minutes_to_start():
    """Nodes that have their images already wait for it; it may be reading a large database."""
    (aggregator,) = one(made("web", "--collect-metrics"), "Deployment")["spec"]["template"]["spec"]["containers"]
    startup = aggregator["startupProbe"]

    assert aggregator["livenessProbe"]["httpGet"] == startup["httpGet"]
    assert 1 == startup["periodSeconds"]
    assert 300 == startup["periodSeconds"] * startup["failureThreshold"]
    assert "initialDelaySeconds" not in aggregator["livenessProbe"]


KUBE_SYSTEM = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}


def sources(found):
    policy = one(found, "NetworkPolicy", "web-metrics")
    return {rule["ports"][0]["port"]: rule.get("from") for rule in policy["spec"]["ingress"]}


def test_the_aggregator_is_open_to_fetch_pods_and_readers_of_its_namespace():
    found = sources(made("web", "--collect-metrics", "--network-policy"))

    assert "fetch" == found[8443][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
    assert [{"podSelector": {}}] == found[8080]


def test_queries_are_allowed_from_where_flags_expose_them():
    restricted = ("--collect-metrics", "--network-policy")
    prometheus = sources(made("web", *restricted, "--service-monitor"))
    outside = sources(made("web", *restricted, "--expose=loadbalancer"))

    assert [{"namespaceSelector": {}}] == prometheus[8080]
    assert outside[8080] is None
    assert [{"podSelector": {}}, KUBE_SYSTEM] == sources(made("web", *restricted, "--reader-role"))[8080]
    assert outside[8443] is not None


def test_fetch_pods_in_the_nodes_network_have_no_policy_and_any_address():
    found = made("web", "--collect-metrics", "--network-policy", "--host-network")

    assert ["web-metrics"] == [each["metadata"]["name"] for each in found if each["kind"] == "NetworkPolicy"]
    assert sources(found)[8443] is None


def of_kind(kind, *arguments):
    return [each for each in made("web", "--namespace=prefetch", *arguments) if each["kind"] == kind]


@pytest.mark.parametrize("name", ["system-node-critical", "system-cluster-critical"])
def test_a_system_priority_class_comes_with_the_quota_that_allows_it(name):
    """It counts pods of that class alone, and as many as there may be nodes."""
    (quota,) = of_kind("ResourceQuota", f"--priority-class={name}")

    (scope,) = quota["spec"]["scopeSelector"]["matchExpressions"]
    assert ("PriorityClass", "In", [name]) == (scope["scopeName"], scope["operator"], scope["values"])
    assert {"pods": "1G"} == quota["spec"]["hard"]
    assert "prefetch" == quota["metadata"]["namespace"]


@pytest.mark.parametrize("flags", [[], ["--priority-class=high"]])
def test_other_classes_need_no_quota(flags):
    assert [] == of_kind("ResourceQuota", *flags)


def test_the_guide_shows_the_printed_quota():
    guide = (ROOT / "docs/install.md").read_text(encoding="utf-8")
    (shown,) = [text for text in blocks(ROOT / "docs/install.md", "yaml") if "ResourceQuota" in text]
    (quota,) = of_kind("ResourceQuota", "--priority-class=system-node-critical")

    assert "insufficient quota to match these scopes" in guide
    assert quota["spec"] == yaml.safe_load(shown)["spec"]


def test_tolerations_replace_the_toleration_of_all_taints():
    def tolerations(*arguments):
        return pods(made("web", *arguments))[0].get("tolerations")

    assert [{"operator": "Exists"}] == tolerations()
    assert None is tolerations("--no-tolerate-all")
    assert [
        {"key": "a.b/c", "operator": "Equal", "value": "d", "effect": "NoSchedule"},
        {"key": "e", "operator": "Exists"},
        {"operator": "Exists", "effect": "NoExecute"},
        {"key": "f", "operator": "Equal", "value": ""},
    ] == tolerations("--toleration=a.b/c=d:NoSchedule", "--toleration=e", "--toleration=:NoExecute", "--toleration=f=")


def test_a_tag_that_cannot_be_a_label_is_left_out_of_the_labels():
    found = made("web", f"--version={'a' * 64}")

    assert all("app.kubernetes.io/version" not in each["metadata"]["labels"] for each in found)


@pytest.mark.parametrize(
    ("flavor", "directory"),
    [
        ("k0s", "/run/k0s"),
        ("k3s", "/run/k3s/containerd"),
        ("microk8s", "/var/snap/microk8s/common/run"),
        ("rke2", "/run/k3s/containerd"),
    ],
)
def test_a_flavor_differs_by_the_directory_of_its_socket(flavor, directory):
    plain, of_flavor = text("vanilla"), text(flavor)

    assert 1 == plain.count("/run/containerd")
    expected = plain.replace("/run/containerd", directory).splitlines()[1:]
    assert expected == of_flavor.splitlines()[1:]
