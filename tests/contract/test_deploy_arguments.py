"""The command line of nodeprefetch accepts the arguments in the manifests, with the intended meaning."""

import pytest

from deploy_gen.passthrough import REPORT_GRACE, RESERVED_AGGREGATE_FLAGS, RESERVED_FETCH_FLAGS, RESERVED_WITH_METRICS
from deploy_gen.platforms import HTTP_PORT, SUBMISSION_PORT
from nodeprefetch.cli.aggregate_flags import AggregateFlags, aggregator_settings
from nodeprefetch.cli.commands import app
from nodeprefetch.cli.flag_settings import fetch_settings, read_seconds
from nodeprefetch.cli.flags import FetchFlags, KeepFlags
from nodeprefetch.cli.inputs import plugin_options
from nodeprefetch.cli.once_flags import OnceFlags
from nodeprefetch.report.label_key import check_prefix
from nodeprefetch.submit.endpoint import parse_endpoint
from tests.golden.regenerate import COMMANDS, objects

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
every_installation = pytest.mark.parametrize("name", COMMANDS)


def pods(installation):
    found = [each for each in objects(installation) if each["kind"] in {"DaemonSet", "Deployment"}]
    return [(each["metadata"], each["spec"]["template"]["spec"]) for each in found]


def parsed(container):
    """Command and what it is called with. The kubelet makes `$` of `$$`."""
    arguments = [argument.replace("$$", "$") for argument in container["args"]]
    command, bound, unknown, *_ = app.parse_args(arguments, print_error=False, exit_on_error=False)
    assert {} == unknown
    return command, bound.arguments


def containers(installation, name):
    return [
        (metadata, pod, each)
        for metadata, pod in pods(installation)
        for each in (*pod.get("initContainers", ()), *pod["containers"])
        if each["name"] == name
    ]


def puller(installation):
    """The container that pulls, with its pod."""
    (found,) = [*containers(installation, "prefetch"), *containers(installation, "keep")]
    return found


def is_mounted(path, container):
    return any(path == m["mountPath"] or path.startswith(m["mountPath"] + "/") for m in container["volumeMounts"])


KEEPING = [name for name in COMMANDS if containers(name, "keep")]


@every_installation
def test_fetch_accepts_its_arguments(name):
    metadata, _, container = puller(name)

    _, bound = parsed(container)

    flags = bound["flags"]
    assert isinstance(flags, FetchFlags)
    settings = fetch_settings(flags)
    assert settings.cri_socket
    assert {"NODE_NAME", "INSTANCE_NAME"} == {each["name"] for each in container["env"]}
    assert metadata["name"] == container["env"][1]["value"]
    check_prefix(flags.node_label_prefix)
    plugin_options(flags)
    paths = [settings.cri_socket, *flags.image_list_file, *flags.docker_config]
    paths += [flags.image_credential_provider_config, flags.image_credential_provider_bin_dir, flags.metrics_token_file]
    assert all(is_mounted(path, container) for path in paths if path)


@every_installation
def test_the_termination_grace_exceeds_the_report_grace(name):
    _, pod, container = puller(name)

    _, bound = parsed(container)

    assert read_seconds(bound["flags"], "report_grace") + 10 <= pod["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("name", KEEPING)
def test_keep_accepts_its_arguments(name):
    ((_, _, container),) = containers(name, "keep")

    command, bound = parsed(container)

    flags = bound["flags"]
    assert "keep" == command.__name__
    assert isinstance(flags, KeepFlags)
    intervals = ("1m", "never") if name == "keep-intervals" else ("5m", "1h")
    assert intervals == (flags.check_every, flags.refresh_every)
    probe = container["readinessProbe"]["tcpSocket"]
    assert f"{probe.get('host', '')}:{probe['port']}" == flags.ready_address


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in KEEPING])
def test_sleep_accepts_its_arguments(name):
    ((_, _, container),) = containers(name, "sleep")

    command, bound = parsed(container)

    assert "sleep" == command.__name__
    assert {} == bound


METRICS = [name for name in COMMANDS if containers(name, "aggregator")]


@pytest.mark.parametrize("name", METRICS)
def test_the_aggregator_accepts_its_arguments_and_the_fetch_pods_tokens(name, tmp_path):
    ((metadata, _, container),) = containers(name, "aggregator")
    fetching, fetch_pod, fetch_container = puller(name)

    _, bound = parsed(container)

    assert isinstance(bound["flags"], AggregateFlags)
    (tmp_path / "namespace").write_text(metadata["namespace"])
    settings = aggregator_settings(bound["flags"], tmp_path)
    assert "kubernetes" == settings.auth
    assert f"{fetching['namespace']}:{fetch_pod['serviceAccountName']}" == settings.auth_service_account
    assert (HTTP_PORT, SUBMISSION_PORT) == (settings.http_port, settings.grpc_port)
    assert {settings.http_port, settings.grpc_port} == {port["containerPort"] for port in container["ports"]}
    assert is_mounted(str(settings.data_dir), container)
    (token,) = [volume for volume in fetch_pod["volumes"] if volume["name"] == "metrics-token"]
    assert settings.auth_audience == token["projected"]["sources"][0]["serviceAccountToken"]["audience"]
    endpoint = parse_endpoint(parsed(fetch_container)[1]["flags"].metrics_endpoint)
    assert (f"{fetching['name']}-metrics", SUBMISSION_PORT) == (endpoint.host, endpoint.port)


def test_there_are_manifests_with_an_aggregator():
    assert 5 <= len(METRICS)


def test_reserved_flags_exist():
    def flags(of):
        return {"--" + name.replace("_", "-") for name in of.__dataclass_fields__}

    assert {*RESERVED_FETCH_FLAGS, *RESERVED_WITH_METRICS, REPORT_GRACE} <= flags(OnceFlags)
    assert set(RESERVED_AGGREGATE_FLAGS) <= flags(AggregateFlags)
