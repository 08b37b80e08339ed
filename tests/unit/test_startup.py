"""The packages that each command imports. They cost startup time and memory, so a new one is a decision."""

import os
import re
import subprocess
import sys
from functools import cache


def loaded(*arguments: str, stop: str | None = None) -> set[str]:
    """The modules that a command imports; one that does not end is stopped once it has said `stop`."""
    return {"nodeprefetch.__main__", *imported("-m", "nodeprefetch", *arguments, stop=stop)}


@cache
def of_the_interpreter() -> set[str]:
    """What Python loads, or looks for, before it does anything: a distribution's sitecustomize among it."""
    return imported("-c", "")


def imported(*arguments: str, stop: str | None = None) -> set[str]:
    lines = []
    with subprocess.Popen(
        [sys.executable, "-X", "importtime", *arguments],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")},
    ) as process:
        for line in process.stderr:
            lines.append(line)
            if stop is not None and stop in line:
                process.terminate()
    return set(re.findall(r"^import time:.*\| +([\w.]+)$", "".join(lines), re.MULTILINE))


def of_ours(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] == "nodeprefetch"}


def of_others(modules: set[str]) -> set[str]:
    """Packages that are neither ours nor Python's own nor here for development alone."""
    # betterproto2 loads pydantic where it is installed, as its compiler wants it; copy asks for `org`, for Jython.
    environment = {
        "coverage",
        "pydantic",
        "pydantic_core",
        "typing_inspection",
        "annotated_types",
        "org",
    }
    return {
        package
        for name in modules - of_the_interpreter()
        if (package := name.partition(".")[0]) not in sys.stdlib_module_names
        and package not in {"nodeprefetch", *environment}
        and not package.startswith(("_", "mypyc", "distutils"))
    }


def test_version_loads_nothing():
    modules = loaded("--version")

    assert {"nodeprefetch", "nodeprefetch.__main__"} == of_ours(modules)
    assert set() == of_others(modules)


def test_sleep_loads_nothing_but_itself():
    modules = loaded("sleep", stop="Sleeping")

    assert {"nodeprefetch", "nodeprefetch.__main__", "nodeprefetch.sleep"} == of_ours(modules)
    assert set() == of_others(modules)
    assert set() == {"re", "enum", "signal"} & modules


def test_the_supervisor_loads_hardly_more_than_sleep():
    plan = ("1", "inf", "inf", "0", "inf", "logfmt", "-1", "9:", "-c", "pass")
    modules = loaded("supervise", *plan, stop="keeping images")

    parts = ("lists", "log", "orders", "readiness", "schedule", "supervisor")
    names = {"", ".__main__", ".keep", *(f".keep.{part}" for part in parts)}
    assert {f"nodeprefetch{name}" for name in names} == of_ours(modules)
    assert set() == of_others(modules)
    of_python = modules - of_ours(modules) - of_the_interpreter() - loaded("sleep", stop="Sleeping")
    assert {"__future__", "_json", "errno", "select"} == of_python


def test_help_loads_the_parser_and_no_trio():
    modules = loaded("fetch", "--help")

    assert (
        not {"nodeprefetch.pull.run", "nodeprefetch.runtime", "nodeprefetch.rpc", "nodeprefetch.aggregator"} & modules
    )
    assert {
        "attr",
        "attrs",
        "cyclopts",
        "docstring_parser",
        "markdown_it",
        "mdurl",
        "msgspec",
        "pygments",
        "rich",
        "typing_extensions",
    } >= (of_others(modules))


def test_fetch_loads_what_it_needs():
    modules = loaded("fetch", "--cri-socket", "/nowhere/x.sock", "--runtime-wait", "0", "a:1")

    assert not {"nodeprefetch.aggregator", "nodeprefetch.report.table", "nodeprefetch.submit.submitter"} & modules
    assert not {"asyncio", "rich", "grpclib.client", "http.client", "multiprocessing"} & modules
    assert {
        "attr",
        "attrs",
        "betterproto2",
        "cyclopts",
        "grpclib",
        "h2",
        "hpack",
        "hyperframe",
        "idna",
        "msgspec",
        "outcome",
        "sniffio",
        "sortedcontainers",
        "trio",
        "typing_extensions",
    } == of_others(modules)


def test_status_loads_no_more_than_it_needs(tmp_path):
    """It is asked for again and again. `kubernetes` alone would take longer than all the rest."""
    config = tmp_path / "config"
    config.write_text(
        '{"clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}], "current-context": "c",'
        ' "users": [{"name": "u", "user": {"token": "t"}}],'
        ' "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}'
    )

    modules = loaded("status", f"--kubeconfig={config}")

    assert {"nodeprefetch.cluster.look", "nodeprefetch.kube.client"} <= modules
    assert not {"nodeprefetch.pull.run", "nodeprefetch.aggregator", "nodeprefetch.rpc"} & modules
    assert not {"kubernetes", "rich", "starlette", "hypercorn", "grpclib", "prometheus_client"} & of_others(modules)
