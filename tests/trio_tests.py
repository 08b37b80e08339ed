"""A pytest plugin of ours: an `async def` test runs under Trio, on virtual time when it asks for `autojump_clock`."""

import inspect
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run the test with `trio.run`, strictly: a task that is not checkpointed or awaited is an error."""
    if not inspect.iscoroutinefunction(inspect.unwrap(pyfuncitem.obj)) and not getattr(
        pyfuncitem.obj, "is_hypothesis_test", False
    ):
        return None
    if getattr(pyfuncitem.obj, "is_hypothesis_test", False):
        inner = pyfuncitem.obj.hypothesis.inner_test
        if not inspect.iscoroutinefunction(inner):
            return None
        pyfuncitem.obj.hypothesis.inner_test = _synchronous(inner)
        return None
    arguments: dict[str, Any] = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    _synchronous(pyfuncitem.obj)(**arguments)
    return True


def _synchronous(function: Any) -> Any:
    def run(*args: Any, **kwargs: Any) -> None:
        clocks = [value for value in kwargs.values() if isinstance(value, trio.testing.MockClock)]
        trio.run(partial(function, *args, **kwargs), clock=clocks[0] if clocks else None)

    return run


@pytest.fixture
def autojump_clock() -> trio.testing.MockClock:
    """Virtual time: when every task sleeps, the clock jumps to the next deadline."""
    return trio.testing.MockClock(autojump_threshold=0)
