"""Flags become settings, and all invalid flags are reported at once."""

import socket

import pytest

from nodeprefetch.cli.containerd import OwnerFlags
from nodeprefetch.cli.environment import Environment, read_environment
from nodeprefetch.cli.flag_settings import UNSEEN, fetch_settings
from nodeprefetch.cli.flags import FetchFlags
from nodeprefetch.errors import UsageError
from nodeprefetch.settings import AttemptClockKind, FetchSettings, PullPolicy
from nodeprefetch.values.retry import RetryPolicy
from nodeprefetch.values.sizes import DiskFloor

ENVIRONMENT = Environment(node_name="n1", instance_name="big-images")


def test_the_defaults_are_those_of_image_prefetcher():
    policy = RetryPolicy(initial_timeout=30, max_timeout=300, initial_delay=1, max_delay=600)

    assert FetchSettings(
        retry=policy, unseen_retry=UNSEEN, overall_timeout=1200, image_list_timeout=60, node="n1", instance="big-images"
    ) == fetch_settings(FetchFlags(), ENVIRONMENT)


def test_every_flag_reaches_its_setting():
    flags = FetchFlags(
        cri_socket="/run/x.sock",
        runtime_wait="0",
        initial_pull_attempt_timeout="1s",
        max_pull_attempt_timeout="2s",
        initial_pull_attempt_delay="0",
        max_pull_attempt_delay="4s",
        attempt_clock="progress",
        unpack_timeout="2m",
        overall_timeout="1h",
        image_list_timeout="300ms",
        max_parallel_pulls=4,
        pull_policy="Always",
        retry_missing=True,
        yield_=False,
        max_io_pressure=40,
        max_download_rate="50Mi",
        debug=True,
    )

    assert FetchSettings(
        cri_socket="/run/x.sock",
        runtime_wait=0,
        retry=RetryPolicy(initial_timeout=1, max_timeout=2, initial_delay=0, max_delay=4),
        unseen_retry=RetryPolicy(initial_timeout=1, max_timeout=2),
        attempt_clock=AttemptClockKind.PROGRESS,
        unpack_timeout=120,
        overall_timeout=3600,
        image_list_timeout=0.3,
        max_parallel_pulls=4,
        pull_policy=PullPolicy.ALWAYS,
        retry_missing=True,
        yields=False,
        max_io_pressure=40,
        max_download_rate=50 * 1024 * 1024,
        debug=True,
        node="n1",
        instance="big-images",
    ) == fetch_settings(flags, ENVIRONMENT)


@pytest.mark.parametrize("percent", [0, 100, -1])
def test_a_pressure_is_a_percentage(percent):
    with pytest.raises(UsageError, match="--max-io-pressure: must be greater than 0 and less than 100"):
        fetch_settings(FetchFlags(max_io_pressure=percent))


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (FetchFlags(max_download_rate="fast"), "invalid size 'fast' (expected e.g. 50Mi or 10M)"),
        (FetchFlags(max_download_rate="10%"), "invalid size '10%' (expected e.g. 50Mi or 10M)"),
        (FetchFlags(max_download_rate="10Mb"), "invalid size '10Mb': unknown unit 'Mb' (use k, M, G, T, P, Ki, Mi, "),
        (FetchFlags(max_download_rate="100Ki"), "must be at least 256.0 KiB per second"),
        (FetchFlags(max_download_rate="1M", no_resume=True), "needs resumable pulls (remove --no-resume)"),
    ],
)
def test_a_rate_is_a_size_and_needs_resumable_pulls(flags, problem):
    with pytest.raises(UsageError) as caught:
        fetch_settings(flags)

    (found,) = caught.value.problems
    assert found.startswith(f"--max-download-rate: {problem}")


def test_all_invalid_flags_are_reported_by_name():
    flags = FetchFlags(overall_timeout="0", runtime_wait="soon", max_pull_attempt_delay="-1s", max_parallel_pulls=-1)

    with pytest.raises(UsageError) as caught:
        fetch_settings(flags)

    assert ["--runtime-wait", "--max-pull-attempt-delay", "--overall-timeout", "--max-parallel-pulls"] == [
        problem.partition(":")[0] for problem in caught.value.problems
    ]


def test_flags_of_pins_and_disk_reach_their_settings(tmp_path):
    settings = fetch_settings(FetchFlags(pin=True, min_free_disk="10Gi", image_fs_path=str(tmp_path)))

    assert (True, DiskFloor(size=10 << 30), str(tmp_path)) == (
        settings.pin,
        settings.min_free_disk,
        settings.image_fs_path,
    )


def test_invalid_disk_flags_are_reported(tmp_path):
    flags = FetchFlags(min_free_disk="much", image_fs_path=str(tmp_path / "none"))

    with pytest.raises(UsageError) as caught:
        fetch_settings(flags)

    assert (
        "--min-free-disk: invalid size 'much' (expected e.g. 10Gi, 500M or 15%)",
        f"--image-fs-path: directory not found: '{tmp_path}/none'",
    ) == caught.value.problems


def test_without_node_name_the_host_is_the_node():
    assert socket.gethostname() == fetch_settings(FetchFlags(), Environment()).node


def test_the_environment_names_node_and_instance_and_hides_secrets(monkeypatch):
    monkeypatch.setenv("NODE_NAME", "n1")
    monkeypatch.setenv("INSTANCE_NAME", "big-images")
    monkeypatch.setenv("TOKEN", "hunter2")

    environment = read_environment()

    assert ("n1", "n1", "big-images") == (
        environment.node_name,
        environment.reporting_node,
        environment.instance_name,
    )
    assert "hunter2" == environment.variables["TOKEN"]
    assert "hunter2" not in repr(environment)


@pytest.mark.parametrize(
    ("flags", "owner"),
    [
        (OwnerFlags(), "big-images"),
        (OwnerFlags(instance=""), ""),
        (OwnerFlags(instance="other"), "other"),
        (OwnerFlags(all=True), None),
    ],
)
def test_commands_act_on_this_instance_by_default(flags, owner):
    assert owner == flags.owner(ENVIRONMENT)
