"""Turns parsed flags into validated `Options`, and reports all problems at once."""

import argparse
from collections.abc import Callable, Container, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from deploy_gen import checks
from deploy_gen.images import ProgramImage, program_image, read_list
from deploy_gen.options import AUTO, DIRECT, NODE_ACCESS, TOLERATE_ALL, Options
from deploy_gen.parse_new_nodes import gate_needs, priority_class, startup_taints
from deploy_gen.parse_workload import once_for
from deploy_gen.passthrough import check_aggregate_args, check_fetch_args, overall_timeout, termination_grace
from deploy_gen.platforms import (
    CLOUDS,
    CRIO_DOWNLOADS,
    CRIO_SOCKET,
    FLAVORS,
    GROWTHS,
    OPENSHIFT,
    SOCKET_SELINUX_TYPE,
    SOCKETS,
    CredentialProviders,
)
from deploy_gen.problems import InputError, Problems
from deploy_gen.taints import label, toleration
from deploy_gen.values import Values

NAME_LIMIT = 55
"""Characters: NAME-metrics is the name of a Service and NAME.summary that of an annotation, both limited to 63."""

RULE_NAME_LIMIT = 30
"""The same with a NodeReadinessRule: its controller marks nodes with the annotation name bootstrap-completed-RULE."""

_RESERVED_NAMES = frozenset({"default", "kube-root-ca.crt"})
"""Created by Kubernetes in each namespace: the ServiceAccount of pods that set none, and a ConfigMap."""

_RESERVED_ON_OPENSHIFT = frozenset({"builder", "deployer", "openshift-service-ca.crt"})

_SUFFIXES = {"-metrics": "aggregator", "-reader": "readers' account", "-dashboard": "dashboard"}
"""Of names that objects of another installation have, in the same namespace."""

_OPERATING_SYSTEM = ("kubernetes.io/os", "linux")
"""Node label that all pods select."""

_SERVICE_TYPES = ("ClusterIP", "LoadBalancer")
_OUTPUTS = ("yaml", "json")


