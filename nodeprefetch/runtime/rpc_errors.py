"""The errors of gRPC calls to the runtime, made ours in one place."""

from collections.abc import Iterator
from contextlib import contextmanager

from nodeprefetch.errors import ConnectionLostError, NotConnectedError, ProtocolViolationError, RpcError
from nodeprefetch.rpc import GRPCError
from nodeprefetch.runtime.errors import RuntimeFaultError


@contextmanager
def our_errors(image: str = "") -> Iterator[None]:
    """What a call may end with, as a `RuntimeFaultError`; the cause stays chained.

    Args:
        image: what the call is about.
    """
    try:
        yield
    except GRPCError as error:
        raise RuntimeFaultError.from_status(error.status.name, error.message or "", image=image) from error
    except (NotConnectedError, ConnectionLostError) as error:
        raise RuntimeFaultError.gone(str(error)) from error
    except ProtocolViolationError as error:
        raise RuntimeFaultError.protocol(str(error)) from error
    except RpcError as error:
        raise RuntimeFaultError.reset(str(error)) from error
