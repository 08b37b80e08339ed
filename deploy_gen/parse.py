"""From the flags to `Options`. Everything that is wrong is said at once."""

import argparse
from collections.abc import Callable, Container, Iterable, Sequence
from functools import partial
from typing import TypeVar

from deploy_gen import checks
from deploy_gen.images import Image, our_image, read_list
from deploy_gen.options import TOLERATE_ALL, Options, Toleration
from deploy_gen.passed_on import check_aggregate_args, check_fetch_args, termination_grace
from deploy_gen.platforms import FLAVORS, INTEGRATIONS, OPENSHIFT, SOCKETS, UNCONFINED, CredentialPrograms
from deploy_gen.problems import InputError, Problems

NAME_LIMIT = 55
"""Characters: NAME-metrics is a Service's name and NAME.summary an annotation's, of at most 63 each."""

_TAKEN = frozenset({"default", "kube-root-ca.crt"})
"""What Kubernetes makes in each namespace: the ServiceAccount of pods that name no other, and a ConfigMap."""

_TAKEN_ON_OPENSHIFT = frozenset({"builder", "deployer", "openshift-service-ca.crt"})

_OPERATING_SYSTEM = ("kubernetes.io/os", "linux")
"""The label of nodes that all pods select."""

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_EXPOSURES = ("ClusterIP", "LoadBalancer")
_OUTPUTS = ("yaml", "json")

T = TypeVar("T")


def read_options(flags: argparse.Namespace) -> Options:
    """The options that the flags mean.

    Raises:
        InputError: with everything that cannot be used.
    """
    problems = Problems()
    problems.add(*flags.problems)

    def read(flag: str, check: Callable[[str], T], text: str, otherwise: T) -> T:
        with problems.collected(f"{flag}: "):
            return check(text)
        return otherwise  # not used, as there is a problem

    def read_all(flag: str, check: Callable[[str], T], texts: Iterable[str]) -> tuple[T, ...]:
        """Each once; empty ones, as unset variables of scripts make them, are none."""
        found: list[T] = []
        for text in filter(None, texts):
            with problems.collected(f"{flag}: "):
                found.append(check(text))
        return tuple(dict.fromkeys(found))

    flavor = read("--k8s-flavor", _choice(FLAVORS), flags.k8s_flavor, "vanilla")
    taken = _TAKEN | (_TAKEN_ON_OPENSHIFT if flavor == OPENSHIFT else frozenset())
    check_name = partial(_name, taken=taken, is_service=flags.collect_metrics)
    name = read("NAME", check_name, _one(flags.names, problems), "")
    expose = read("--expose", _choice(_EXPOSURES), flags.expose or _EXPOSURES[0], "")
    credentials = None
    with problems.collected():
        credentials = _credentials(flags)
    image = Image(reference="", tag="")
    with problems.collected():
        image = our_image(flags.image, flags.version or None, distro=_wants_programs(flags))
    images = None
    if flags.images:
        if len(flags.images) > 1:
            problems.add(f"--images: one list is wanted, not {len(flags.images)}: put them into one file")
        images = read("--images", read_list, flags.images[-1], "")
    if not flags.collect_metrics:
        problems.add(*(f"{flag}: needs --collect-metrics too" for flag in _of_the_aggregator(flags)))
    fetch_args: tuple[str, ...] = ()
    grace = 0
    with problems.collected("--fetch-arg: "):
        fetch_args = check_fetch_args(flags.fetch_arg, collects_metrics=flags.collect_metrics)
        grace = termination_grace(fetch_args)
    aggregate_args: tuple[str, ...] = ()
    with problems.collected("--aggregate-arg: "):
        aggregate_args = check_aggregate_args(flags.aggregate_arg)
    unavailable: int | str = ""
    with problems.collected("--max-unavailable: "):
        unavailable = checks.max_unavailable(flags.max_unavailable)

    options = Options(
        name=name,
        namespace=read("--namespace", checks.dns_label, flags.namespace, ""),
        image=image,
        flavor=flavor,
        cri_socket=read("--cri-socket", checks.socket_path, flags.cri_socket or SOCKETS[flavor], ""),
        selinux_type=read("--selinux-type", checks.selinux_type, flags.selinux_type, "")
        if flags.selinux_type
        else (UNCONFINED if flavor == OPENSHIFT else ""),
        secrets=read_all("--secret", checks.dns_subdomain, flags.secret),
        image_pull_secrets=read_all("--image-pull-secret", checks.dns_subdomain, flags.image_pull_secret),
        credentials=credentials,
        host_network=flags.host_network or (credentials is not None and credentials.asks_metadata_server),
        images=images,
        fetch_args=fetch_args,
        allow_failures=flags.allow_failures,
        node_label_prefix=read("--node-label-prefix", checks.dns_subdomain, flags.node_label_prefix, ""),
        restrict_node_access=flags.restrict_node_access,
        termination_grace=grace,
        node_selector=_once_each(read_all("--node-selector", _node_selector, flags.node_selector), problems),
        tolerations=read_all("--toleration", _toleration, flags.toleration)
        or (() if flags.no_tolerate_all else (TOLERATE_ALL,)),
        priority_class=read("--priority-class", checks.dns_subdomain, flags.priority_class, "")
        if flags.priority_class
        else "",
        max_unavailable=unavailable,
        collect_metrics=flags.collect_metrics,
        aggregate_args=aggregate_args,
        expose=expose,
        persist=read("--persist", checks.quantity, flags.persist, "") if flags.persist else "",
        service_monitor=flags.service_monitor,
        network_policy=flags.network_policy,
        output=read("--output", _choice(_OUTPUTS), flags.output, ""),
    )
    problems.raise_if_any()
    return options


