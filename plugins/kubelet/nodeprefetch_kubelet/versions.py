"""The versions of the two Kubernetes APIs that are spoken here: the configuration's, and the programs'."""

CONFIG_GROUP = "kubelet.config.k8s.io"
PROVIDER_GROUP = "credentialprovider.kubelet.k8s.io"

_VERSIONS = ("v1", "v1beta1", "v1alpha1")
CONFIG_VERSIONS = tuple(f"{CONFIG_GROUP}/{version}" for version in _VERSIONS)
PROVIDER_VERSIONS = tuple(f"{PROVIDER_GROUP}/{version}" for version in _VERSIONS)

TOKEN_CONFIG_VERSION = CONFIG_VERSIONS[0]
"""Service account tokens came with v1 and are in no other version."""
TOKEN_PROVIDER_VERSION = PROVIDER_VERSIONS[0]
