"""The supported versions of two Kubernetes APIs: that of the configuration and that of the programs."""

CONFIG_GROUP = "kubelet.config.k8s.io"
PROVIDER_GROUP = "credentialprovider.kubelet.k8s.io"

_VERSIONS = ("v1", "v1beta1", "v1alpha1")
CONFIG_VERSIONS = tuple(f"{CONFIG_GROUP}/{version}" for version in _VERSIONS)
PROVIDER_VERSIONS = tuple(f"{PROVIDER_GROUP}/{version}" for version in _VERSIONS)

TOKEN_CONFIG_VERSION = CONFIG_VERSIONS[0]
"""Only v1 supports service account tokens."""
TOKEN_PROVIDER_VERSION = PROVIDER_VERSIONS[0]
