import pytest
from nodeprefetch.credentials import ImageRef, UsageError
from nodeprefetch.testing import CredentialProviderContract

from nodeprefetch_netrc import NetrcProvider, make_provider

PASSWORD = "pa55word-of-a-robot"


class TestNetrc(CredentialProviderContract):
    factory = make_provider
    known_image = "registry.example.com/team/app"
    unknown_image = "other.example.com/team/app"
    secrets = (PASSWORD,)

    def options(self, directory):
        file = directory / "netrc"
        file.write_text(f"machine registry.example.com login robot password {PASSWORD}\n")
        return {"file": str(file)}


def found(file, image):
    entries = NetrcProvider(str(file)).get_credentials(ImageRef.parse(image)).entries
    return [(entry.key, entry.auth.username, entry.auth.password) for entry in entries]


def test_a_machine_with_a_port_comes_before_one_without(tmp_path):
    file = tmp_path / "netrc"
    file.write_text("machine a.test login x password 1\nmachine a.test:5000 login y password 2\n")

    assert [("a.test:5000", "y", "2")] == found(file, "a.test:5000/app")
    assert [("a.test:5001", "x", "1")] == found(file, "a.test:5001/app")
    assert [("a.test", "x", "1")] == found(file, "a.test/app:1")


def test_no_registry_is_the_default_one(tmp_path):
    file = tmp_path / "netrc"
    file.write_text("default login x password 1\n")

    assert [] == found(file, "a.test/app")


def test_a_file_replaced_is_read_again(tmp_path):
    file = tmp_path / "netrc"
    file.write_text("")
    provider = NetrcProvider(str(file))
    file.write_text("machine docker.io login x password 1\n")

    assert 1 == len(provider.get_credentials(ImageRef.parse("nginx")).entries)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (f"machine a.test {PASSWORD}".encode(), "is not a valid netrc file (near line 1)"),
        (b"\xff", "is not valid UTF-8"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_bad_file_is_said_at_once_and_not_quoted(tmp_path, content, problem):
    file = tmp_path / "netrc"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(UsageError) as caught:
        NetrcProvider(str(file))

    assert f"netrc file {file}: {problem}" == str(caught.value)
    assert caught.value.__cause__ is None
