"""The plugin `pull-secrets`: files and directories with pull secrets, read, looked up, and read again when renewed."""

import base64
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from nodeprefetch_pull_secrets import make_provider
from nodeprefetch_pull_secrets.payload import MAX_FILE_BYTES
from nodeprefetch_pull_secrets.provider import PullSecrets

from nodeprefetch.credentials.api import NotConfigured, PluginContext
from nodeprefetch.credentials.keyring import Keyring, KeyringEntry
from nodeprefetch.errors import UsageError
from nodeprefetch.values.image_ref import ImageRef

DATA = Path(__file__).parents[1] / "data"
CASES: list[dict[str, Any]] = [
    case
    for case in json.loads((DATA / "keyring-cases.json").read_text("utf-8"))
    if case.get("error") != "image" and all(source["type"] != "plugin" for source in case["sources"])
]
SECRET = "s3cr3t-of-mine"
IMAGE = ImageRef.parse("quay.io/team/app:1")


def payload(*users: str, key: str = "quay.io") -> str:
    """A dockerconfigjson: each user under a key of its own that leads to quay.io."""
    keys = [key, f"https://{key}", f"{key}/", f"{key}/v2/"]
    return json.dumps({"auths": {k: {"username": u, "password": SECRET} for k, u in zip(keys, users, strict=False)}})


def configured(*locations: Path | str, warnings: list[str] | None = None) -> list[PullSecrets]:
    options = {"config": tuple(map(str, locations))}
    warn = [].append if warnings is None else warnings.append
    made = make_provider(PluginContext(name="pull-secrets", options=options, warn=warn))
    return [] if isinstance(made, NotConfigured) else list(made)


async def entries(providers: list[PullSecrets], image: ImageRef = IMAGE) -> tuple[KeyringEntry, ...]:
    """What is used for the image: the providers of one plugin share a keyring."""
    answers = [await provider.get_credentials(image) for provider in providers]
    return Keyring(entry for answer in answers for entry in answer.entries).lookup(image)


async def users(providers: list[PullSecrets], image: ImageRef = IMAGE) -> list[str]:
    return [entry.auth.username for entry in await entries(providers, image)]


def mount(directory: Path, name: str, content: str, *, version: str = "..2026_01_01_00_00_00.1") -> None:
    """A Secret as the kubelet mounts it: the name leads to `..data`, and that to a directory with a date."""
    (directory / version).mkdir(parents=True)
    (directory / version / name).write_text(content)
    (directory / "..data_tmp").symlink_to(version)
    (directory / "..data_tmp").rename(directory / "..data")
    if not (directory / name).is_symlink():
        (directory / name).symlink_to(f"..data/{name}")


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
async def test_an_image_gets_what_the_kubelet_would_use(case: dict[str, Any], tmp_path: Path) -> None:
    locations = []
    for number, source in enumerate(case["sources"]):
        file = tmp_path / str(number) / ("." + source["type"])
        file.parent.mkdir()
        file.write_text(json.dumps(source["data"]))
        locations.append(file)

    found = await entries(configured(*locations), ImageRef.parse(case["image"]))

    assert case["expect"] == [{"username": e.auth.username, "password": e.auth.password} for e in found]


async def test_a_mounted_secret_is_read_once_not_for_each_of_its_links(tmp_path: Path) -> None:
    mount(tmp_path, ".dockerconfigjson", payload("a"))

    assert ["a"] == await users(configured(tmp_path))


async def test_a_directory_of_secrets_is_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    mount(tmp_path / "20-new", ".dockerconfigjson", payload("b"))
    mount(tmp_path / "10-old", ".dockercfg", '{"quay.io": {"username": "a"}}')
    (tmp_path / "30-other").mkdir()
    (tmp_path / "30-other" / "tls.key").write_text("no business of ours")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / ".dockerconfigjson").write_text("too deep")
    (tmp_path / ".dockerconfigjson").write_text(payload("c"))

    assert ["c", "a", "b"] == await users(configured(tmp_path))


