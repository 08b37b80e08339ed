"""Registries with a quota: a prefetch takes what they allow, and fails nothing that they would give later."""

import pytest

from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry, Quota
from tests.conftest import CONTAINERDS
from tests.integration.program import RunFetch
from tests.support.containerd import Containerd

pytestmark = pytest.mark.containerd


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Both versions repeat a refused request at once, by themselves."""
    metafunc.parametrize("containerd", CONTAINERDS, indirect=True)


HTTP_TOO_MANY = 429


def serve(registry: FakeRegistry, count: int, prefix: str) -> list[str]:
    return [
        registry.add(f"{prefix}/image{number}:1", make_image((20_000, 10_000), seed=f"{prefix} {number}"))
        for number in range(count)
    ]


@pytest.mark.parametrize("form", [Quota.plain, Quota.github])
def test_twenty_images_come_through_ten_requests_a_second(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch, form: type[Quota]
) -> None:
    """Only the pulls that run when the registry refuses for the first time are refused: eight, on a quiet machine.

    How many come later depends on how fast containerd asks, so the bounds are wide. Without gaps between starts, 27
    attempts fail, and more requests are refused than answered. Without a limit on how many pull at once, images never
    come. The exact numbers are in tests/unit/test_registry_budget.py.
    """
    names = serve(fake_registry, 20, f"quota-{form.__name__}")
    fake_registry.limit(form(10, 10))

    ended = run_fetch(
        containerd, *names, overall_timeout="5m", initial_pull_attempt_delay="1s", max_pull_attempt_delay="1m"
    )

    assert 0 == ended.code
    assert 20 == ended.summary["succeeded"]
    assert ended.lines("registry throttles pulls", registry=fake_registry.address)
    assert len(ended.lines("attempt failed")) < 20
    refused = len(fake_registry.requests.of(status=HTTP_TOO_MANY))
    assert refused < len(fake_registry.requests) / 2


def test_the_pull_limit_of_docker_hub_ends_images_at_once_and_other_registries_go_on(
    containerd: Containerd, run_fetch: RunFetch
) -> None:
    with FakeRegistry() as hub, FakeRegistry() as other:
        limited, rest = serve(hub, 5, "library"), serve(other, 3, "rest")
        hub.limit(Quota.docker_hub(3))

        ended = run_fetch(containerd, *limited, *rest)

        assert [*["succeeded"] * 3] == [ended.outcomes[name] for name in rest]
        failed = [name for name in limited if ended.outcomes[name] == "failed"]
        assert len(failed) >= 2
        for name in failed:
            result = ended.result(name)
            assert result.get("attempts", 0) <= 1
            assert "takes no more pulls of library/… without a login for " in result["error"]
            assert "longer than this run lasts (run again after " in result["error"]
            assert "use a mirror or a login with a higher limit" in result["error"]