def _one(names: Sequence[str], problems: Problems) -> str:
    match names:
        case [name]:
            return name
        case []:
            problems.add("NAME is missing: what the installation is to be called")
        case _:
            problems.add(f"one NAME is wanted, not {len(names)}: {', '.join(map(repr, names))}")
    return "name"


def _name(text: str, *, taken: Container[str], is_service: bool) -> str:
    checks.dns_subdomain(text)
    if text in taken:
        raise InputError(f"{text!r} is what the cluster calls something of its own in each namespace")
    if len(text) > NAME_LIMIT:
        raise InputError(f"{text!r} has {len(text)} characters; {NAME_LIMIT} are the most")
    if text.endswith("-metrics"):
        raise InputError(f"{text!r} ends in -metrics: the aggregator of {text.removesuffix('-metrics')!r} is called so")
    if is_service and not checks.is_service_name(text):
        raise InputError(f"{text!r} has to begin with a letter and be without '.': --collect-metrics makes a Service")
    return text


def _choice(values: Sequence[str]) -> Callable[[str], str]:
    """One of some words; upper and lower case are not told apart."""

    def check(text: str) -> str:
        for value in values:
            if text.lower() == value.lower():
                return value
        raise InputError(f"{text!r} is none of {', '.join(values)}")

    return check


def _wants_programs(flags: argparse.Namespace) -> bool:
    return bool(
        flags.use_kubelet_image_credential_integration
        or flags.image_credential_provider_config
        or flags.image_credential_provider_bin_dir
    )


def _credentials(flags: argparse.Namespace) -> CredentialPrograms | None:
    cloud = flags.use_kubelet_image_credential_integration
    config, bin_dir = flags.image_credential_provider_config, flags.image_credential_provider_bin_dir
    problems = Problems()
    if cloud:
        if config or bin_dir:
            problems.add("--use-kubelet-image-credential-integration: not with paths of a configuration or programs")
        with problems.collected("--use-kubelet-image-credential-integration: "):
            cloud = _choice(tuple(INTEGRATIONS))(cloud)
        problems.raise_if_any()
        return INTEGRATIONS[cloud]
    if not (config or bin_dir):
        return None
    given = {"--image-credential-provider-config": config, "--image-credential-provider-bin-dir": bin_dir}
    for flag, text in given.items():
        with problems.collected(f"{flag}: "):
            if not text:
                raise InputError("is missing: configuration and directory of the programs are needed together")
            checks.absolute_path(text)
    problems.raise_if_any()
    return CredentialPrograms(
        config=checks.absolute_path(config), bin_dir=checks.absolute_path(bin_dir), asks_metadata_server=False
    )


def _of_the_aggregator(flags: argparse.Namespace) -> Iterable[str]:
    given = {
        "--aggregate-arg": flags.aggregate_arg,
        "--expose": flags.expose,
        "--persist": flags.persist,
        "--service-monitor": flags.service_monitor,
    }
    return (flag for flag, value in given.items() if value)


def _node_selector(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"{text!r} is not KEY=VALUE")
    return checks.label_key(key), checks.label_value(value)


def _once_each(pairs: tuple[tuple[str, str], ...], problems: Problems) -> tuple[tuple[str, str], ...]:
    keys = [key for key, _ in dict.fromkeys((_OPERATING_SYSTEM, *pairs))]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    problems.add(*(f"--node-selector: {key} is given two values: no node has both" for key in twice))
    return pairs


def _toleration(text: str) -> Toleration:
    taint, colon, effect = text.rpartition(":")
    if not colon:
        taint, effect = text, ""
    if colon and effect not in _EFFECTS:
        raise InputError(f"{text!r}: the effect is one of {', '.join(_EFFECTS)}")
    key, equals, value = taint.partition("=")
    if not key and equals:
        raise InputError(f"{text!r}: a value without a key")
    return Toleration(
        key=checks.label_key(key) if key else "",
        value=checks.label_value(value) if equals else None,
        effect=effect,
    )
