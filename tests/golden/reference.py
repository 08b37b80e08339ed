"""The reference of commands, flags, environment variables and exit codes, from the programs' own declarations.

Regenerate the page after a change of a flag or its help:

python -m tests.golden.reference
"""

import sys
from argparse import Action
from collections.abc import Mapping, Sequence
from pathlib import Path

from cyclopts.argument import Argument

from deploy_gen.arguments import new_parser
from deploy_gen.images import DEFAULT_VERSION
from nodeprefetch.cli.commands import CLUSTER_COMMANDS, NO_RUNTIME, OK, SOME_IMAGE_MISSING, STILL_CLOSED, USAGE, app
from nodeprefetch.cli.flag_variables import PREFIX
from tests.golden.flags import value_of

FILE = Path(__file__).parents[2] / "docs" / "reference.md"

COMMANDS = (
    "status",
    "wait",
    "why",
    "discover",
    "fetch",
    "keep",
    "explain",
    "aggregate",
    "leases",
    "unpin",
    "plugins",
    "sleep",
    "completion",
)
"""In this order on the page."""

GUIDES = {
    "wait": "Guide: [Is it warm?](status.md).",
    "keep": "Takes all flags of `fetch` (see there), and these. Guide: [Keep images on the node](keep.md).",
    "aggregate": "Also called `aggregate-metrics`. Guide: [Aggregator](aggregator.md).",
    "status": "Guide: [Is it warm?](status.md).",
    "why": "Guide: [Why is a node not warm?](status.md#why-is-a-node-not-warm).",
    "discover": "Guide: [Lists from manifests](discover.md).",
    "leases": "Guide: [Resuming pulls](resume.md).",
    "unpin": "Guide: [Pins and free disk](pins-and-disk.md).",
    "plugins": "Guide: [Credential plugins](plugins.md).",
    "sleep": "Uses as little memory as possible.",
    "completion": "SHELL is `bash`, `zsh` or `fish`.",
}
"""What follows the help of a command."""

USAGES = {
    "status": "[NAME]",
    "wait": "NAME",
    "why": "NODE [IMAGE]",
    "discover": "PATH…",
    "fetch": "[IMAGE…]",
    "keep": "[IMAGE…]",
    "explain": "[IMAGE…]",
    "completion": "SHELL",
}
"""Arguments that are not flags."""

NOTES = {
    "--attempt-clock": "With `progress`, warns if the runtime reports no progress. See [Progress](progress.md).",
    "--cri-socket": "With or without `unix://`. The well-known locations are those of containerd, CRI-O, k3s, RKE2,"
    " k0s, MicroK8s and cri-dockerd; the first one that responds is used.",
    "--debug": "Changes nothing else.",
    "--image-fs-path": "Default: where the runtime keeps images, if the container mounts it, otherwise the file system"
    " of the container.",
    "--initial-pull-attempt-delay": "The actual delay is a random part of it.",
    "--log-format": "Log lines go to standard error, one per event.",
    "--max-parallel-pulls": "See [Sizing](sizing.md#how-many-pulls-at-once).",
    "--min-free-disk": "They fail in the order of the list, before the disk is full. See [Pins and free"
    " disk](pins-and-disk.md).",
    "--no-resume": "See [Resuming pulls](resume.md).",
    "--node-label-prefix": "The label is `PREFIX/INSTANCE`, see [Node label](node-label.md).",
    "--pin": "Also unpins images that are no longer listed. See [Pins and free disk](pins-and-disk.md).",
    "--report-grace": "Neither the overall timeout nor a signal shortens it.",
}
"""What the page adds to the help of a flag of `fetch`."""

VARIABLES = {
    "NODE_NAME": "Name of the node, for the node label and in results. Default: no label, and the host name in"
    " results.",
    "INSTANCE_NAME": "Name of the installation, in the node label, pins, leases and results.",
    "CONTAINER_RUNTIME_ENDPOINT": "Socket of the container runtime, if `--cri-socket` is not set.",
    "KUBECONFIG": "Kubeconfig files of commands about a cluster, such as `status`.",
    "KUBERNETES_SERVICE_HOST`, `KUBERNETES_SERVICE_PORT": "Address of the Kubernetes API, set in every pod.",
    "HTTPS_PROXY`, `NO_PROXY": "Proxy for the Kubernetes API.",
}
"""Variables other than those of flags."""

EXIT_CODES: Mapping[str, Mapping[int | str, str]] = {
    "nodeprefetch": {
        OK: "Done. `fetch`: every image is present (with `--allow-failures`: the run ended). `wait`: the nodes are"
        " warm",
        SOME_IMAGE_MISSING: "`fetch`: some images could not be pulled. `wait`: the nodes cannot become warm."
        " `discover`: no images were found, or, with `--diff`, something has changed. `aggregate`: the database is"
        " damaged",
        USAGE: "Invalid flags, lists or secrets; all problems were reported, nothing was pulled",
        NO_RUNTIME: "No container runtime responded within `--runtime-wait`. Commands about a cluster: the API server"
        " did not answer, or a permission is missing",
        STILL_CLOSED: "`fetch`: the node may take pods, but its startup taints could not be removed, or its condition"
        " could not be set. `wait`: timeout",
        "128+n": "Stopped by signal n (SIGTERM: 143, SIGINT: 130). `fetch` cancels its pulls in the runtime and writes"
        " the summary; a second signal exits at once",
    },
    "nodeprefetch-deploy": {
        0: "Printed the manifests",
        1: "Could not write the manifests",
        2: "Invalid flags; all problems were reported, nothing was printed",
    },
}

