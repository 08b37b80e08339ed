"""From the options to the providers that can be run; those that cannot are told and left out."""

import errno
import os
from pathlib import Path

from nodeprefetch.credentials.api import PluginContext
from nodeprefetch.errors import Problems
from nodeprefetch_kubelet.config import ProviderConfig
from nodeprefetch_kubelet.configfiles import load_config
from nodeprefetch_kubelet.provider import ExecProvider
from nodeprefetch_kubelet.tokenfiles import assign_token_files


def assemble(context: PluginContext, config: str, bin_dir: str) -> list[ExecProvider]:
    """The providers, in the configuration's order.

    Args:
        context: the plugin's.
        config: path of a file, or a directory of files.
        bin_dir: path of the directory of the programs.

    Raises:
        UsageError: with everything that is wrong with the configuration or the options.
    """
    problems = Problems()
    configs: tuple[ProviderConfig, ...] = ()
    with problems.collected():
        configs = load_config(config, context.warn)
    directory = Path(bin_dir).absolute()  # a program's bare name would be looked for in PATH
    if not _is_directory(directory):
        problems.add(f"{bin_dir}: the directory of the credential provider programs is no directory")
    problems.raise_if_any()
    token_files = assign_token_files(
        context.options.get("token-file", ()), configs, f"--credential-option {context.name}.token-file"
    )
    providers: list[ExecProvider] = []
    for provider in configs:
        token_file = token_files.get(provider.name)
        program = directory / provider.name
        obstacle = _why_not_servable(provider, token_file, context.name) or _why_not_runnable(program)
        if obstacle:
            context.warn(f"{provider.name} is not used: {obstacle}")
        else:
            providers.append(ExecProvider(provider, program, context, token_file))
    return providers


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _why_not_servable(provider: ProviderConfig, token_file: Path | None, plugin: str) -> str | None:
    """The kubelet makes tokens for the pod that an image is for. Here there is no pod, and at most a file."""
    token = provider.token
    if token is None:
        return None
    if token.required_annotations:
        keys = ", ".join(token.required_annotations)
        return f"it needs annotations of a pod's service account, and there is no pod: {keys}"
    if token.required and token_file is None:
        return (
            f"it needs a service account token for the audience {token.audience}: mount a projected one, and name "
            f"it by --credential-option {plugin}.token-file={provider.name}=FILE"
        )
    return None


def _why_not_runnable(program: Path) -> str | None:
    """A link may lead anywhere: who can write into this directory can put any program there as well."""
    try:
        if program.is_dir():
            return f"{program} is a directory"
        program.stat()
    except OSError as error:
        if error.errno == errno.ENOENT and program.is_symlink():
            return f"{program} is a link to {program.readlink()}, which is not there"
        return f"{program}: {error.strerror or error}"
    return None if os.access(program, os.X_OK) else f"{program} is not executable"