async def test_several_locations_keep_their_order_below_that_of_keys(tmp_path: Path) -> None:
    for name, key in {"a": "quay.io", "b": "quay.io/team", "c": "quay.io"}.items():
        (tmp_path / name).write_text(payload(name, key=key))

    providers = configured(tmp_path / "c", tmp_path / "a", tmp_path / "b")

    assert ["b", "c", "a"] == await users(providers)
    assert ["docker-config c", "docker-config a", "docker-config b"] == [provider.name for provider in providers]


async def test_docker_hub_s_old_key_counts_only_where_no_file_has_a_better_one(tmp_path: Path) -> None:
    (tmp_path / "old").write_text(payload("old", key="index.docker.io"))
    (tmp_path / "new").write_text(payload("new", key="docker.io"))

    assert ["old"] == await users(configured(tmp_path / "old"), ImageRef.parse("nginx"))
    assert ["new"] == await users(configured(tmp_path / "old", tmp_path / "new"), ImageRef.parse("nginx"))


@pytest.mark.parametrize(
    ("name", "content", "user"),
    [
        ("config.json", {"auths": {"quay.io": {"username": "a"}}}, "a"),
        ("config.json", {"quay.io": {"username": "a"}}, "a"),
        ("config.json", {"Auths": {"quay.io": {"username": "a"}}, "quay.io": {"username": "b"}}, "a"),
        ("config.json", {"quay.io": {"AUTH": base64.b64encode(b"a:b").decode()}, "HttpHeaders": {}}, "a"),
        (".dockercfg", {"quay.io": {"username": "a"}, "auths": {"quay.io": {"username": "b"}}}, "a"),
        (".dockerconfigjson", {"quay.io": {"username": "a"}}, None),
        ("config.json", {"credHelpers": {"quay.io": "helper"}, "credsStore": "x"}, None),
        ("config.json", {}, None),
    ],
)
async def test_a_file_is_read_by_its_name_else_by_its_content(
    tmp_path: Path, name: str, content: Mapping[str, Any], user: str | None
) -> None:
    (tmp_path / name).write_text(json.dumps(content))
    warnings: list[str] = []

    assert ([user] if user else []) == await users(configured(tmp_path / name, warnings=warnings))
    assert (user is None) == (warnings == [f"docker-config {called(tmp_path / name)}: no `auths`, so no credentials"])


async def test_a_bad_entry_is_named_and_the_others_are_used(tmp_path: Path) -> None:
    auths = {
        "a.test": {"auth": SECRET},
        "b.test": {"registrytoken": SECRET},
        "c.test": {"registrytoken": SECRET, "auth": base64.b64encode(b"<token>:").decode()},
        "d:x": {"username": "u"},
        "quay.io/team": {"registrytoken": SECRET, "username": "u", "password": "p"},
        "quay.io": {"registrytoken": SECRET, "identitytoken": SECRET},
    }
    (tmp_path / ".dockerconfigjson").write_text(json.dumps({"auths": auths}))
    warnings: list[str] = []

    found = await entries(configured(tmp_path, warnings=warnings))

    file = tmp_path.name
    assert [("u", "p", ""), ("", "", SECRET)] == [
        (e.auth.username, e.auth.password, e.auth.identity_token) for e in found
    ]
    registry_token = "it has only a `registrytoken`, which no container runtime uses"
    assert [
        f'docker-config {file}: key "a.test" skipped: `auth` is not valid base64',
        f'docker-config {file}: key "b.test" skipped: {registry_token}',
        f'docker-config {file}: key "c.test" skipped: {registry_token}',
        f'docker-config {file}: key "d:x" skipped: must be a host or host/path',
    ] == warnings


