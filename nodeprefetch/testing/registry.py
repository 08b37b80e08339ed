"""A registry for tests: serves images from memory, records requests, and injects faults."""

import ssl
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Self

from nodeprefetch.testing.images import Image, Index
from nodeprefetch.testing.registry_content import Content
from nodeprefetch.testing.registry_exchange import Desk
from nodeprefetch.testing.registry_faults import Fault, Stage
from nodeprefetch.testing.registry_log import RequestLog
from nodeprefetch.testing.registry_quota import Quota
from nodeprefetch.testing.registry_server import RegistryServer
from nodeprefetch.testing.tokens import Realm

__all__ = ["FakeRegistry", "Fault", "Quota"]


class FakeRegistry:
    """A read-only registry on loopback; a context manager. It can be stopped and started again.

    For example::

        with FakeRegistry() as registry:
            name = registry.add("team/app:1", make_image((100_000,)))
            registry.fail("layer", Fault.stall_after(1000), image="team/app:1")

    Args:
        tls: speak HTTPS with this context in place of HTTP.
        ranges: honour Range headers, as registries do.
        bind: IP address to listen on, of the network in which `start` is called.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None, ranges: bool = True, bind: str = "127.0.0.1") -> None:
        self._tls = tls
        self._bind = bind
        self._port = 0
        self._content = Content()
        self._desk = Desk(self._content, ranges=ranges)
        self._server: RegistryServer | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; after `stop`, on the same port as before."""
        if self._server is None:
            self._server = RegistryServer((self._bind, self._port), self._desk, self._tls)
            self._port = self._server.server_address[1]
            self._desk.url = self.url

    def stop(self) -> None:
        """Stop listening and close all connections; new ones are refused. Images and faults stay."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    @property
    def requests(self) -> RequestLog:
        """Requests so far."""
        return self._desk.log

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT`, the registry part of image names; known after the first `start`."""
        return f"{self._bind}:{self._port}"

    @property
    def url(self) -> str:
        """URL of the registry, `http://127.0.0.1:PORT`."""
        return f"{'https' if self._tls else 'http'}://{self.address}"

    def add(self, name: str, image: Image | Index) -> str:
        """Serve an image.

        Args:
            name: `team/app:1`, with the tag, without the registry. An image that had the name before is
                replaced, and still served by its digest.
            image: an image or index.

        Returns:
            The whole name, for a runtime: `127.0.0.1:PORT/team/app:1`.
        """
        self._content.put(*_split(name), image)
        return f"{self.address}/{name}"

    def remove(self, name: str) -> None:
        """Stop serving the image by this tag and by its digest."""
        self._content.remove(*_split(name))

    def fail(
        self,
        stage: Stage,
        *faults: Fault,
        image: str | None = None,
        layer: int | None = None,
        forever: bool = False,
    ) -> None:
        """Inject faults: the next request gets the first fault, and so on; later requests succeed.

        Of several calls that match a request, the oldest with faults left applies. A request turned away for
        want of a login uses up no fault, except at the stages ping and token. A runtime asks for a manifest
        more than once (HEAD by tag, then GET by digest), and repeats some failed requests by itself.

        Args:
            stage: which kind of request: ping, token, manifest, config, layer.
            faults: one for each request.
            image: `team/app:1`: only requests for this image (for a token: for its repository). Except for a
                layer or a config it need not be served.
            layer: only this layer of the image, counted from 0.
            forever: the last fault stays.

        Raises:
            KeyError: there is no such image or layer.
        """
        if image is None:
            self._desk.script.add(stage, faults, forever=forever)
            return
        repository, tag = _split(image)
        references = None
        if stage in ("manifest", "config", "layer"):
            references = self._content.references(stage, repository, tag, layer)
        self._desk.script.add(stage, faults, repository=repository, references=references, forever=forever)

    def limit(self, quota: Quota | None) -> None:
        """Refuse requests beyond a quota from now on, before anything else. `requests` shows them by their status.

        Args:
            quota: what each client address may do; None: no limit any more.
        """
        self._desk.turnstile.set(quota)

    def heal(self) -> None:
        """Remove all faults and release stalled responses."""
        self._desk.script.clear()
        self.release()

    def release(self) -> None:
        """Continue all responses that are stalled now."""
        self._desk.release()

    def require_basic(
        self,
        users: Mapping[str, str],
        *,
        prefix: str = "",
        rights: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """Require HTTP Basic authentication from now on.

        Args:
            users: user name to password.
            prefix: only for this repository, or for those below this path. The longest prefix applies.
            rights: user name to what it may read, as repositories or paths; a user not named may read all.
        """
        self._desk.gatekeeper.add(Realm(scheme="Basic", prefix=prefix, users=users, rights=rights or {}))

    def require_bearer(
        self,
        users: Mapping[str, str],
        *,
        prefix: str = "",
        rights: Mapping[str, Collection[str]] | None = None,
        identity_tokens: Mapping[str, str] | None = None,
        token_lifetime: float = 300.0,
    ) -> None:
        """Require a Bearer token from now on, issued by this registry's own token endpoint.

        Args:
            users: user name to password.
            prefix: as for `require_basic`.
            rights: as for `require_basic`.
            identity_tokens: refresh token to user name.
            token_lifetime: seconds for which a token is honoured.
        """
        realm = Realm(
            scheme="Bearer",
            prefix=prefix,
            users=users,
            rights=rights or {},
            identity_tokens=identity_tokens or {},
            token_lifetime=token_lifetime,
        )
        self._desk.gatekeeper.add(realm)


def _split(name: str) -> tuple[str, str]:
    repository, colon, tag = name.rpartition(":")
    if not colon:
        raise ValueError(f"{name!r} has no tag; it should look like team/app:1")
    return repository, tag
