"""The configurations of managed clusters, with a program in the place of the cloud's."""

import json
from pathlib import Path
from typing import Any

import pytest
from nodeprefetch_kubelet import make_providers

from nodeprefetch.credentials.api import NotConfigured, PluginContext
from nodeprefetch.credentials.keyring import Keyring
from nodeprefetch.values.image_ref import ImageRef

PRESETS = Path(__file__).parents[1] / "data" / "kubelet"

# Answers for the registry of the image it is asked for, and writes down how it was called.
PROGRAM = """#!/bin/sh
echo "$HOME $*" > "$0.called"
image=$(sed 's/.*"image":"\\([^"]*\\)".*/\\1/')
cat <<END
{"apiVersion": "credentialprovider.kubelet.k8s.io/v1", "kind": "CredentialProviderResponse",
 "cacheKeyType": "Registry", "auth": {"${image%%/*}": {"username": "cloud", "password": "of $image"}}}
END
"""
CLOUDS: list[Any] = [
    pytest.param(
        "gke.yaml",
        "auth-provider-gcp",
        60,
        "/home get-credentials --v=3",
        ["gcr.io/p/app", "eu.gcr.io/p/app", "europe-west1-docker.pkg.dev/p/r/app", "container.cloud.google.com/a"],
        ["nginx", "a.b.gcr.io/app", "pkg.dev/app", "gcr.io:443/app", "k8s.gcr.io.example.com/app"],
        id="GKE",
    ),
    pytest.param(
        "eks-al2023.json",
        "ecr-credential-provider",
        43200,
        "/home ",
        [
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app",
            "123456789012.dkr-ecr.eu-west-1.on.aws/app",
            "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/app",
            "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com/app",
            "public.ecr.aws/docker/library/nginx",
        ],
        ["nginx", "quay.io/app", "dkr.ecr.eu-west-1.amazonaws.com/app", "x.public.ecr.aws/app"],
        id="EKS",
    ),
    pytest.param(
        "bottlerocket.yaml",
        "ecr-credential-provider",
        43200,
        "/root ",
        [
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:1",
            "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/app",
        ],
        ["public.ecr.aws/app", "amazonaws.com/app"],
        id="Bottlerocket",
    ),
    pytest.param(
        "aks.yaml",
        "acr-credential-provider",
        600,
        "/home /etc/kubernetes/azure.json",
        ["team.azurecr.io/app", "team.azurecr.cn/app", "team.westeurope.geo.azurecr.io/app"],
        ["mcr.microsoft.com/app", "azurecr.io/app", "a.b.azurecr.io/app"],
        id="AKS",
    ),
]


def providers_of(preset: str, program: str, bin_dir: Path) -> list[Any]:
    path = bin_dir / program
    path.write_text(PROGRAM)
    path.chmod(0o755)
    warnings: list[str] = []
    providers = make_providers(
        PluginContext(
            name="kubelet",
            options={"config": (str(PRESETS / preset),), "bin-dir": (str(bin_dir),)},
            environment={"PATH": "/usr/bin:/bin", "HOME": "/home"},
            warn=warnings.append,
        )
    )
    assert not isinstance(providers, NotConfigured)
    assert [] == warnings
    return list(providers)


@pytest.mark.parametrize(("preset", "program", "duration", "called", "of_the_cloud", "of_others"), CLOUDS)
async def test_a_cloud_s_configuration_serves_the_cloud_s_images(  # noqa: PLR0917 - as many as a preset has
    preset, program, duration, called, of_the_cloud, of_others, tmp_path: Path
) -> None:
    [provider] = providers_of(preset, program, tmp_path)

    assert f"kubelet/{program}" == provider.name
    assert [True] * len(of_the_cloud) == [provider.matches(ImageRef.parse(text)) for text in of_the_cloud]
    assert [False] * len(of_others) == [provider.matches(ImageRef.parse(text)) for text in of_others]
    for text in of_the_cloud:
        image = ImageRef.parse(text)
        provided = await provider.get_credentials(image)
        [entry] = Keyring(provided.entries).lookup(image)

        assert f"of {image.lookup_name}" == entry.auth.password
        assert duration == provided.cache_duration
    assert f"{called}\n" == (tmp_path / f"{program}.called").read_text()


def test_all_clouds_configurations_can_stand_in_one_directory_but_for_equal_names(tmp_path: Path) -> None:
    """Two of them name the same program; without one, all are read, whatever they are written in."""
    for path in PRESETS.iterdir():
        if path.name != "bottlerocket.yaml":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    for name in ("auth-provider-gcp", "ecr-credential-provider", "acr-credential-provider"):
        (tmp_path / name).write_text(PROGRAM)
        (tmp_path / name).chmod(0o755)

    providers = make_providers(
        PluginContext(name="kubelet", options={"config": (str(tmp_path),), "bin-dir": (str(tmp_path),)})
    )

    assert not isinstance(providers, NotConfigured)
    assert [
        "kubelet/acr-credential-provider",
        "kubelet/ecr-credential-provider",
        "kubelet/auth-provider-gcp",
    ] == [provider.name for provider in list[Any](providers)]


def test_the_presets_are_what_they_are_written_in() -> None:
    assert {"gke.yaml", "eks-al2023.json", "bottlerocket.yaml", "aks.yaml"} == {p.name for p in PRESETS.iterdir()}
    assert json.loads((PRESETS / "eks-al2023.json").read_text())
