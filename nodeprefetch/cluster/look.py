"""Looks at an installation, as often as it is asked to."""

from nodeprefetch.cluster.access import ClusterAccess
from nodeprefetch.cluster.installation import Installation
from nodeprefetch.cluster.picture import Picture


class Observer:
    """Looks at one installation, from the best source that answers.

    Args:
        access: the cluster, whose connections are kept.
        installation: as it was found; the first look does not read its DaemonSet again.
    """

    def __init__(self, access: ClusterAccess, installation: Installation) -> None:
        self._access = access
        self._installation = installation

    @property
    def installation(self) -> Installation:
        """As it was last read."""
        return self._installation

    async def look(self) -> Picture:
        """Return what is known at this moment.

        Raises:
            NotFoundError: the DaemonSet is gone.
            NoAccessError: a permission is missing that every source needs.
            PassingKubeError: the API server did not answer; a later look may succeed.
            KubeError: the API server did not do what was asked.
        """
        raise NotImplementedError