def read_options(flags: argparse.Namespace) -> Options:
    """Validate the flags.

    Raises:
        InputError: with the problems of all flags.
    """
    problems = Problems()
    problems.add(*flags.problems)
    values = Values(problems)
    flavor = values.one("--k8s-flavor", _one_of(FLAVORS), flags.k8s_flavor, "vanilla")
    is_openshift = flavor == OPENSHIFT
    reserved = _RESERVED_NAMES | (_RESERVED_ON_OPENSHIFT if is_openshift else frozenset())
    check_name = partial(_name, reserved=reserved, is_service=flags.collect_metrics, has_rule=flags.node_readiness_rule)
    credentials = None
    with problems.collected():
        credentials = _credentials(flags)
    image = ProgramImage(reference="", tag="")
    with problems.collected():
        image = program_image(flags.image, flags.version or None, distro=_needs_libc(flags))
    fetch_args, grace = _fetch_args(flags, problems)
    images = _images(flags.images, values, problems)
    if not flags.keep:
        given = {
            "--check-every": flags.check_every,
            "--refresh-every": flags.refresh_every,
            "--report-every": flags.report_every,
        }
        problems.add(*(f"{flag}: requires --keep" for flag, value in given.items() if value))
    cri_socket = values.one("--cri-socket", checks.socket_path, flags.cri_socket or SOCKETS[flavor], "")
    downloads = CRIO_DOWNLOADS if PurePosixPath(cri_socket).name == CRIO_SOCKET else ""
    options = Options(
        name=values.one("NAME", check_name, _single_name(flags.names, problems), ""),
        namespace=values.one("--namespace", checks.dns_label, flags.namespace, ""),
        image=image,
        flavor=flavor,
        cri_socket=cri_socket,
        crio_download_dir=values.given("--crio-download-dir", _path_or_none, flags.crio_download_dir, downloads),
        selinux_type=values.given(
            "--selinux-type", checks.selinux_type, flags.selinux_type, SOCKET_SELINUX_TYPE if is_openshift else ""
        ),
        secrets=values.each("--secret", checks.dns_subdomain, flags.secret),
        image_pull_secrets=values.each("--image-pull-secret", checks.dns_subdomain, flags.image_pull_secret),
        credentials=credentials,
        host_network=flags.host_network or (credentials is not None and credentials.uses_metadata_server),
        images=images,
        fetch_args=fetch_args,
        allow_failures=flags.allow_failures,
        keep=flags.keep,
        once_for=once_for(flags, problems),
        check_every=values.given("--check-every", checks.interval, flags.check_every),
        refresh_every=values.given("--refresh-every", _interval_or_never, flags.refresh_every),
        report_every=values.given("--report-every", checks.interval, flags.report_every),
        spread=values.given("--spread", _spread, flags.spread),
        registry_rate=_registry_rate(flags, values, problems),
        node_label_prefix=values.one("--node-label-prefix", checks.dns_subdomain, flags.node_label_prefix, ""),
        node_access=values.one("--node-access", _one_of(NODE_ACCESS), flags.node_access, DIRECT),
        node_condition=flags.node_condition or flags.node_readiness_rule,
        startup_taints=startup_taints(flags, values, problems),
        gate_timeout=values.given("--gate-timeout", checks.any_duration, flags.gate_timeout),
        gate_needs=gate_needs(flags, images, values, problems),
        readiness_rule=flags.node_readiness_rule,
        events=not flags.no_events,
        restrict_node_access=flags.restrict_node_access,
        termination_grace=grace,
        overall_timeout=overall_timeout(fetch_args),
        node_selector=_single_values(values.each("--node-selector", label, flags.node_selector), problems),
        tolerations=values.each("--toleration", toleration, flags.toleration)
        or (() if flags.no_tolerate_all else (TOLERATE_ALL,)),
        priority_class=priority_class(flags, values),
        max_unavailable=values.one("--max-unavailable", checks.max_unavailable, flags.max_unavailable, ""),
        collect_metrics=flags.collect_metrics,
        aggregate_args=_aggregate_args(flags, problems),
        expose=values.given("--expose", _one_of(_SERVICE_TYPES), flags.expose, _SERVICE_TYPES[0]),
        persist=values.given("--persist", checks.quantity, flags.persist),
        pulling_nodes=values.one("--pulling-nodes", checks.node_count, flags.pulling_nodes, None)
        if flags.pulling_nodes
        else None,
        growth=values.given("--growth", _one_of(GROWTHS), flags.growth, GROWTHS[0]),
        service_monitor=flags.service_monitor,
        grafana_dashboard=flags.grafana_dashboard,
        reader_role=flags.reader_role,
        network_policy=flags.network_policy,
        output=values.one("--output", _one_of(_OUTPUTS), flags.output, ""),
        output_dir=_output_dir(flags, values),
    )
    problems.raise_if_any()
    return options


def _output_dir(flags: argparse.Namespace, values: Values) -> str:
    def check(text: str) -> str:
        if flags.output.lower() == "json":
            raise InputError("cannot be combined with --output json (kustomize uses files in YAML)")
        if Path(text).exists() and not Path(text).is_dir():
            raise InputError(f"{text} is not a directory")
        return text

    return values.given("--output-dir", check, flags.output_dir)


def _single_name(names: Sequence[str], problems: Problems) -> str:
    match names:
        case [name]:
            return name
        case []:
            problems.add("NAME is required")
        case _:
            problems.add(f"expected exactly one NAME, got {len(names)}: {', '.join(map(repr, names))}")
    return "name"


def _name(text: str, *, reserved: Container[str], is_service: bool, has_rule: bool) -> str:
    checks.dns_subdomain(text)
    if text in reserved:
        raise InputError(f"{text!r} is reserved: the cluster creates an object of this name in every namespace")
    if len(text) > NAME_LIMIT:
        raise InputError(f"{text!r} must not exceed {NAME_LIMIT} characters, got {len(text)}")
    if has_rule and len(text) > RULE_NAME_LIMIT:
        raise InputError(
            f"{text!r} must not exceed {RULE_NAME_LIMIT} characters with --node-readiness-rule, got {len(text)}"
        )
    for suffix, purpose in _SUFFIXES.items():
        if text.endswith(suffix):
            other = text.removesuffix(suffix)
            raise InputError(f"{text!r} must not end in {suffix}, which is the name of the {purpose} of {other!r}")
    if is_service and not checks.is_service_name(text):
        raise InputError(
            f"{text!r} must begin with a letter and must not contain '.', as --collect-metrics creates a Service"
        )
    return text


