"""What is held to a contract is held to it by both versions of containerd."""

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what asks for a containerd with each of them."""
    for fixture in ("containerd", "own_containerd"):
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, ["containerd1", "containerd2"], indirect=True)
