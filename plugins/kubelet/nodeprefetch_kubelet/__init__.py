"""The credential plugin `kubelet`: runs the credential provider programs that the kubelet of a node runs.

Its behaviour is that of the kubelet: see docs/kubelet-credential-providers.md.
"""

from collections.abc import Sequence

from nodeprefetch.credentials.api import CredentialProvider, NotConfigured, PluginContext
from nodeprefetch.errors import UsageError

__all__ = ["make_providers"]

_CONFIG_FLAG = "--image-credential-provider-config"
_BIN_DIR_FLAG = "--image-credential-provider-bin-dir"


def make_providers(context: PluginContext) -> Sequence[CredentialProvider] | NotConfigured:
    """One provider for each program in the configuration that can be run, in the configuration's order.

    Options: `config` and `bin-dir`, as the kubelet's flags; `token-file`, see `nodeprefetch_kubelet.tokenfiles`.

    Raises:
        UsageError: with everything that is wrong with the options and the configuration.
    """
    context.allow_options("config", "bin-dir", "token-file")
    config, bin_dir = context.option("config"), context.option("bin-dir")
    if not config and not bin_dir:
        if context.options.get("token-file"):
            raise UsageError([f"--credential-option {context.name}.token-file: needs {_CONFIG_FLAG} too"])
        return NotConfigured(why=f"no {_CONFIG_FLAG} PATH and {_BIN_DIR_FLAG} DIRECTORY")
    if not bin_dir:
        raise UsageError([f"{_CONFIG_FLAG} {config}: {_BIN_DIR_FLAG} is missing: it says where the programs are"])
    if not config:
        raise UsageError([f"{_BIN_DIR_FLAG} {bin_dir}: {_CONFIG_FLAG} is missing: it says which programs to run"])
    # Only who is configured pays for what runs programs.
    from nodeprefetch_kubelet.assembly import assemble  # noqa: PLC0415

    return assemble(context, config, bin_dir)
