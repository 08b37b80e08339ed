"""The generator accepts the values that Kubernetes and `fetch` accept."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy_gen import checks
from deploy_gen.arguments import parse_arguments
from deploy_gen.images import LIST_LIMIT, program_image, tag_of_version
from deploy_gen.parse import read_options
from deploy_gen.problems import InputError
from nodeprefetch.errors import UsageError
from nodeprefetch.report.label_key import check_prefix
from nodeprefetch.values.duration import parse_duration


def read(*arguments):
    return read_options(parse_arguments(arguments))


@pytest.mark.parametrize("name", ["a", "9", "web", "a-b.c", "a" * 55])
def test_names_of_objects_are_accepted(name):
    assert name == read(name).name


@pytest.mark.parametrize(
    "name",
    [
        *("", "-", "a_b", "Web", "a b", "web-", ".a", "a..b", "é", "a\n", "a" * 56),
        *("web-metrics", "web-reader", "web-dashboard"),
    ],
)
def test_other_names_are_rejected(name):
    with pytest.raises(InputError, match="NAME"):
        read(name)


@pytest.mark.parametrize("name", ["default", "kube-root-ca.crt"])
def test_names_that_every_namespace_has_are_reserved(name):
    """As `default` the right to patch nodes would go to every pod of the namespace that names no account."""
    with pytest.raises(InputError, match=r"NAME: .* is reserved"):
        read(name)


@pytest.mark.parametrize("name", ["builder", "deployer", "openshift-service-ca.crt"])
def test_names_that_every_namespace_of_openshift_has_are_reserved_only_there(name):
    assert name == read(name).name
    with pytest.raises(InputError, match=r"NAME: .* is reserved"):
        read(name, "--k8s-flavor", "OCP")


@pytest.mark.parametrize("name", ["9", "a.b"])
def test_with_an_aggregator_the_name_must_be_valid_for_a_service(name):
    with pytest.raises(InputError, match="Service"):
        read(name, "--collect-metrics")


@pytest.mark.parametrize(
    ("version", "tag"),
    [
        ("v0.3.0", "v0.3.0"),
        ("v0.4.2-0.20251126115717-559dd9fd402f", "sha-559dd9f"),
        ("v0.4.2-1-gabcdef012", "v0.4.2-1-gabcdef012"),
        ("v0.4.2-0.20251126115717-559dd9", "v0.4.2-0.20251126115717-559dd9"),
        ("v0.4.2-0.20251126115717-559dd9G", "v0.4.2-0.20251126115717-559dd9G"),
    ],
)
def test_versions_of_commits_become_tags_of_commits(version, tag):
    assert tag == tag_of_version(version)
    assert f"ghcr.io/nodeprefetch/nodeprefetch:{tag}" == program_image(None, version, distro=False).reference


def test_credential_providers_of_the_node_need_the_image_with_a_libc():
    assert "r.example.com/x:v1-distro" == program_image("r.example.com/x", "v1", distro=True).reference


@pytest.mark.parametrize(
    "image", ["localhost:5000/a/b:1", "[::1]:5000/a", f"a/b@sha256:{'0' * 64}", f"a:1@sha256:{'0' * 64}"]
)
def test_an_image_with_tag_or_digest_is_used_as_it_is(image):
    assert program_image(image, None, distro=True).reference.startswith(image)


@pytest.mark.parametrize("image", ["a/B", "a b", "a/", "a:", "https://a/b", "a@sha256:0", "a/b\n", "a/" + "b" * 260])
def test_an_invalid_image_is_rejected(image):
    with pytest.raises(InputError, match="--image"):
        read("web", f"--image={image}")


@pytest.mark.parametrize("arguments", [["--image=a:1", "--version=v1"], ["--version=-"], ["--version=" + "a" * 129]])
def test_an_invalid_version_is_rejected(arguments):
    with pytest.raises(InputError, match="--version"):
        read("web", *arguments)


@pytest.mark.parametrize(
    "argument",
    [
        "--namespace=",
        "--namespace=a.b",
        "--secret=a_b",
        "--secret=" + "a" * 254,
        "--image-pull-secret=A",
        "--k8s-flavor=openshift",
        "--cri-socket=run/x.sock",
        "--cri-socket=/x.sock",
        "--cri-socket=/run/x/",
        "--cri-socket=/run/../x.sock",
        "--cri-socket=/run/a:b/x.sock",
        "--cri-socket=/run/a\nb/x.sock",
        "--cri-socket=tcp://1.2.3.4:5",
        "--cri-socket=/",
        "--cri-socket=//run/x",
        "--cri-socket=/" + "a" * 1025,
        "--selinux-type=a:b",
        "--node-selector=a",
        "--node-selector=/a=b",
        "--node-selector=A.b/c=d",
        "--node-selector=a=b c",
        "--node-selector=a=" + "b" * 64,
        "--toleration=:",
        "--toleration==a",
        "--toleration=a:Never",
        "--toleration=a b:NoExecute",
        "--toleration=a=/:NoExecute",
        "--priority-class=A",
        "--max-unavailable=0",
        "--max-unavailable=0%",
        "--max-unavailable=101%",
        "--max-unavailable=-1",
        "--max-unavailable=1.5",
        "--node-label-prefix=a/b",
        "--node-label-prefix=A",
        "--node-label-prefix=",
        "--use-kubelet-image-credential-integration=GCP",
        "--output=text",
        "--images=/nowhere/at-all",
        "--fetch-arg=--cri-socket=/x",
        "--fetch-arg=--allow-failures",
        "--fetch-arg=--node-label-prefix=a",
        "--fetch-arg=--report-grace=1",
        "--fetch-arg=--report-grace",
        "--fetch-arg=--report-grace=25h",
        "--fetch-arg=\udcff",
        "--persist=1Gi",
        "--expose=ClusterIP",
        "--service-monitor",
        "--pulling-nodes=10",
        "--growth=doubling",
        "--aggregate-arg=--debug",
        "--check-every=1m",
        "--refresh-every=never",
        "--report-every=1h",
        "--fetch-arg=--check-every=1m",
        "--spread=auto",
        "--spread=0",
        "--spread=10",
        "--registry-rate=44000/m",
        "--fetch-arg=--spread=10m",
        "--fetch-arg=--registry-rate=1/s",
    ],
)
def test_an_invalid_value_is_reported_with_its_flag(argument):
    with pytest.raises(InputError, match=argument.partition("=")[0]):
        read("web", argument)


@pytest.mark.parametrize(
    "argument",
    ["--persist=0", "--persist=1gb", "--persist=-1Gi", "--persist=1 Gi", "--expose=NodePort"]
    + ["--pulling-nodes=-1", "--pulling-nodes=10%", "--pulling-nodes=1000000000", "--growth=tripling", "--growth=fixed"]
    + [f"--aggregate-arg={flag}" for flag in ("--growth=fixed", "--pulling-nodes=1", "--pulling-nodes-file=/x")]
    + [f"--aggregate-arg={flag}" for flag in ("--auth=none", "--data-dir=/x", "--http-port=1", "--tls-key-file=/x")]
    + [f"--fetch-arg={flag}" for flag in ("--metrics-endpoint=x:1", "--metrics-token-file")],
)
def test_an_invalid_value_of_the_aggregator_is_reported_with_its_flag(argument):
    with pytest.raises(InputError, match=argument.partition("=")[0]):
        read("web", "--collect-metrics", argument)


@pytest.mark.parametrize("rate", ["44000", "0/s", "1/d", "-1/s", "1e3/s"])
def test_an_invalid_rate_is_reported_with_its_flag(rate):
    with pytest.raises(InputError, match="--registry-rate: invalid rate"):
        read("web", "--spread=auto", f"--registry-rate={rate}")


@pytest.mark.parametrize(
    "argument",
    [
        "--check-every=0",
        "--check-every=never",
        "--check-every=5",
        "--refresh-every=0s",
        "--refresh-every=daily",
        "--report-every=never",
    ],
)
def test_an_invalid_interval_is_reported_with_its_flag(argument):
    with pytest.raises(InputError, match=argument.partition("=")[0]):
        read("web", "--keep", argument)


@pytest.mark.parametrize("argument", ["--fetch-arg=--metrics-endpoint=x:1", "--secret=", "--persist=", "--expose="])
def test_empty_values_and_an_endpoint_without_an_aggregator_are_accepted(argument):
    read("web", argument)


def test_clouds_are_accepted_in_any_case_but_not_together_with_paths():
    assert read("web", "--use-kubelet-image-credential-integration=gke").credentials
    with pytest.raises(InputError, match="cannot be combined"):
        read("web", "--use-kubelet-image-credential-integration=GKE", "--image-credential-provider-config=/a")


@pytest.mark.parametrize(
    "argument", ["--image-credential-provider-config=/a", "--image-credential-provider-bin-dir=/a"]
)
def test_configuration_and_binaries_of_providers_must_be_given_together(argument):
    with pytest.raises(InputError, match="must be given together"):
        read("web", argument)


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("25%", "25%"), ("100%", "100%"), ("007", None)])
def test_max_unavailable_is_a_number_or_a_percentage(text, value):
    if value is None:
        with pytest.raises(InputError):
            checks.max_unavailable(text)
    else:
        assert value == checks.max_unavailable(text)


@pytest.mark.parametrize("size", ["1", "1.5Gi", "500M", "1e9", "0.1Ti"])
def test_sizes_in_the_notation_of_kubernetes_are_accepted(size):
    assert size == checks.quantity(size)


def test_only_nodes_with_linux_can_be_selected():
    assert (("kubernetes.io/os", "linux"),) == read("web", "--node-selector=kubernetes.io/os=linux").node_selector
    with pytest.raises(InputError, match=r"conflicting values for kubernetes\.io/os"):
        read("web", "--node-selector=kubernetes.io/os=windows")


def test_a_second_list_is_rejected(tmp_path):
    (tmp_path / "a").write_text("nginx\n")

    with pytest.raises(InputError, match="must be given only once, got 2"):
        read("web", f"--images={tmp_path}/a", f"--images={tmp_path}/a")


def test_a_node_cannot_have_two_values_of_a_label():
    with pytest.raises(InputError, match="conflicting values for pool"):
        read("web", "--node-selector=pool=a", "--node-selector=pool=b")


def test_repeated_values_are_kept_once():
    options = read("web", "--secret=a", "--secret=b", "--secret=a", "--node-selector=a=b", "--node-selector=a=b")

    assert ("a", "b") == options.secrets
    assert (("a", "b"),) == options.node_selector


@given(
    st.from_regex(r"\+?([0-9]{0,3}(\.[0-9]{0,3})?(h|m|s|ms|us|ns|µs|μs)?){1,3}", fullmatch=True) | st.text(max_size=5)
)
def test_durations_are_those_of_fetch(text):
    try:
        seconds = parse_duration(text)
    except UsageError:
        seconds = None
    try:
        ours = checks.duration(text)
    except InputError:
        ours = None

    if ours is None:
        assert seconds is None or seconds > 86400
    else:
        assert seconds is not None
        assert 0 <= ours - seconds < 1.000001


@pytest.mark.parametrize("text", ["1m30s", "1.5h", "300ms", "0", "0s", "45s"])
def test_usual_durations_are_accepted(text):
    assert parse_duration(text) <= checks.duration(text)


@given(st.from_regex(r"[a-z0-9.-]{1,12}", fullmatch=True) | st.text())
def test_prefixes_are_those_of_fetch(text):
    try:
        theirs = check_prefix(text)
    except UsageError:
        theirs = None
    try:
        ours = checks.dns_subdomain(text)
    except InputError:
        ours = None

    assert theirs == ours


def test_the_list_is_read_from_a_file_or_from_standard_input(tmp_path, monkeypatch):
    (tmp_path / "list").write_bytes(b"# a\r\nnginx\r\n")
    with (tmp_path / "list").open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)

        assert "# a\r\nnginx\r\n" == read("web", "--images", "-").images
    assert "# a\r\nnginx\r\n" == read("web", f"--images={tmp_path}/list").images


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "contains no images"),
        (b"\xef\xbb\xbf# nginx\n\n  # x", "contains no images"),
        (b"nginx\0", "contains a NUL byte"),
        (b"ngin\xff", "is not valid UTF-8 (byte 0xff at offset 4)"),
        (b"a" * (LIST_LIMIT + 1), "must not be longer"),
    ],
)
def test_an_invalid_list_is_rejected(content, problem, tmp_path):
    (tmp_path / "list").write_bytes(content)
    with pytest.raises(InputError, match=re.escape(problem)):
        read("web", f"--images={tmp_path}/list")
