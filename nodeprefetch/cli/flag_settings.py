"""The settings that the flags of `fetch` mean. Reports all problems at once."""

import os

from nodeprefetch.cli.environment import Environment
from nodeprefetch.cli.flags import FetchFlags
from nodeprefetch.errors import Problems, UsageError
from nodeprefetch.settings import AttemptClockKind, FetchSettings, PullPolicy
from nodeprefetch.values.duration import DurationError, parse_duration
from nodeprefetch.values.retry import RetryPolicy
from nodeprefetch.values.sizes import DiskFloor, format_size, parse_disk_floor, parse_size

LOWEST_RATE = 256 * 1024
"""Bytes per second of `--max-download-rate`: below, what a pause loses is a large part of what comes between two."""

UNSEEN = RetryPolicy(initial_timeout=5 * 60, max_timeout=20 * 60)
"""Default timeouts of attempts that may be cancelled although they move, and then lose all they have downloaded
(docs/adr/0042-crio-progress.md)."""

_NO_ENVIRONMENT = Environment()


def read_seconds(flags: object, name: str, *, may_be_zero: bool = False) -> float:
    """Parse the value of a duration flag.

    Raises:
        UsageError: the value is invalid. The message names the flag.
    """
    option = "--" + name.replace("_", "-")
    try:
        value = parse_duration(getattr(flags, name))
    except DurationError as error:
        raise UsageError([f"{option}: {error}"]) from error
    if value == 0 and not may_be_zero:
        raise UsageError([f"{option}: must be greater than 0"])
    return value


def fetch_settings(flags: FetchFlags, environment: Environment = _NO_ENVIRONMENT) -> FetchSettings:
    """Convert the flags of `fetch` to settings.

    Raises:
        UsageError: names every flag with an invalid value.
    """
    problems = Problems()

    def seconds(name: str, *, may_be_zero: bool = False) -> float:
        with problems.collected():
            return read_seconds(flags, name, may_be_zero=may_be_zero)
        return 1  # not used: the problem is raised below

    initial, longest = (
        seconds(name) if getattr(flags, name) is not None else None
        for name in ("initial_pull_attempt_timeout", "max_pull_attempt_timeout")
    )

    def disk_floor() -> DiskFloor | None:
        try:
            return parse_disk_floor(flags.min_free_disk) if flags.min_free_disk else None
        except UsageError as error:
            problems.add(f"--min-free-disk: {error}")
            return None

    def download_rate() -> int | None:
        try:
            rate = parse_size(flags.max_download_rate) if flags.max_download_rate else None
        except UsageError as error:
            problems.add(f"--max-download-rate: {error}")
            return None
        if rate is not None and rate < LOWEST_RATE:
            problems.add(f"--max-download-rate: must be at least {format_size(LOWEST_RATE)} per second")
        if rate is not None and flags.no_resume:
            problems.add("--max-download-rate: needs resumable pulls (remove --no-resume)")
        return rate

    settings = FetchSettings(
        cri_socket=flags.cri_socket or None,
        runtime_handler=flags.runtime_handler or "",
        runtime_wait=seconds("runtime_wait", may_be_zero=True),
        retry=RetryPolicy(
            initial_timeout=initial or RetryPolicy().initial_timeout,
            max_timeout=longest or RetryPolicy().max_timeout,
            initial_delay=seconds("initial_pull_attempt_delay", may_be_zero=True),
            max_delay=seconds("max_pull_attempt_delay", may_be_zero=True),
        ),
        unseen_retry=RetryPolicy(
            initial_timeout=initial or UNSEEN.initial_timeout, max_timeout=longest or UNSEEN.max_timeout
        ),
        crio_download_dir=flags.crio_download_dir or None,
        attempt_clock=AttemptClockKind(flags.attempt_clock),
        resume=not flags.no_resume,
        unpack_timeout=seconds("unpack_timeout"),
        overall_timeout=seconds("overall_timeout"),
        image_list_timeout=seconds("image_list_timeout"),
        max_parallel_pulls=flags.max_parallel_pulls,
        yields=flags.yield_,
        max_download_rate=download_rate(),
        max_io_pressure=flags.max_io_pressure,
        pull_policy=PullPolicy(flags.pull_policy) if flags.pull_policy else None,
        retry_missing=flags.retry_missing,
        pin=flags.pin,
        min_free_disk=disk_floor(),
        image_fs_path=flags.image_fs_path or None,
        debug=flags.debug,
        node=environment.reporting_node,
        instance=environment.instance_name,
    )
    if flags.max_parallel_pulls is not None and flags.max_parallel_pulls < 0:
        problems.add("--max-parallel-pulls: must not be negative")
    if flags.max_io_pressure is not None and not 0 < flags.max_io_pressure < 100:  # noqa: PLR2004 - percent
        problems.add("--max-io-pressure: must be greater than 0 and less than 100")
    for option, path in {
        "--image-fs-path": flags.image_fs_path,
        "--crio-download-dir": flags.crio_download_dir,
    }.items():
        if path and not os.path.isdir(path):  # noqa: PTH112 - shown as given
            problems.add(f"{option}: directory not found: {path!r}")
    problems.raise_if_any()
    return settings
