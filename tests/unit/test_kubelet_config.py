"""The configuration of credential providers: the kubelet's rules, one by one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nodeprefetch_kubelet.config import ProviderConfig, parse_config
from nodeprefetch_kubelet.config_files import MAX_FILE_BYTES, load_config
from nodeprefetch_kubelet.token_attributes import TokenAttributes

from nodeprefetch.credentials.keyring import KeyPattern
from nodeprefetch.errors import Problems, UsageError

MATCHES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "matchimages-cases.json").read_text("utf-8")
)


def provider(**changes: Any) -> dict[str, Any]:
    """A right one; None takes a member away."""
    members = {
        "name": "x",
        "matchImages": ["quay.io"],
        "defaultCacheDuration": "1m",
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
    } | changes
    return {name: value for name, value in members.items() if value is not None}


def token(**changes: Any) -> dict[str, Any]:
    return {"serviceAccountTokenAudience": "aud", "cacheType": "Token", "requireServiceAccount": True} | changes


def config(*providers: Any, **changes: Any) -> bytes:
    members = {
        "apiVersion": "kubelet.config.k8s.io/v1",
        "kind": "CredentialProviderConfig",
        "providers": list(providers),
    } | changes
    return json.dumps({name: value for name, value in members.items() if value is not None}).encode()


def parse(data: bytes, warnings: list[str] | None = None) -> list[ProviderConfig]:
    problems = Problems()
    providers = parse_config(data, "c.yaml", problems, [].append if warnings is None else warnings.append)
    problems.raise_if_any()
    return providers


def problems_of(function: Callable[[], object]) -> list[str]:
    with pytest.raises(UsageError) as caught:
        function()
    return list(caught.value.problems)


def warnings_of(data: bytes) -> list[str]:
    """Of a configuration that is used."""
    warnings: list[str] = []
    parse(data, warnings)
    return warnings


def problems_if_any(data: bytes) -> list[str]:
    try:
        parse(data)
    except UsageError as error:
        return list(error.problems)
    return []


def test_a_provider_is_read_with_all_it_has() -> None:
    [read] = parse(
        config(
            provider(
                matchImages=["*.dkr.ecr.*.amazonaws.com", "reg.io:5000/a"],
                defaultCacheDuration="1h30m",
                args=["get", "--v=3", ""],
                env=[{"name": "A", "value": "1"}, {"name": "B"}, {"name": "A", "value": "2"}],
                tokenAttributes=token(requiredServiceAccountAnnotationKeys=["example.com/Role", "role"]),
            )
        )
    )

    assert (
        ProviderConfig(
            where='c.yaml: providers[0] "x"',
            name="x",
            match_images=(
                KeyPattern(host="*.dkr.ecr.*.amazonaws.com", path=""),
                KeyPattern(host="reg.io:5000", path="/a"),
            ),
            default_cache_duration=5400.0,
            api_version="credentialprovider.kubelet.k8s.io/v1",
            args=("get", "--v=3", ""),
            env={"A": "2", "B": ""},
            token=TokenAttributes(audience="aud", required=True, required_annotations=("example.com/Role", "role")),
        )
        == read
    )


def test_the_values_of_variables_show_in_no_repr() -> None:
    assert "s3cr3t" not in repr(parse(config(provider(env=[{"name": "A", "value": "s3cr3t"}]))))


def test_null_is_absent() -> None:
    [read] = parse(config(provider() | {"args": None, "env": None, "tokenAttributes": None}))

    assert ((), {}, None) == (read.args, read.env, read.token)


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha1"])
@pytest.mark.parametrize("program_version", ["v1", "v1beta1", "v1alpha1"])
def test_every_version_of_the_configuration_may_name_every_version_of_the_protocol(version, program_version) -> None:
    program = provider(apiVersion=f"credentialprovider.kubelet.k8s.io/{program_version}")

    [read] = parse(config(program, apiVersion=f"kubelet.config.k8s.io/{version}"))

    assert f"credentialprovider.kubelet.k8s.io/{program_version}" == read.api_version


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": None}, "`name` is missing"),
        ({"name": ""}, "`name` is empty"),
        ({"name": 5}, "`name` must be a string, not a number (add quotes)"),
        ({"name": "a b"}, "`name` must not contain spaces"),
        ({"name": "a\0b"}, "`name` must not contain a NUL byte"),
        ({"matchImages": None}, "`matchImages` is missing or empty (the binary would never run)"),
        ({"matchImages": []}, "`matchImages` is missing or empty (the binary would never run)"),
        ({"matchImages": ["a", "b:x"]}, '`matchImages[1]`: "b:x" must be a host, host:port or host/path'),
        ({"matchImages": [{}]}, "`matchImages[0]` must be a string, not an object"),
        ({"defaultCacheDuration": None}, "`defaultCacheDuration` is missing"),
        ({"defaultCacheDuration": "-1s"}, "`defaultCacheDuration`: invalid duration '-1s': must not be negative"),
        ({"defaultCacheDuration": "5"}, "`defaultCacheDuration`: invalid duration '5': missing unit (e.g. 5s or 5m)"),
        ({"apiVersion": None}, "`apiVersion` is missing"),
        (
            {"apiVersion": "v1"},
            (
                "`apiVersion` must be credentialprovider.kubelet.k8s.io/v1 or "
                "credentialprovider.kubelet.k8s.io/v1beta1 or "
                'credentialprovider.kubelet.k8s.io/v1alpha1, not "v1"'
            ),
        ),
        ({"args": "x"}, "`args` must be a list, not a string"),
        ({"args": [True]}, "`args[0]` must be a string, not a boolean (add quotes)"),
        ({"args": ["a\0"]}, "`args[0]` must not contain a NUL byte"),
        ({"env": ["A=1"]}, "`env[0]`: must be an object, not a string"),
        ({"env": [{"name": "A", "value": 1}]}, "`env[0]`: `value` must be a string, not a number (add quotes)"),
    ],
    ids=repr,
)
def test_a_broken_rule_is_named_with_file_and_provider(changes: dict[str, Any], problem: str) -> None:
    broken = provider() | changes
    members = {name: value for name, value in broken.items() if value is not None}
    name = members.get("name")
    shown = json.dumps(name).replace("\\u0000", "\\x00") if isinstance(name, str) and name else ""

    where = f"c.yaml: providers[1]{' ' if shown else ''}{shown}"
    assert [f"{where}: {problem}"] == problems_of(lambda: parse(config(provider(name="y"), members)))


@pytest.mark.parametrize("name", ["..", ".", "../x", "/bin/sh", "a/b", "a/../../b"])
def test_a_name_that_leads_out_of_the_directory_is_told_so(name: str) -> None:
    [problem] = problems_of(lambda: parse(config(provider(name=name))))

    assert problem.endswith("`name` must be a file name in the directory of the binaries: no slash, and not . or ..")


@pytest.mark.parametrize(
    ("attributes", "problem"),
    [
        (token(serviceAccountTokenAudience=""), "`serviceAccountTokenAudience` is empty"),
        (token(requireServiceAccount=None), "`requireServiceAccount` is missing"),
        (token(requireServiceAccount="yes"), "`requireServiceAccount` must be true or false, not a string"),
        (
            token(requireServiceAccount=False, requiredServiceAccountAnnotationKeys=["a"]),
            "`requiredServiceAccountAnnotationKeys` require `requireServiceAccount: true`",
        ),
        (
            token(requiredServiceAccountAnnotationKeys=["a", "b", "a"]),
            '`requiredServiceAccountAnnotationKeys[2]`: duplicate key "a"',
        ),
        (
            token(requiredServiceAccountAnnotationKeys=["a"], optionalServiceAccountAnnotationKeys=["b", "a"]),
            'annotation key "a" must not be both required and optional',
        ),
        ([], "must be an object, not a list"),
    ],
    ids=repr,
)
def test_token_attributes_that_break_a_rule_are_ignored_with_a_warning(attributes: Any, problem: str) -> None:
    """As kubelets ignore them that know no tokens, those before 1.33."""
    warnings: list[str] = []

    [read] = parse(config(provider(tokenAttributes=attributes)), warnings)

    assert read.token is None
    assert f'c.yaml: providers[0] "x": `tokenAttributes`: {problem}; tokenAttributes ignored' == warnings[-1]


@pytest.mark.parametrize("key", ["", "a b", "-a", "a/", "/a", "a_b/c", "a/b/c", "x" * 64, "a." * 127 + "a/b"])
def test_a_key_that_is_no_annotation_s_is_refused(key: str) -> None:
    [warning] = warnings_of(config(provider(tokenAttributes=token(optionalServiceAccountAnnotationKeys=[key]))))

    assert warning.endswith(
        "is not a valid annotation key (expected name or example.com/name); tokenAttributes ignored"
    )


def test_token_attributes_need_v1_on_both_sides() -> None:
    program = provider(apiVersion="credentialprovider.kubelet.k8s.io/v1beta1", tokenAttributes=token())

    place, end = 'c.yaml: providers[0] "x": `tokenAttributes`: requires', "tokenAttributes ignored"

    assert [
        f"{place} a configuration of kubelet.config.k8s.io/v1; {end}",
        f"{place} apiVersion credentialprovider.kubelet.k8s.io/v1; {end}",
    ] == warnings_of(config(program, apiVersion="kubelet.config.k8s.io/v1alpha1"))


WITHOUT_CACHE_TYPE = {name: value for name, value in token().items() if name != "cacheType"}


@pytest.mark.parametrize(
    ("data", "warning"),
    [
        (config(provider(), metadata={}), 'unknown field "metadata", ignored (known: apiVersion, kind, providers)'),
        (config(provider()).replace(b'"name"', b'"name": "z", "name"'), 'duplicate field "name"; the last one is used'),
        (
            config(provider()).replace(b"{", b"--- \n{", 1) + b"\n---\na: b",
            "multiple YAML documents; only the first is read",
        ),
        (
            config(provider(matchimages=[])),
            (
                'providers[0] "x": unknown field "matchimages", ignored (known: name, matchImages, '
                "defaultCacheDuration, apiVersion, args, env, tokenAttributes)"
            ),
        ),
        (
            config(provider(env=[{"name": "A", "valueFrom": {}}])),
            'providers[0] "x": `env[0]`: unknown field "valueFrom", ignored (known: name, value)',
        ),
        (
            config(provider(env=[{"value": "s3cr3t"}])),
            'providers[0] "x": `env[0]`: `name` is missing or empty; the variable is ignored',
        ),
        (
            config(provider(env=[{"name": "A=B", "value": "s3cr3t"}])),
            'providers[0] "x": `env[0]`: `name` contains =; the rest becomes part of the value',
        ),
        (
            config(provider(tokenAttributes=WITHOUT_CACHE_TYPE)),
            (
                'providers[0] "x": `tokenAttributes`: `cacheType` is missing: '
                "kubelets since 1.34 require ServiceAccount or Token"
            ),
        ),
        (
            config(provider(tokenAttributes=token(cacheType="Pod"))),
            (
                'providers[0] "x": `tokenAttributes`: `cacheType` is "Pod": '
                "kubelets since 1.34 require ServiceAccount or Token"
            ),
        ),
        (
            config(provider(tokenAttributes=token(audience="x"))),
            (
                'providers[0] "x": `tokenAttributes`: unknown field "audience", ignored '
                "(known: serviceAccountTokenAudience, requireServiceAccount, requiredServiceAccountAnnotationKeys, "
                "optionalServiceAccountAnnotationKeys, cacheType)"
            ),
        ),
        (
            config(provider(matchImages=["quay.io/team/*"])),
            (
                'providers[0] "x": `matchImages[0]`: "quay.io/team/*" never matches an image: '
                'wildcards match in the host only (write "quay.io/team/")'
            ),
        ),
    ],
    ids=repr,
)
def test_what_an_old_kubelet_takes_is_a_warning(data: bytes, warning: str) -> None:
    """Kubernetes 1.30 decodes without looking for such fields; it warns of nothing of this."""
    assert [f"c.yaml: {warning}"] == warnings_of(data)


def test_what_is_odd_with_tokens_changes_nothing_else() -> None:
    [read] = parse(config(provider(tokenAttributes=WITHOUT_CACHE_TYPE)))

    assert TokenAttributes(audience="aud", required=True) == read.token


def test_a_variable_is_handed_over_as_the_kubelet_does() -> None:
    [read] = parse(config(provider(env=[{"name": "A=B", "value": "c"}, {"name": "", "value": "x"}])))

    assert {"A": "B=c"} == read.env


def test_a_blank_that_is_not_a_space_may_be_in_a_name() -> None:
    [read] = parse(config(provider(name="a\u00a0b")))

    assert "a\u00a0b" == read.name


def test_what_is_odd_is_named_beside_an_error_as_it_may_be_why(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_bytes(config(provider(matchImages=None, matchimages=["quay.io"])))

    missing, unknown = problems_of(lambda: load_config(str(tmp_path), print))

    assert "`matchImages` is missing" in missing
    assert unknown.startswith('c.json: providers[0] "x": unknown field "matchimages", ignored')


def test_a_warning_names_the_file_without_its_directory(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_bytes(config(provider(), more=1))
    warnings: list[str] = []

    load_config(str(tmp_path / "c.json"), warnings.append)

    assert ['c.json: unknown field "more", ignored (known: apiVersion, kind, providers)'] == warnings


@pytest.mark.parametrize(
    ("data", "problems"),
    [
        (b"[]", ["c.yaml: must be an object, not a list"]),
        (b"{", ["c.yaml: not JSON: Input data was truncated"]),
        (config(kind="Pod"), ['c.yaml: `kind` must be CredentialProviderConfig, not "Pod"']),
        (
            config(apiVersion="v1", kind=None),
            [
                (
                    "c.yaml: `apiVersion` must be kubelet.config.k8s.io/v1 or kubelet.config.k8s.io/v1beta1 or "
                    'kubelet.config.k8s.io/v1alpha1, not "v1"'
                ),
                "c.yaml: `kind` is missing",
            ],
        ),
        (config(providers={}), ["c.yaml: `providers` must be a list, not an object"]),
        (config(5), ["c.yaml: providers[0]: must be an object, not a number"]),
    ],
    ids=repr,
)
def test_a_broken_file_is_named(data: bytes, problems: list[str]) -> None:
    assert problems == problems_of(lambda: parse(data))[: len(problems)]


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    """Over all files: what is wrong in them, and a name that two of them use."""
    (tmp_path / "b.json").write_bytes(config(provider(), provider(name="..", args="x")))
    (tmp_path / "a.yaml").write_text("a: b: c")
    (tmp_path / "c.yml").write_bytes(config(provider(matchImages=[":x"])))

    problems = problems_of(lambda: load_config(str(tmp_path), print))

    assert [
        f"{tmp_path}/a.yaml: not YAML: mapping values are not allowed here (line 1)",
        (
            f'{tmp_path}/b.json: providers[1] "..": `name` must be a file name in the directory of the '
            "binaries: no slash, and not . or .."
        ),
        f'{tmp_path}/b.json: providers[1] "..": `args` must be a list, not a string',
        f'{tmp_path}/c.yml: providers[0] "x": `matchImages[0]`: ":x" must be a host, host:port or host/path',
        f'{tmp_path}/c.yml: providers[0] "x": same name as {tmp_path}/b.json: providers[0] "x"',
    ] == problems


def test_a_directory_s_files_are_merged_in_the_order_of_their_names(tmp_path: Path) -> None:
    """Only its own, only of the three kinds; links are followed, as a mounted ConfigMap needs."""
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "20.json").write_bytes(config(provider(name="two"), provider(name="three")))
    (tmp_path / "20.json").symlink_to("..data/20.json")
    (tmp_path / "10.yml").write_bytes(config(provider(name="one")))
    (tmp_path / "30.yaml").write_bytes(config())
    (tmp_path / "README.md").write_text("no configuration")
    (tmp_path / "old.yaml").mkdir()
    (tmp_path / "old.yaml" / "x.yaml").write_text("nor this")

    assert ["one", "two", "three"] == [read.name for read in load_config(str(tmp_path), print)]


@pytest.mark.parametrize(
    ("location", "problem"),
    [
        ("missing.yaml", "cannot be read: No such file or directory"),
        ("empty", "no *.json, *.yaml or *.yml in this directory"),
        ("none.json", "contains no providers"),
        ("large.yaml", "larger than 1048576 bytes (not a credential provider configuration?)"),
        ("a\0b", "cannot be read: "),
        ("x" * 300, "cannot be read: File name too long"),
    ],
)
def test_a_location_without_a_configuration_is_named(location: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "none.json").write_bytes(config())
    (tmp_path / "large.yaml").write_bytes(b"#" * (MAX_FILE_BYTES + 1))

    [found] = problems_of(lambda: load_config(str(tmp_path / location), print))

    assert found.startswith(f"{tmp_path}/{location}: {problem}")


def test_a_link_that_leads_nowhere_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(config(provider()))
    (tmp_path / "b.json").symlink_to("gone")

    assert [f"{tmp_path}/b.json: cannot be read: No such file or directory"] == problems_of(
        lambda: load_config(str(tmp_path), print)
    )


@pytest.mark.parametrize("case", MATCHES, ids=[f"{case['pattern']} - {case['image']}" for case in MATCHES])
def test_match_images_match_what_the_kubelet_says(case: dict[str, Any]) -> None:
    program = config(provider(matchImages=["never.example.com", case["pattern"]]))
    if case.get("pattern_invalid"):
        assert 1 == len(problems_of(lambda: parse(program)))
        return
    [read] = parse(program)

    assert case["match"] == any(pattern.matches(case["image"]) for pattern in read.match_images)


def test_no_pattern_makes_matching_slow() -> None:
    """With backtracking this would not end in a lifetime."""
    [read] = parse(config(provider(matchImages=["*a" * 500 + "*b", "*a" * 500])))
    name = "a" * 20_000

    assert [False, True] == [pattern.matches(f"{name}/x") for pattern in read.match_images]


names = st.sampled_from(
    [
        *["apiVersion", "kind", "providers", "name", "matchImages", "defaultCacheDuration", "args", "env", "value"],
        *["tokenAttributes", "cacheType", "requireServiceAccount", "serviceAccountTokenAudience", "<<", "other"],
    ]
)
texts = st.sampled_from(
    ["kubelet.config.k8s.io/v1", "credentialprovider.kubelet.k8s.io/v1", "CredentialProviderConfig", "1m", "", ".."]
)
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), texts, st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=6)),
    max_leaves=15,
)


@given(anything)
def test_any_json_is_a_configuration_or_a_list_of_problems(value: object) -> None:
    for data in (json.dumps(value).encode(), config(value), config(provider(env=value)), config(providers=value)):
        problems = problems_if_any(data)

        assert problems == [line for problem in problems for line in problem.splitlines()]


@given(st.binary(max_size=80))
def test_any_bytes_are_a_configuration_or_a_list_of_problems(data: bytes) -> None:
    for text in (data, config(provider())[:-20] + data, b"apiVersion: " + data):
        assert all(problem.startswith("c.yaml: ") for problem in problems_if_any(text))
