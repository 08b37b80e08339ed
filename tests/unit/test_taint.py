"""Which taints a user names: parsed, checked as Kubernetes checks them, and compared."""

import pytest

from nodeprefetch.errors import UsageError
from nodeprefetch.values.taint import NamedTaint, parse_taint

STARTUP = "readiness.k8s.io/web"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("warm", NamedTaint(key="warm")),
        ("warm:NoSchedule", NamedTaint(key="warm", effect="NoSchedule")),
        ("warm=no", NamedTaint(key="warm", value="no")),
        ("warm=", NamedTaint(key="warm", value="")),
        (f"{STARTUP}=:NoExecute", NamedTaint(key=STARTUP, value="", effect="NoExecute")),
        (f"{STARTUP}=a_B.c-1:PreferNoSchedule", NamedTaint(key=STARTUP, value="a_B.c-1", effect="PreferNoSchedule")),
        ("a" * 63, NamedTaint(key="a" * 63)),
        (".".join(["a" * 62] * 4) + "/b=" + "v" * 63, NamedTaint(key=".".join(["a" * 62] * 4) + "/b", value="v" * 63)),
    ],
)
def test_what_kubernetes_accepts(text: str, named: NamedTaint) -> None:
    assert named == parse_taint(text)
    assert text == str(named)


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ["the key is empty"]),
        (":NoSchedule", ["the key is empty"]),
        ("x.io/", ["the key has no name after '/'"]),
        ("X.io/a", ["invalid key prefix 'X.io'"]),
        ("/a", ["invalid key prefix ''"]),
        ("a/b/c", ["invalid key prefix 'a/b'"]),
        ("a" * 64, ["invalid key"]),
        ("-a", ["invalid key '-a'"]),
        ("a\n", ["invalid key"]),
        ("a=" + "v" * 64, ["invalid value"]),
        ("a=v=w", ["invalid value 'v=w'"]),
        ("a:", ["invalid effect ''"]),
        ("a:noschedule", ["invalid effect 'noschedule' (expected NoSchedule, PreferNoSchedule or NoExecute)"]),
        ("a:NoSchedule:NoExecute", ["invalid effect"]),
        ("node.kubernetes.io/not-ready", ["taints with the prefix node.kubernetes.io/ are managed by Kubernetes"]),
        ("X/-a=-v:No", ["invalid key prefix", "invalid key", "invalid value", "invalid effect"]),
    ],
)
def test_what_is_wrong_with_a_taint_is_said_at_once(text: str, problems: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        parse_taint(text)

    starts = [f"{text!r}: {problem}" for problem in problems]
    assert starts == [found[: len(start)] for found, start in zip(caught.value.problems, starts, strict=True)]


@pytest.mark.parametrize(
    ("named", "taint", "is_named"),
    [
        ("warm", ("warm", "", "NoSchedule"), True),
        ("warm", ("warm", "x", "NoExecute"), True),
        ("warm", ("warmer", "", "NoSchedule"), False),
        ("warm", ("x.io/warm", "", "NoSchedule"), False),
        ("warm=", ("warm", "", "NoSchedule"), True),
        ("warm=", ("warm", "x", "NoSchedule"), False),
        ("warm=x", ("warm", "", "NoSchedule"), False),
        ("warm=x", ("warm", "x", "NoSchedule"), True),
        ("warm:NoExecute", ("warm", "", "NoSchedule"), False),
        ("warm=x:NoExecute", ("warm", "x", "NoExecute"), True),
    ],
)
def test_no_taint_is_meant_that_was_not_named(named: str, taint: tuple[str, str, str], is_named: bool) -> None:  # noqa: FBT001
    key, value, effect = taint

    assert is_named is parse_taint(named).names(key=key, value=value, effect=effect)