def test_everything_that_cannot_be_read_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "secrets" / "a").mkdir(parents=True)
    (tmp_path / "secrets" / "b").mkdir()
    (tmp_path / "secrets" / "a" / ".dockercfg").write_text("[]")
    (tmp_path / "secrets" / "a" / ".dockerconfigjson").symlink_to("..data/.dockerconfigjson")
    (tmp_path / "secrets" / "b" / ".dockerconfigjson").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "long").write_bytes(b" " * (MAX_FILE_BYTES + 1))
    (tmp_path / "text").write_text(f"auths: {SECRET}")
    (tmp_path / "good").write_text(payload("a"))
    names = ["secrets", "empty", "long", "text", "good", "missing", "nul\0"]
    options = {"config": tuple(f"{tmp_path}/{name}" for name in names), "conf": ("x",)}

    with pytest.raises(UsageError) as caught:
        make_provider(PluginContext(name="pull-secrets", options=options))

    where = f"docker-config {tmp_path}"
    expected = [
        "--credential-option pull-secrets.conf: unknown option (known: pull-secrets.config)",
        f"{where}/secrets/a/.dockercfg: must be a JSON object, not an array",
        f"{where}/secrets/a/.dockerconfigjson: cannot be read: No such file or directory",
        f"{where}/secrets/b/.dockerconfigjson: cannot be read: Is a directory",
        f"{where}/empty: no .dockercfg or .dockerconfigjson in the directory or one level below",
        f"{where}/long: larger than 1048576 bytes (not a pull secret?)",
        f"{where}/text: not JSON: ",
        f"{where}/missing: cannot be read: No such file or directory",
        f"docker-config '{tmp_path}/nul\\x00': cannot be read: a path must not contain a NUL byte",
    ]
    assert len(expected) == len(caught.value.problems)
    assert all(problem.startswith(text) for text, problem in zip(expected, caught.value.problems, strict=True))
    assert SECRET not in str(caught.value)


def called(file: Path) -> str:
    """The name of a Secret or file in what is said during a run."""
    return file.parent.name if file.name.startswith(".docker") else file.name


@contextmanager
def permissions_that_hold() -> Iterator[None]:
    """Root may read everything, so be nobody meanwhile."""
    user = os.geteuid()
    os.seteuid(user or 65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_directories_that_may_not_be_read_are_errors(short_path: Path) -> None:
    short_path.chmod(0o755)
    for name, mode in {"a": 0, "b": 0, "c": 0o755}.items():
        (short_path / name).mkdir(mode=mode)
    (short_path / "c" / ".dockercfg").write_text("{}")

    with permissions_that_hold(), pytest.raises(UsageError) as caught:
        configured(short_path)

    expected = [f"docker-config {short_path / name}: cannot be read: Permission denied" for name in "ab"]
    assert expected == list(caught.value.problems)


@pytest.mark.parametrize("options", [{}, {"config": ()}, {"config": ("",)}])
def test_without_a_location_it_is_not_configured(options: dict[str, tuple[str, ...]]) -> None:
    assert NotConfigured(why="no --docker-config PATH") == make_provider(
        PluginContext(name="pull-secrets", options=options)
    )


async def test_a_renewed_secret_is_read_again_after_a_second(tmp_path: Path, autojump_clock) -> None:
    """Looked at when first asked, at 0; renewed then; not looked at again before 1."""
    mount(tmp_path, ".dockerconfigjson", payload("old"))
    providers = configured(tmp_path)
    assert ["old"] == await users(providers)
    mount(tmp_path, ".dockerconfigjson", payload("new"), version="..2026_01_02_00_00_00.2")

    await trio.sleep(0.9)
    before = await users(providers)
    await trio.sleep(0.1)

    assert ["old"] == before
    assert ["new"] == await users(providers)


async def test_secrets_may_come_and_go_while_others_stay(tmp_path: Path, autojump_clock) -> None:
    mount(tmp_path / "a", ".dockerconfigjson", payload("a"))
    mount(tmp_path / "b", ".dockerconfigjson", payload("b"))
    providers = configured(tmp_path)

    mount(tmp_path / "c", ".dockerconfigjson", payload("c"))
    (tmp_path / "a" / ".dockerconfigjson").unlink()

    assert ["b", "c"] == await users(providers)


async def test_a_bad_new_content_leaves_the_old_in_use_and_is_said_once(tmp_path: Path, autojump_clock) -> None:
    file = tmp_path / "config.json"
    file.write_text(payload("old"))
    warnings: list[str] = []
    providers = configured(file, warnings=warnings)
    seen = []

    for content in [f"auths: {SECRET}", None, payload("new"), f"auths: {SECRET}"]:
        if content is not None:
            (tmp_path / "next").write_text(content)
            (tmp_path / "next").rename(file)
        await trio.sleep(1)
        seen += await users(providers)

    assert ["old", "old", "new", "new"] == seen
    assert 2 == len(warnings)
    assert warnings[0].startswith(f"docker-config {called(file)}: not JSON: ")
    assert warnings[0].endswith("; keeping the previous content")
    assert SECRET not in "".join(warnings)


async def test_a_file_that_is_gone_or_no_file_any_more_leaves_the_old_in_use(tmp_path: Path, autojump_clock) -> None:
    file = tmp_path / "secrets" / ".dockerconfigjson"
    file.parent.mkdir()
    file.write_text(payload("a"))
    warnings: list[str] = []
    providers = configured(file, file.parent, warnings=warnings)
    seen = []

    file.unlink()
    await trio.sleep(1)
    seen.append(await users(providers))
    os.mkfifo(file)
    await trio.sleep(1)
    seen.append(await users(providers))
    file.unlink()
    file.write_text(payload("b"))
    await trio.sleep(1)
    seen.append(await users(providers))

    stays = "; keeping the previous content"
    assert [["a", "a"], ["a", "a"], ["b", "b"]] == seen
    assert f"docker-config {called(file)}: cannot be read: No such file or directory{stays}" == warnings[0]
    assert warnings[1].startswith(f"docker-config {file.parent.name}: no .dockercfg or ")
    assert 2 * [f"docker-config {called(file)}: not a regular file{stays}"] == warnings[2:]


async def test_a_secret_whose_content_is_away_stays_in_use(tmp_path: Path, autojump_clock) -> None:
    mount(tmp_path, ".dockerconfigjson", payload("a"))
    warnings: list[str] = []
    providers = configured(tmp_path, warnings=warnings)
    (tmp_path / "..data").unlink()

    assert ["a"] == await users(providers)
    assert 1 == len(warnings)
    assert "not a regular file; keeping the previous content" in warnings[0]


async def test_a_new_secret_that_is_bad_is_left_out_until_it_is_good(tmp_path: Path, autojump_clock) -> None:
    mount(tmp_path / "a", ".dockerconfigjson", payload("a"))
    warnings: list[str] = []
    providers = configured(tmp_path, warnings=warnings)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / ".dockercfg").write_text("[]")

    before = await users(providers)
    (tmp_path / "b" / ".dockercfg").write_text('{"quay.io": {"username": "b"}}')
    await trio.sleep(1)

    assert ["a"] == before
    assert ["a", "b"] == await users(providers)
    file = tmp_path / "b" / ".dockercfg"
    assert [f"docker-config {called(file)}: must be a JSON object, not an array; skipped"] == warnings