def _one_of(values: Sequence[str]) -> Callable[[str], str]:
    """Build a check for one of some words, in upper or lower case."""

    def check(text: str) -> str:
        for value in values:
            if text.lower() == value.lower():
                return value
        raise InputError(f"{text!r} must be one of {', '.join(values)}")

    return check


def _images(files: Sequence[str], values: Values, problems: Problems) -> str | None:
    if not files:
        return None
    if len(files) > 1:
        problems.add(f"--images: must be given only once, got {len(files)} (put all images into one file)")
    return values.one("--images", read_list, files[-1], "")


def _fetch_args(flags: argparse.Namespace, problems: Problems) -> tuple[tuple[str, ...], int]:
    with problems.collected("--fetch-arg: "):
        arguments = check_fetch_args(
            flags.fetch_arg, collects_metrics=flags.collect_metrics, has_needs=bool(flags.gate_needs)
        )
        return arguments, termination_grace(arguments)
    return (), 0


def _aggregate_args(flags: argparse.Namespace, problems: Problems) -> tuple[str, ...]:
    if not flags.collect_metrics:
        given = {
            "--aggregate-arg": flags.aggregate_arg,
            "--expose": flags.expose,
            "--persist": flags.persist,
            "--pulling-nodes": flags.pulling_nodes,
            "--service-monitor": flags.service_monitor,
            "--grafana-dashboard": flags.grafana_dashboard,
        }
        problems.add(*(f"{flag}: requires --collect-metrics" for flag, value in given.items() if value))
    if flags.growth and not flags.pulling_nodes:
        problems.add("--growth: requires --pulling-nodes")
    with problems.collected("--aggregate-arg: "):
        return check_aggregate_args(flags.aggregate_arg)
    return ()


def _spread(text: str) -> str:
    if text != AUTO:
        checks.interval(text)
    return text


def _registry_rate(flags: argparse.Namespace, values: Values, problems: Problems) -> str:
    if flags.spread == AUTO and not flags.registry_rate:
        problems.add("--spread: auto requires --registry-rate")
    if flags.registry_rate and flags.spread != AUTO:
        problems.add("--registry-rate: requires --spread auto")
    return values.given("--registry-rate", checks.rate, flags.registry_rate)


def _needs_libc(flags: argparse.Namespace) -> bool:
    """Whether the container runs credential providers of the node, some of which are linked with a libc."""
    return bool(
        flags.use_kubelet_image_credential_integration
        or flags.image_credential_provider_config
        or flags.image_credential_provider_bin_dir
    )


def _credentials(flags: argparse.Namespace) -> CredentialProviders | None:
    cloud = flags.use_kubelet_image_credential_integration
    config, bin_dir = flags.image_credential_provider_config, flags.image_credential_provider_bin_dir
    problems = Problems()
    if cloud:
        if config or bin_dir:
            problems.add(
                "--use-kubelet-image-credential-integration: cannot be combined with "
                "--image-credential-provider-config or --image-credential-provider-bin-dir"
            )
        with problems.collected("--use-kubelet-image-credential-integration: "):
            cloud = _one_of(tuple(CLOUDS))(cloud)
        problems.raise_if_any()
        return CLOUDS[cloud]
    if not (config or bin_dir):
        return None
    given = {"--image-credential-provider-config": config, "--image-credential-provider-bin-dir": bin_dir}
    if not (config and bin_dir):
        problems.add(f"{' and '.join(given)} must be given together")
    values = Values(problems)
    paths = [values.given(flag, checks.absolute_path, text) for flag, text in given.items()]
    problems.raise_if_any()
    return CredentialProviders(config=paths[0], bin_dir=paths[1], uses_metadata_server=False)


def _interval_or_never(text: str) -> str:
    return text if text == "never" else checks.interval(text)


def _path_or_none(text: str) -> str:
    return "" if text == "none" else checks.absolute_path(text)


def _single_values(labels: tuple[tuple[str, str], ...], problems: Problems) -> tuple[tuple[str, str], ...]:
    keys = [key for key, _ in dict.fromkeys((_OPERATING_SYSTEM, *labels))]
    repeated = sorted({key for key in keys if keys.count(key) > 1})
    problems.add(*(f"--node-selector: conflicting values for {key}: a node has only one" for key in repeated))
    return labels
