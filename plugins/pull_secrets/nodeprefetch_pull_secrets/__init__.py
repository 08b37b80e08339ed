"""The credential plugin `pull-secrets`: Kubernetes pull secrets from files, one provider for each `--docker-config`."""

from collections.abc import Sequence

from nodeprefetch.credentials import CredentialProvider, NotConfigured, PluginContext, Problems

__all__ = ["make_provider"]


def make_provider(context: PluginContext) -> Sequence[CredentialProvider] | NotConfigured:
    """Create a provider for each value of the option `config`; they share one keyring, in the order given.

    Raises:
        UsageError: lists everything that cannot be read.
    """
    problems = Problems()
    with problems.collected():
        context.allow_options("config")
    locations = [location for location in context.options.get("config", ()) if location]
    if not locations:
        problems.raise_if_any()
        return NotConfigured(why="no --docker-config PATH")
    # A plugin that is not configured must not slow down the start.
    from nodeprefetch_pull_secrets.provider import PullSecrets  # noqa: PLC0415

    providers: list[CredentialProvider] = []
    for location in locations:
        with problems.collected():
            providers.append(PullSecrets(location, warn=context.warn))
    problems.raise_if_any()
    return providers
