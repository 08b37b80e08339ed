"""Creates the providers from the options; skips those that cannot run, with a warning."""

import errno
import os
from pathlib import Path

from nodeprefetch.credentials import PluginContext, Problems
from nodeprefetch_kubelet.config import ProviderConfig
from nodeprefetch_kubelet.config_files import load_config
from nodeprefetch_kubelet.provider import ExecProvider
from nodeprefetch_kubelet.token_files import assign_token_files


def assemble(context: PluginContext, config: str, bin_dir: str) -> list[ExecProvider]:
    """Create the providers, in the configuration's order.

    Args:
        context: of the plugin.
        config: path of a file or a directory of files.
        bin_dir: path of the directory of the programs.

    Raises:
        UsageError: lists all problems of the configuration and the options.
    """
    problems = Problems()
    configs: tuple[ProviderConfig, ...] = ()
    with problems.collected():
        configs = load_config(config, context.warn)
    directory = Path(bin_dir).absolute()  # a bare program name would be searched in PATH
    if not _is_directory(directory):
        problems.add(f"{bin_dir}: not a directory (must be the directory of the credential provider binaries)")
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
            context.warn(f"{provider.name} skipped: {obstacle}")
        else:
            providers.append(ExecProvider(provider, program, context, token_file))
    return providers


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _why_not_servable(provider: ProviderConfig, token_file: Path | None, plugin: str) -> str | None:
    """Return why the provider cannot be used: nodeprefetch has at most a token file, not the pods' tokens."""
    token = provider.token
    if token is None:
        return None
    if token.required_annotations:
        keys = ", ".join(token.required_annotations)
        return f"requires annotations of a pod's service account, which are not available here: {keys}"
    if token.required and token_file is None:
        return (
            f"requires a service account token for the audience {token.audience} (mount a projected token and set "
            f"--credential-option {plugin}.token-file={provider.name}=FILE)"
        )
    return None


def _why_not_runnable(program: Path) -> str | None:
    """A link may point anywhere: whoever can write to this directory can also put any program there."""
    try:
        if program.is_dir():
            return f"{program} is a directory"
        program.stat()
    except OSError as error:
        if error.errno == errno.ENOENT and program.is_symlink():
            return f"{program} is a link to {program.readlink()}, which does not exist"
        return f"{program}: {error.strerror or error}"
    return None if os.access(program, os.X_OK) else f"{program} is not executable"
