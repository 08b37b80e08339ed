"""The plugin `kubelet` keeps the contract of credential plugins, with two programs of which one wants a token."""

import json
import os

from nodeprefetch_kubelet import make_providers

from nodeprefetch.testing import CredentialProviderContract

VERSION = "credentialprovider.kubelet.k8s.io/v1"

# Logs what it should not, as some do.
PROGRAM = """#!/bin/sh
request=$(cat)
echo "$request; answers $2" >&2
echo '{"apiVersion": "credentialprovider.kubelet.k8s.io/v1", "kind": "CredentialProviderResponse",
       "cacheKeyType": "Registry", "auth": {"'"$1"'": {"username": "u", "password": "'"$2"'"}}}'
"""


class TestKubelet(CredentialProviderContract):
    factory = make_providers
    known_image = "known.test/team/app"
    unknown_image = "unknown.test/app"
    secrets = ("s3cr3t-of-a-team", "s3cr3t-of-all", "t0ken-of-the-pod")

    def options(self, directory):
        (directory / "bin").mkdir(exist_ok=True)
        (directory / "token").write_text("t0ken-of-the-pod")
        provider = {"matchImages": ["*.test"], "defaultCacheDuration": "1m", "apiVersion": VERSION}
        attributes = {"serviceAccountTokenAudience": "aud", "cacheType": "Token", "requireServiceAccount": True}
        config = {
            "apiVersion": "kubelet.config.k8s.io/v1",
            "kind": "CredentialProviderConfig",
            "providers": [
                provider | {"name": "first", "args": ["known.test", "s3cr3t-of-all"]},
                provider
                | {"name": "second", "args": ["known.test/team", "s3cr3t-of-a-team"], "tokenAttributes": attributes},
            ],
        }
        for name in ("first", "second"):
            program = directory / "bin" / name
            if not program.exists():
                program.write_text(PROGRAM)
                program.chmod(0o755)
        (directory / "config.json").write_text(json.dumps(config))
        return {
            "config": str(directory / "config.json"),
            "bin-dir": str(directory / "bin"),
            "token-file": [str(directory / "token")],
        }

    def environment(self, directory):
        return {"PATH": os.environ["PATH"]}
