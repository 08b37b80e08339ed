"""Looks at all installations of a cluster, as often as it is asked to."""

from nodeprefetch.cluster.access import ClusterAccess
from nodeprefetch.cluster.installation import find_installations
from nodeprefetch.cluster.look import Observer
from nodeprefetch.cluster.picture import Picture
from nodeprefetch.cluster.together import together


class ObserverOfAll:
    """Looks at all installations, or those with a name. Each look finds those of now.

    Args:
        access: the cluster, whose connections are kept.
        namespace: None: all.
        name: of the installations; None: any.
    """

    def __init__(self, access: ClusterAccess, namespace: str | None, name: str | None) -> None:
        self._access = access
        self._namespace = namespace
        self._name = name
        self._observers: dict[tuple[str, str], Observer] = {}
        """They remember which source does not answer."""

    async def look(self) -> list[Picture]:
        """Look at all at the same time. In order of namespace and name.

        Raises:
            UsageError: there is none.
            NoAccessError, KubeError: see `Observer.look`. May be in an exception group.
        """
        found = await find_installations(self._access, self._namespace, self._name)
        self._observers = {
            key: self._observers.get(key) or Observer(self._access, each)
            for each in found
            for key in [(each.namespace, each.name)]
        }
        return await together(observer.look for observer in self._observers.values())