async def test_a_bad_secret_that_went_and_came_back_is_said_again(tmp_path: Path, autojump_clock) -> None:
    mount(tmp_path / "a", ".dockerconfigjson", payload("a"))
    warnings: list[str] = []
    providers = configured(tmp_path, warnings=warnings)
    (tmp_path / "b").mkdir()

    for _ in range(2):
        (tmp_path / "b" / ".dockercfg").write_text("[]")
        await users(providers)
        (tmp_path / "b" / ".dockercfg").unlink()
        await trio.sleep(1)
        await users(providers)
        await trio.sleep(1)

    assert 2 == len(warnings)


async def test_a_file_is_not_read_again_until_it_changes(tmp_path: Path, autojump_clock) -> None:
    """Neither a good one nor one that was refused: it is told by size and time of modification."""
    files = {"good": "{}", "refused": "{}"}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    warnings: list[str] = []
    providers = configured(*(tmp_path / name for name in files), warnings=warnings)
    (tmp_path / "refused").unlink()
    (tmp_path / "refused").write_text("[]")
    await users(providers)
    before = len(warnings)

    for name in files:
        status = (tmp_path / name).stat()
        (tmp_path / name).write_text("12")
        os.utime(tmp_path / name, ns=(status.st_atime_ns, status.st_mtime_ns))
    await trio.sleep(1)
    await users(providers)

    assert 3 == before == len(warnings)


