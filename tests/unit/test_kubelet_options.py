"""The plugin's factory: what its options may be, and which providers it makes of them."""

import json
from pathlib import Path
from typing import Any

import pytest
from nodeprefetch_kubelet import make_providers

from nodeprefetch.credentials.api import CredentialProvider, NotConfigured, PluginContext
from nodeprefetch.errors import UsageError
from nodeprefetch.values.image_ref import ImageRef


class Node:
    """A directory of programs and a configuration that names them."""

    def __init__(self, directory: Path) -> None:
        self.bin_dir = directory / "bin"
        self.bin_dir.mkdir()
        self.config = directory / "config.json"
        self.providers: list[dict[str, Any]] = []
        self.warnings: list[str] = []

    def add(self, name: str, *, program: bool = True, **members: Any) -> Path:
        """A provider, and its program, which does nothing."""
        self.providers.append(
            {
                "name": name,
                "matchImages": ["quay.io"],
                "defaultCacheDuration": "0s",
                "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
            }
            | members
        )
        path = self.bin_dir / name
        if program:
            path.write_text("#!/bin/sh\n")
            path.chmod(0o755)
        return path

    def make(self, **options: str | tuple[str, ...]) -> list[Any]:
        """The providers, with `token_file=…` for the option `token-file`."""
        self.config.write_text(
            json.dumps(
                {
                    "apiVersion": "kubelet.config.k8s.io/v1",
                    "kind": "CredentialProviderConfig",
                    "providers": self.providers,
                }
            )
        )
        given = {"config": str(self.config), "bin-dir": str(self.bin_dir)}
        given |= {key.replace("_", "-"): value for key, value in options.items()}
        providers = make_providers(context(warn=self.warnings.append, **given))
        assert not isinstance(providers, NotConfigured)
        return list(providers)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def context(warn: Any = print, **options: str | tuple[str, ...]) -> PluginContext:
    return PluginContext(
        name="kubelet",
        options={key: (value,) if isinstance(value, str) else value for key, value in options.items()},
        warn=warn,
    )


def token(*, required: bool = True, **members: Any) -> dict[str, Any]:
    return {"serviceAccountTokenAudience": "aud", "cacheType": "Token", "requireServiceAccount": required} | members


def problems(error: pytest.ExceptionInfo[UsageError]) -> list[str]:
    return list(error.value.problems)


def names(providers: list[Any]) -> list[str]:
    return [provider.name for provider in providers]


