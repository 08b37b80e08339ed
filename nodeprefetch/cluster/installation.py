"""Finds installations: DaemonSets with the labels that `nodeprefetch-deploy` gives them."""

import re
from collections.abc import Mapping, Sequence

import msgspec

from nodeprefetch.cluster.access import ClusterAccess
from nodeprefetch.cluster.arguments import PullArguments
from nodeprefetch.errors import NoAccessError, UsageError
from nodeprefetch.kube import NotFoundError
from nodeprefetch.kube.read_objects import Container, DaemonSet, Toleration
from nodeprefetch.report.label_key import DEFAULT_PREFIX, PULLING

COMMANDS = ("fetch", "keep")
"""What a container that pulls runs."""

_TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_SERVICE = re.compile(
    r"(?:https?://)?(?P<name>[a-z][a-z0-9-]*)(?:\.(?P<namespace>[a-z0-9-]+)\.svc(?:\.[^:/]+)?)?(?::\d+)?(?:/.*)?"
)
"""NAME, which a pod looks up in its own namespace, or NAME.NAMESPACE.svc, with or without the cluster's domain."""

_REFERENCE = re.compile(r"\$(?:\$|\((?P<name>[-._a-zA-Z][-._a-zA-Z0-9]*)\))")


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """The Service of an aggregator."""

    namespace: str
    name: str


class MountedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file, or a directory of files, in the container: from a ConfigMap."""

    path: str
    """Of the directory; with `sub_path`, of the file."""

    config_map: str
    items: tuple[tuple[str, str], ...] | None = None
    """Keys, and names of files; None: each key is a file."""

    sub_path: str = ""
    """Name of the file in the volume."""


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    """An installation, as its DaemonSet says."""

    namespace: str
    name: str
    instance: str
    """What the nodes' keys and the aggregator call it."""

    label_prefix: str
    selector: Mapping[str, str]
    """Labels of its pods."""

    generation: int
    observed_generation: int
    desired: int
    """Nodes on which its pods should run."""

    uid: str = ""
    """Of the DaemonSet; empty: unknown."""

    template_generation: str = ""
    """Of its pods: changes with each change of their template. Empty: unknown."""

    container: str = ""
    """Name of the container that pulls."""

    arguments: PullArguments | None = None
    """None: they are not understood; a note says why."""

    files: tuple[MountedFile, ...] = ()
    """Files of the container that come from ConfigMaps."""

    service: Service | None = None
    """Of its aggregator; None: it has none, or one outside of the cluster."""

    node_selector: Mapping[str, str] = {}
    """Labels of the nodes on which its pods should run."""

    tolerations: tuple[Toleration, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_settled(self) -> bool:
        """Whether the controller has acted on the newest version."""
        return self.observed_generation >= self.generation


async def find_installations(
    access: ClusterAccess, namespace: str | None = None, name: str | None = None
) -> tuple[Installation, ...]:
    """Find installations, in order of namespace and name.

    Args:
        access: the cluster.
        namespace: None: all; if that is not allowed, that of the context.
        name: of the DaemonSet; None: any.

    Raises:
        UsageError: there is none.
        NoAccessError: a permission is missing.
        KubeError: the API server did not answer.
    """
    where = "the cluster" if namespace is None else f"namespace {namespace}"
    if namespace is not None and name is not None:
        try:
            found = [await access.kube.daemon_set(namespace, name)]
        except NotFoundError:
            found = []
    else:
        try:
            found = await access.kube.daemon_sets(namespace, PULLING)
        except NoAccessError as refused:
            if namespace is not None:
                raise
            where = f"namespace {access.namespace} (looking in all namespaces is not allowed)"
            found = await _in_own_namespace(access, name, refused)
    installations = [installation_of(each, access) for each in found if name in (None, each.metadata.name)]
    if not installations:
        which = f"no installation {name}" if name else "no installation of nodeprefetch"
        raise UsageError([f"{which} in {where}"])
    return tuple(sorted(installations, key=lambda each: (each.namespace, each.name)))


async def find_installation(access: ClusterAccess, namespace: str | None, name: str) -> Installation:
    """Find the installation with this name. As `find_installations`, and more than one is a `UsageError` too."""
    found = await find_installations(access, namespace, name)
    if len(found) > 1:
        namespaces = ", ".join(each.namespace for each in found)
        raise UsageError([f"installation {name} is in several namespaces: {namespaces}; choose one with --namespace"])
    return found[0]


async def read_again(access: ClusterAccess, installation: Installation) -> Installation:
    """Read the DaemonSet of an installation again.

    Raises:
        NotFoundError: it is gone.
        NoAccessError: a permission is missing.
        KubeError: the API server did not answer.
    """
    return installation_of(await access.kube.daemon_set(installation.namespace, installation.name), access)


def installation_of(daemon_set: DaemonSet, access: ClusterAccess) -> Installation:
    """What a DaemonSet says of its installation."""
    metadata, spec = daemon_set.metadata, daemon_set.spec.template.spec
    found = next(filter(None, map(_pulling, (*(spec.init_containers or ()), *(spec.containers or ())))), None)
    arguments, notes = None, []
    variables: dict[str, str] = {}
    if found is None:
        notes.append(f"DaemonSet {metadata.name} has no container that runs {' or '.join(COMMANDS)}")
    else:
        container, words = found
        variables = {each.name: each.value for each in container.env or () if each.value_from is None}
        try:
            arguments = access.parse([expanded(word, variables) for word in words], variables)
        except UsageError as error:
            notes.append(f"the arguments of container {container.name} are not understood: {error.problems[0]}")
    return Installation(
        namespace=metadata.namespace,
        name=metadata.name,
        instance=variables.get("INSTANCE_NAME") or metadata.name,
        label_prefix=arguments.label_prefix if arguments else DEFAULT_PREFIX,
        selector=daemon_set.spec.selector.match_labels or {},
        generation=metadata.generation,
        observed_generation=daemon_set.status.observed_generation,
        desired=daemon_set.status.desired_number_scheduled,
        uid=metadata.uid,
        template_generation=(metadata.annotations or {}).get(_TEMPLATE_GENERATION, ""),
        container=found[0].name if found else "",
        arguments=arguments,
        files=tuple(_mounted_files(daemon_set, found[0])) if found else (),
        service=_service_of(arguments.metrics_endpoint, metadata.namespace) if arguments else None,
        node_selector=spec.node_selector or {},
        tolerations=tuple(spec.tolerations or ()),
        notes=tuple(notes),
    )


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by the variable, and `$$` by `$`, as the kubelet does it in arguments of a container."""

    def replace(match: re.Match[str]) -> str:
        name = match["name"]
        return "$" if name is None else variables.get(name, match[0])

    return _REFERENCE.sub(replace, text)


async def _in_own_namespace(access: ClusterAccess, name: str | None, refused: NoAccessError) -> list[DaemonSet]:
    """Look in the namespace of the context. With a name that takes the right to get it, not to list all."""
    if name is None:
        return await access.kube.daemon_sets(access.namespace, PULLING)
    try:
        return [await access.kube.daemon_set(access.namespace, name)]
    except NotFoundError:
        return []
    except NoAccessError:
        raise refused from None


def _pulling(container: Container) -> tuple[Container, Sequence[str]] | None:
    """The container and its words from the command on, if it pulls."""
    words = [*(container.command or ()), *(container.args or ())]
    place = next((place for place, word in enumerate(words) if word in COMMANDS), None)
    return None if place is None else (container, words[place:])


def _mounted_files(daemon_set: DaemonSet, container: Container) -> list[MountedFile]:
    volumes = {each.name: each for each in daemon_set.spec.template.spec.volumes or ()}
    files = []
    for mount in container.volume_mounts or ():
        volume = volumes.get(mount.name)
        if volume is None:
            continue
        projected = (each.config_map for each in (volume.projected and volume.projected.sources) or ())
        for source in filter(None, (volume.config_map, *projected)):
            items = None if source.items is None else tuple((each.key, each.path) for each in source.items)
            files.append(
                MountedFile(path=mount.mount_path, config_map=source.name, items=items, sub_path=mount.sub_path)
            )
    return files


def _service_of(endpoint: str, namespace: str) -> Service | None:
    """The Service of an address, as a pod in the namespace resolves it; None: the address is not that of a Service."""
    match = _SERVICE.fullmatch(endpoint.strip())
    if match is None or match["name"] == "localhost":
        return None
    return Service(namespace=match["namespace"] or namespace, name=match["name"])
