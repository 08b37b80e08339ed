"""The credential plugin `kubelet`: runs the credential provider programs of the node's kubelet.

It behaves like the kubelet, see docs/kubelet-credential-providers.md.
"""

from collections.abc import Sequence

from nodeprefetch.credentials import CredentialProvider, NotConfigured, PluginContext, UsageError

__all__ = ["make_providers"]

_CONFIG_FLAG = "--image-credential-provider-config"
_BIN_DIR_FLAG = "--image-credential-provider-bin-dir"


def make_providers(context: PluginContext) -> Sequence[CredentialProvider] | NotConfigured:
    """Create a provider for each program in the configuration that can run, in the configuration's order.

    Options: `config` and `bin-dir`, like the kubelet's flags; `token-file`, see `nodeprefetch_kubelet.token_files`.

    Raises:
        UsageError: lists all problems of the options and the configuration.
    """
    context.allow_options("config", "bin-dir", "token-file")
    config, bin_dir = context.option("config"), context.option("bin-dir")
    if not config and not bin_dir:
        if context.options.get("token-file"):
            raise UsageError([f"--credential-option {context.name}.token-file: requires {_CONFIG_FLAG}"])
        return NotConfigured(why=f"no {_CONFIG_FLAG} PATH and {_BIN_DIR_FLAG} DIRECTORY")
    if not bin_dir:
        raise UsageError([f"{_CONFIG_FLAG} {config}: requires {_BIN_DIR_FLAG}, the directory of the binaries"])
    if not config:
        raise UsageError([f"{_BIN_DIR_FLAG} {bin_dir}: requires {_CONFIG_FLAG}, which lists the binaries"])
    # A plugin that is not configured must not slow down the start.
    from nodeprefetch_kubelet.assembly import assemble  # noqa: PLC0415

    return assemble(context, config, bin_dir)
