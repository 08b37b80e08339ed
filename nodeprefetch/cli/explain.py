"""`explain`: shows what `fetch` would do with each image, without pulling anything."""

from collections.abc import Sequence

import msgspec
import trio

from nodeprefetch.cli.output import columns
from nodeprefetch.credentials.api import AnyProvider, wants
from nodeprefetch.credentials.auth import CredentialSource, Verdict
from nodeprefetch.errors import RuntimeUnavailableError
from nodeprefetch.runtime.api import Inventory
from nodeprefetch.runtime.connect import Connect
from nodeprefetch.runtime.errors import RuntimeFaultError, answered_within
from nodeprefetch.runtime.image_check import ImageCheck
from nodeprefetch.settings import PullPolicy, pull_policy
from nodeprefetch.text.printable import printable
from nodeprefetch.values.image_ref import ImageRef

LIST_LIMIT = 10.0
"""Seconds to wait for the list of images. Short, because a person is waiting."""


class UsableCredential(msgspec.Struct, frozen=True, kw_only=True):
    """A credential that `fetch` would try. It never contains a secret."""

    source: str
    key: str
    """The pattern that matched the image."""

    username: str
    kind: str
    """`password` or `identity token`."""


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What fetch would do with one image."""

    image: str
    """As written."""

    normalized: str
    """With the default registry, `library/` and the default tag."""

    registry: str
    pull_policy: PullPolicy
    present: bool | None
    """Whether pods can use the image without its registry; None if no runtime answered."""

    problem: str
    """Why what is on the node under this name is no image, and never will be; empty for most."""

    credentials: tuple[UsableCredential, ...]
    """In the order of use; empty: pulls are anonymous."""

    providers: tuple[str, ...] = ()
    """Names of the matching credential providers that run programs or contact servers."""


async def explain(
    images: Sequence[ImageRef],
    *,
    policy: PullPolicy | None,
    credentials: CredentialSource,
    providers: Sequence[tuple[str, AnyProvider]],
    connect: Connect,
) -> list[Explanation]:
    """Explain each image, in order.

    Args:
        images: the images that `fetch` would pull.
        policy: overrides the pull policy of each image.
        credentials: looked up for each image.
        providers: name and provider of those that run programs or contact servers; only matched here.
        connect: finds the runtime. If none answers, `present` is None.
    """
    found = await _look(images, connect)
    usable: dict[str, tuple[UsableCredential, ...]] = {}

    async def look_up(image: ImageRef) -> None:
        usable[image.text] = await _usable(image, credentials)

    async with trio.open_nursery() as nursery:
        for image in images:
            nursery.start_soon(look_up, image)
    return [
        Explanation(
            image=image.text,
            normalized=image.normalized,
            registry=image.registry,
            pull_policy=pull_policy(image, policy),
            present=found[image].present,
            problem=found[image].problem,
            credentials=usable[image.text],
            providers=tuple(name for name, provider in providers if wants(provider, image)),
        )
        for image in images
    ]


async def _usable(image: ImageRef, credentials: CredentialSource) -> tuple[UsableCredential, ...]:
    """All credentials for an image, as if the registry refused each one."""
    usable = []
    with credentials.look_up(image) as lookup:
        while (credential := await lookup.next()) is not None:
            lookup.report(credential, Verdict.UNDECIDED)
            auth = credential.auth
            usable.append(
                UsableCredential(source=credential.source, key=credential.key, username=auth.username, kind=auth.kind)
            )
    return tuple(usable)


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    """What is on the node under the name of an image."""

    present: bool | None = None
    problem: str = ""


async def _look(images: Sequence[ImageRef], connect: Connect) -> dict[ImageRef, _Found]:
    found = dict.fromkeys(images, _Found())
    async with trio.open_nursery() as connection:
        try:
            with answered_within(LIST_LIMIT):
                runtime = await connect(connection)
                inventory = Inventory(await runtime.service.list_images())
            check = ImageCheck(runtime.containerd, snapshotter=runtime.snapshotter)
            for image in images:
                found[image] = await _find(image, inventory, check)
        except (RuntimeUnavailableError, RuntimeFaultError):
            pass
        finally:
            connection.cancel_scope.cancel()
    return found


async def _find(image: ImageRef, inventory: Inventory, check: ImageCheck) -> _Found:
    record = inventory.find(image)
    try:
        return _Found(present=record is not None and await check.is_usable(image, record.id))
    except RuntimeFaultError as error:
        return _Found(present=False, problem=str(error))


def to_table(explanations: Sequence[Explanation]) -> str:
    """Format explanations as a table."""
    present = {True: "yes", False: "no", None: "?"}
    problems = [f"{each.image}: {each.problem}" for each in explanations if each.problem]
    rows = [("IMAGE", "PULLED AS", "POLICY", "PRESENT", "CREDENTIALS")]
    for each in explanations:
        logins = ", ".join(
            f"{login.source} {login.key} ({login.kind}{f' of {login.username}' if login.username else ''})"
            for login in each.credentials
        )
        is_present = "artifact" if each.problem else present[each.present]
        rows.append((each.image, each.normalized, each.pull_policy, is_present, logins or "anonymous"))
    return "\n".join([columns(rows), *map(printable, problems)])
