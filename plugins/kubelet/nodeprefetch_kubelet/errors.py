"""The plugin's errors."""

from nodeprefetch.credentials import NodeprefetchError


class KubeletProviderError(NodeprefetchError):
    """Raised when a credential provider program could not run or did not return a valid response.

    Its text is one line and quotes nothing that the program wrote.
    """


class DocumentError(NodeprefetchError):
    """Raised when a text is not JSON or not supported YAML. The message names the place and quotes no value."""
