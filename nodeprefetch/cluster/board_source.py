"""Asks the aggregator for the board of an installation: at a given address, or through the API server."""

import math
from urllib.parse import urlencode

import msgspec
import trio

from nodeprefetch.board import Board
from nodeprefetch.cluster.access import ClusterAccess
from nodeprefetch.cluster.installation import Installation
from nodeprefetch.errors import NoAccessError, NodeprefetchError
from nodeprefetch.kube import UnauthorizedError

PORT = "http"
"""Name of the port of the aggregator's Service."""

ANSWER_LIMIT = 10.0
"""Seconds for a board. The API server waits 30 s for a Service whose pod does not answer."""

RETRY_AFTER = 20.0
"""Seconds after a failure in which the aggregator is not asked again: nodes answer meanwhile."""


class BoardSource:
    """Remembers why the aggregator did not answer, and for a moment that it did not.

    Args:
        access: the cluster.
    """

    def __init__(self, access: ClusterAccess) -> None:
        self._access = access
        self._problem = ""
        self._retry_at = -math.inf

    @property
    def name(self) -> str:
        """What pictures call it."""
        direct = self._access.aggregator
        return f"aggregator at {direct}" if direct else "aggregator (through the API server)"

    def is_possible(self, installation: Installation) -> bool:
        """Whether there is an aggregator to ask."""
        return self._access.aggregator is not None or installation.service is not None

    def notes(self, installation: Installation) -> tuple[str, ...]:
        """Why there is no board."""
        if self._problem:
            return (self._problem,)
        if self.is_possible(installation):
            return ()
        arguments = installation.arguments
        if arguments and arguments.metrics_endpoint:
            return ("its aggregator is not a Service of this cluster: give its address with --aggregator",)
        return ("no aggregator: which images are missing, their sizes and progress are not known",)

    async def board(self, installation: Installation) -> Board | None:
        """Return the board; None: there is none, and `notes` says why."""
        if trio.current_time() < self._retry_at:
            return None
        path = f"/v1/board?{urlencode({'instance': installation.instance})}"
        try:
            with trio.fail_after(ANSWER_LIMIT):
                body = await self.get(path, installation)
            board = msgspec.json.decode(body, type=Board)
        except trio.TooSlowError:
            problem = f"the aggregator did not answer in {ANSWER_LIMIT:g}s"
        except UnauthorizedError:  # the API server has accepted us: the aggregator has not
            problem = (
                "the aggregator requires a token, which does not pass through the API server:"
                " use --aggregator and --aggregator-token-file"
            )
        except NoAccessError as refused:
            problem = f"the aggregator cannot be asked: {refused.on_one_line}"
        except NodeprefetchError as error:
            problem = f"the aggregator did not answer: {error}"
        except (ValueError, RecursionError):
            problem = "the aggregator does not serve boards: is its version older?"
        else:
            self._problem = ""
            return board
        self._problem = problem
        self._retry_at = trio.current_time() + RETRY_AFTER
        return None

    async def get(self, path: str, installation: Installation) -> bytes:
        """Return the body of the aggregator's answer. Only where it is possible to ask it.

        Args:
            path: with the query, quoted.
            installation: whose aggregator.

        Raises:
            NoAccessError: a permission is missing.
            NodeprefetchError: there is no answer, or an error.
        """
        if self._access.aggregator is not None:
            return await self._access.aggregator.get(path)
        service = installation.service
        assert service is not None  # noqa: S101 - the caller has asked whether it is possible
        return await self._access.kube.service_answer(service.namespace, service.name, PORT, path)