async def test_a_content_that_comes_back_needs_no_reading_and_no_words(tmp_path: Path, autojump_clock) -> None:
    file = tmp_path / "a"
    file.write_text(payload("a"))
    warnings: list[str] = []
    providers = configured(file, warnings=warnings)
    file.rename(tmp_path / "aside")
    file.write_text("[]")
    await users(providers)

    (tmp_path / "aside").rename(file)
    await trio.sleep(1)
    found = await users(providers)
    (tmp_path / "next").write_text("[]")
    (tmp_path / "next").rename(file)
    await trio.sleep(1)

    assert ["a"] == found == await users(providers)
    assert 2 == len(warnings)


async def test_a_warning_about_an_entry_is_not_repeated_when_the_file_is_renewed(
    tmp_path: Path, autojump_clock
) -> None:
    file = tmp_path / "a"
    file.write_text('{"auths": {"a.test": 1}}')
    warnings: list[str] = []
    providers = configured(file, warnings=warnings)
    assert 1 == len(warnings)

    file.write_text('{"auths": {"a.test": 1, "b.test": 2, "quay.io": {"username": "u"}}}')

    assert ["u"] == await users(providers)
    assert ["a.test", "b.test"] == [warning.split('"')[1] for warning in warnings]


async def test_what_can_be_read_once_is_read_once(tmp_path: Path, autojump_clock) -> None:
    reading, writing = os.pipe()
    os.write(writing, payload("a").encode())
    os.close(writing)
    warnings: list[str] = []
    providers = configured(f"/proc/self/fd/{reading}", warnings=warnings)
    await trio.sleep(2)

    assert ["a"] == await users(providers)
    os.close(reading)
    await trio.sleep(1)
    assert ["a"] == await users(providers)
    assert 1 == len(warnings)
    (tmp_path / "another").write_text(payload("b"))
    number_is_used_again = os.open(tmp_path / "another", os.O_RDONLY)
    os.dup2(number_is_used_again, reading)
    await trio.sleep(1)
    assert ["a"] == await users(providers)
    for number in {number_is_used_again, reading}:
        os.close(number)


def test_a_secret_that_is_a_fifo_is_waited_for_by_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".dockerconfigjson")

    with pytest.raises(UsageError, match="cannot be read"):
        configured(str(tmp_path / ".dockerconfigjson"))


async def test_no_secret_shows_in_what_is_printed(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(payload("a", "b"))
    providers = configured(tmp_path / "a")

    assert SECRET in (await entries(providers))[0].auth.secrets
    assert SECRET not in repr([providers, await providers[0].get_credentials(IMAGE)])


def write(file: Path, content: bytes) -> None:
    file.write_bytes(content)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["auths", "auth", "username", "password", "identitytoken", "registrytoken", "quay.io"])
            | st.text(),
            inner,
            max_size=4,
        )
    ),
)
contents = st.binary() | st.one_of(
    json_values, st.dictionaries(st.text(), json_values).map(lambda auths: {"auths": auths})
).map(lambda value: json.dumps(value).encode())


@given(content=contents, renewed=contents, name=st.sampled_from(["x", ".dockercfg", ".dockerconfigjson"]))
async def test_any_content_is_read_or_refused_and_never_breaks_what_is_in_use(
    content: bytes, renewed: bytes, name: str
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, name)
        write(file, content)
        try:
            (provider,) = configured(file)
        except UsageError:
            return
        write(file, renewed)

        for image in ("quay.io/a", "nginx"):
            used = await entries([provider], ImageRef.parse(image))
            assert set(used) <= set((await provider.get_credentials(IMAGE)).entries)


keys = st.lists(
    st.sampled_from(["quay.io", "quay.io/team", "quay.io/team/app", "*.io", "q*.io", "docker.io", "index.docker.io"]),
    unique=True,
    min_size=1,
)


@given(data=st.data(), written=keys)
async def test_the_order_of_entries_in_a_file_changes_nothing(data: st.DataObject, written: list[str]) -> None:
    shuffled = data.draw(st.permutations(written))
    with tempfile.TemporaryDirectory() as directory:
        for name, order in {"a": written, "b": shuffled}.items():
            write(Path(directory, name), json.dumps({"auths": {key: {"username": key} for key in order}}).encode())
        (first,), (second,) = configured(f"{directory}/a"), configured(f"{directory}/b")

        for image in map(ImageRef.parse, ("quay.io/team/app", "quay.io/x", "nginx", "ghcr.io/x")):
            assert await entries([first], image) == await entries([second], image)