def test_without_options_it_says_what_is_missing() -> None:
    why = "no --image-credential-provider-config PATH and --image-credential-provider-bin-dir DIRECTORY"

    assert NotConfigured(why=why) == make_providers(context())


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"config": "/c"},
            (
                "--image-credential-provider-config /c: requires --image-credential-provider-bin-dir, the directory of "
                "the binaries"
            ),
        ),
        (
            {"bin-dir": "/b"},
            (
                "--image-credential-provider-bin-dir /b: requires --image-credential-provider-config, which lists the "
                "binaries"
            ),
        ),
        (
            {"token-file": "/t"},
            "--credential-option kubelet.token-file: requires --image-credential-provider-config",
        ),
        (
            {"confg": "/c"},
            (
                "--credential-option kubelet.confg: unknown option (known: kubelet.config, kubelet.bin-dir, "
                "kubelet.token-file)"
            ),
        ),
    ],
)
def test_half_of_the_options_is_an_error(options: dict[str, str], problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_providers(context(**options))

    assert [problem] == problems(caught)


def test_each_program_is_a_provider_in_the_configuration_s_order(node: Node) -> None:
    node.add("b")
    node.add("a", matchImages=["*.io/x", "reg:5000"])

    providers = node.make()

    assert ["kubelet/b", "kubelet/a"] == names(providers)
    assert all(isinstance(provider, CredentialProvider) for provider in providers)
    assert [] == node.warnings


def test_a_provider_matches_by_any_of_its_patterns(node: Node) -> None:
    node.add("a", matchImages=["*.io/x", "docker.io/library"])
    [provider] = node.make()

    assert [True, False, True] == [
        provider.matches(ImageRef.parse(text)) for text in ("quay.io/x/y:1", "quay.io/y", "nginx")
    ]


def test_a_repr_shows_no_variable(node: Node) -> None:
    node.add("a", env=[{"name": "A", "value": "s3cr3t"}])
    [provider] = node.make()

    assert "s3cr3t" not in repr(provider)


def test_whatever_is_wrong_is_said_at_once(node: Node) -> None:
    node.add("a", matchImages=[])

    with pytest.raises(UsageError) as caught:
        node.make(bin_dir=str(node.bin_dir / "none"))

    assert [
        f'{node.config}: providers[0] "a": `matchImages` is missing or empty (the binary would never run)',
        f"{node.bin_dir}/none: not a directory (must be the directory of the credential provider binaries)",
    ] == problems(caught)


def test_a_directory_that_cannot_be_one_is_an_error(node: Node) -> None:
    node.add("a")

    with pytest.raises(UsageError) as caught:
        node.make(bin_dir="/" + "x" * 300)

    assert problems(caught)[0].endswith(": not a directory (must be the directory of the credential provider binaries)")


def test_a_missing_program_disables_its_provider_alone(node: Node) -> None:
    node.add("gone", program=False)
    node.add("here")
    node.add("plain").chmod(0o644)
    (node.bin_dir / "dir").mkdir()
    node.add("dir", program=False)
    node.add("link", program=False).symlink_to("/nowhere/link")

    assert ["kubelet/here"] == names(node.make())
    assert [
        f"gone skipped: {node.bin_dir}/gone: No such file or directory",
        f"plain skipped: {node.bin_dir}/plain is not executable",
        f"dir skipped: {node.bin_dir}/dir is a directory",
        f"link skipped: {node.bin_dir}/link is a link to /nowhere/link, which does not exist",
    ] == node.warnings


def test_no_program_at_all_leaves_no_provider_and_a_warning(node: Node) -> None:
    node.add("gone", program=False)

    assert [] == node.make()
    assert 1 == len(node.warnings)


def test_a_link_may_lead_out_of_the_directory(node: Node, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    node.add("real").rename(elsewhere)
    (node.bin_dir / "real").symlink_to(elsewhere)

    assert ["kubelet/real"] == names(node.make())


def test_a_program_in_the_working_directory_is_not_looked_for_elsewhere(node: Node, monkeypatch) -> None:
    """Its bare name would be, in PATH."""
    node.add("sh")
    monkeypatch.chdir(node.bin_dir)
    [provider] = node.make(bin_dir=".")

    assert (str(node.bin_dir / "sh"),) == provider._argv


def test_a_provider_that_needs_a_token_is_left_out_without_one(node: Node) -> None:
    node.add("needs", tokenAttributes=token())
    node.add("likes", tokenAttributes=token(required=False))

    assert ["kubelet/likes"] == names(node.make())
    assert [
        (
            "needs skipped: requires a service account token for the audience aud (mount a projected token and set "
            "--credential-option kubelet.token-file=needs=FILE)"
        )
    ] == node.warnings


def test_a_provider_that_needs_annotations_is_left_out(node: Node, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    node.add("a", tokenAttributes=token(requiredServiceAccountAnnotationKeys=["role", "x.io/y"]))

    assert [] == node.make(token_file=str(tmp_path / "token"))
    assert [
        "a skipped: requires annotations of a pod's service account, which are not available here: role, x.io/y"
    ] == node.warnings


def test_a_token_file_is_for_one_or_for_all_that_take_tokens(node: Node, tmp_path: Path) -> None:
    for name in ("all=t", "one"):
        (tmp_path / name).write_text("t")
    node.add("a", tokenAttributes=token())
    node.add("b", tokenAttributes=token())
    node.add("c")

    providers = node.make(token_file=(f"b={tmp_path}/one", f"{tmp_path}/all=t"))

    assert [tmp_path / "all=t", tmp_path / "one", None] == [provider._token_file for provider in providers]


def test_a_token_file_that_cannot_be_used_is_an_error(node: Node, tmp_path: Path) -> None:
    for name, content in (("empty", b" \n"), ("binary", b"\xff"), ("lines", b"a\nb"), ("large", b"x" * 70_000)):
        (tmp_path / name).write_bytes(content)
    for name in ("a", "b", "c", "d", "e", "f"):
        node.add(name, tokenAttributes=token())
    node.add("plain")
    option = "--credential-option kubelet.token-file"

    with pytest.raises(UsageError) as caught:
        node.make(
            token_file=(
                f"plain={tmp_path}/empty",
                f"nobody={tmp_path}/empty",
                f"a={tmp_path}/empty",
                f"b={tmp_path}/binary",
                f"c={tmp_path}/lines",
                f"d={tmp_path}/large",
                f"e={tmp_path}/missing",
                "f=x\0y",
            )
        )

    assert [
        f'{option} plain={tmp_path}/empty: no provider "plain" with tokenAttributes',
        f'{option} nobody={tmp_path}/empty: no provider "nobody" with tokenAttributes',
        f"{option} {tmp_path}/binary: the token file contains no valid token",
        f"{option} {tmp_path}/empty: the token file contains no valid token",
        f"{option} {tmp_path}/large: the token file contains no valid token",
        f"{option} {tmp_path}/lines: the token file contains no valid token",
        f"{option} {tmp_path}/missing: the token file cannot be read: No such file or directory",
        f"{option} x\0y: the token file cannot be read: a path must not contain a NUL byte",
    ] == problems(caught)


def test_a_token_file_for_nobody_is_an_error(node: Node) -> None:
    node.add("a")

    with pytest.raises(UsageError) as caught:
        node.make(token_file="/some/token")

    assert ["--credential-option kubelet.token-file /some/token: no provider has tokenAttributes"] == problems(caught)