HEAD = f"""\
# Reference

All commands, flags, environment variables and exit codes.

<!-- Written by `python -m tests.golden.reference`; do not edit. -->

Every flag of `nodeprefetch` can also be set by an environment variable: `--cri-socket` by
`{PREFIX}CRI_SOCKET`. Set a switch to `true`, and separate the values of a list by spaces. Flags win over
variables. Switches that make a command destructive, or that choose what `status` shows, and the flags of `discover`
have no variable.

Durations are written as in Go: `1m30s`, `1.5h`, `300ms`.

`kubectl nodeprefetch` has the commands {", ".join(f"`{name}`" for name in CLUSTER_COMMANDS)} too.

`nodeprefetch --help` lists the commands, `nodeprefetch COMMAND --help` the flags of a command. `nodeprefetch --version`
prints the version, and `nodeprefetch --install-completion` installs completion for the current shell.
"""


def text() -> str:
    """What the file must contain."""
    parts = [HEAD, *map(_program_command, COMMANDS), _deploy_command(), _variables(), _exit_codes()]
    return "\n".join(parts)


def _program_command(name: str) -> str:
    command = app[name]
    arguments = command.assemble_argument_collection()
    groups: dict[str, list[str]] = {}
    of_fetch = {argument.name for argument in app["fetch"].assemble_argument_collection()}
    for argument in sorted(arguments, key=_group_position):
        is_repeated = name == "keep" and argument.name in of_fetch
        if argument.index is None and argument.name.startswith("--") and not is_repeated:
            (group,) = argument.parameter.group
            groups.setdefault(group.name, []).append(_row(argument, NOTES if name == "fetch" else {}))
    usage = " ".join([name, *(["[FLAGS]"] if groups else []), *([USAGES[name]] if name in USAGES else [])])
    head = ["| flag | default | description | variable |", "|---|---|---|---|"]
    about = " ".join(filter(None, [command.help, GUIDES.get(name)]))
    return _section(f"nodeprefetch {name}", f"nodeprefetch {usage}", about, head, groups)


def _group_position(argument: Argument) -> int:
    """Groups stand in the order of `--help`, the group of all other flags last."""
    (group,) = argument.parameter.group
    return group.sort_key[1] if isinstance(group.sort_key, tuple) else sys.maxsize


def _row(argument: Argument, notes: Mapping[str, str]) -> str:
    parameter = argument.parameter
    value = value_of(argument.hint, parameter.metavar).removesuffix("…")
    default = argument.field_info.default
    variable = f"`{PREFIX}{argument.name[2:].upper().replace('-', '_')}`" if parameter.show_env_var else ""
    return _cells(
        f"`{argument.name} {value}`".replace(" `", "`"),
        f"`{default}`" if default and parameter.show_default is not False else "",
        " ".join(filter(None, [parameter.help, notes.get(argument.name)])),
        variable,
    )


def _deploy_command() -> str:
    groups = {
        str(group.title): [
            _cells(f"`{action.option_strings[-1]} {action.metavar or ''}`".replace(" `", "`"), _deploy_help(action))
            for action in group._group_actions
        ]
        for group in new_parser()._action_groups
        if group._group_actions and group.title != "Help"
    }
    head = ["| flag | description |", "|---|---|"]
    about = "Print the Kubernetes manifests of an installation. Guide: [Manifests](manifests.md)."
    return _section("nodeprefetch-deploy", "nodeprefetch-deploy NAME [FLAGS]", about, head, groups)


def _deploy_help(action: Action) -> str:
    return str(action.help).replace("%%", "%").replace(DEFAULT_VERSION, "the generator's version")


def _section(title: str, usage: str, about: str, head: Sequence[str], groups: Mapping[str, Sequence[str]]) -> str:
    lines = [f"## {title}", "", f"`{usage}`", "", about]
    for group, rows in groups.items():
        lines += ["", f"**{group}**", "", *head, *rows]
    return "\n".join(lines) + "\n"


def _variables() -> str:
    rows = [_cells(f"`{name}`", meaning) for name, meaning in VARIABLES.items()]
    return "\n".join(["## Other environment variables", "", "| variable | meaning |", "|---|---|", *rows, ""])


def _exit_codes() -> str:
    lines = ["## Exit codes"]
    for program, codes in EXIT_CODES.items():
        rows = [_cells(str(code), meaning) for code, meaning in codes.items()]
        lines += ["", f"**{program}**", "", "| code | meaning |", "|---|---|", *rows]
    return "\n".join(lines) + "\n"


def _cells(*cells: str) -> str:
    """One row of a table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
