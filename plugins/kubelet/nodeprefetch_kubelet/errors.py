"""The plugin's errors."""

from nodeprefetch.errors import NodeprefetchError


class KubeletProviderError(NodeprefetchError):
    """Raised when a credential provider program could not be run, or gave no usable answer.

    Its text is one line, and holds nothing of what the program wrote.
    """


class DocumentError(NodeprefetchError):
    """Raised when a text is not JSON, or not YAML that we read. Its text says where, and quotes no value."""
