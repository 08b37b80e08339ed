"""Image lists and plugin options are read and validated."""

import io
import os
import sys

import pytest

from nodeprefetch.cli.flags import CredentialFlags
from nodeprefetch.cli.inputs import plugin_options, plugin_order, read_images
from nodeprefetch.errors import Problems, UsageError


def test_lists_come_first_then_arguments_each_image_once(tmp_path):
    (tmp_path / "one").write_text("b:1\nnginx:1\n")
    (tmp_path / "two").write_text("c:1 # the third\ndocker.io/library/nginx:1\n")

    images = read_images([str(tmp_path / "one"), str(tmp_path / "two")], ["a:1", "b:1"])

    assert ["b:1", "nginx:1", "c:1", "a:1"] == [image.text for image in images]


def test_a_dash_is_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a:1\r\n")))

    assert ["a:1"] == [image.text for image in read_images(["-"], [])]


def test_the_problems_of_all_lists_are_reported_at_once(tmp_path):
    (tmp_path / "one").write_text("ok:1\nBAD\n")

    with pytest.raises(UsageError) as caught:
        read_images([str(tmp_path / "one"), str(tmp_path / "none"), str(tmp_path)], ["also bad"])

    one, none, folder, argument = caught.value.problems
    assert one.startswith(f"{tmp_path}/one:2: ")
    assert f"{tmp_path}/none: cannot be read: No such file or directory" == none
    assert f"{tmp_path}: cannot be read: Is a directory" == folder
    assert argument.startswith("argument 1: ")


def test_a_path_with_a_nul_byte_is_an_error():
    with pytest.raises(UsageError, match="must not contain a NUL byte"):
        read_images(["a\0b"], [])


@pytest.mark.parametrize("text", ["", "\n# nothing\n"])
def test_a_list_without_an_image_is_an_error(tmp_path, text):
    (tmp_path / "list").write_text(text)

    with pytest.raises(UsageError, match="list contains no images; pass them as arguments or with --image-list-file"):
        read_images([str(tmp_path / "list")], [])


def test_no_image_at_all_is_an_error():
    with pytest.raises(UsageError, match="no images given"):
        read_images([], [])


def test_flags_that_stand_for_an_option_reach_their_plugin():
    flags = CredentialFlags(
        docker_config=("/a", "/b"),
        image_credential_provider_config="/etc/config.yaml",
        image_credential_provider_bin_dir="/bin",
        credential_option=("netrc.file=/n", "kubelet.token-file=a=/t"),
    )

    assert {
        "pull-secrets": {"config": ("/a", "/b")},
        "kubelet": {"config": ("/etc/config.yaml",), "bin-dir": ("/bin",), "token-file": ("a=/t",)},
        "netrc": {"file": ("/n",)},
    } == plugin_options(flags)


def test_an_option_may_be_repeated():
    assert {"x": {"k": ("1", "2")}} == plugin_options(CredentialFlags(credential_option=("x.k=1", "x.k=2")))


def test_an_invalid_option_is_reported_by_number_as_it_may_be_a_secret():
    with pytest.raises(UsageError) as caught:
        plugin_options(CredentialFlags(credential_option=("x.k=1", "hunter2", "x=hunter2", ".k=hunter2")))

    assert [
        "--credential-option number 2: must be NAME.KEY=VALUE",
        "--credential-option number 3: must be NAME.KEY=VALUE",
        "--credential-option number 4: must be NAME.KEY=VALUE",
    ] == list(caught.value.problems)


def test_the_order_of_plugins_is_a_list_with_commas():
    assert ("b", "a") == plugin_order(CredentialFlags(credential_order="b, a,,b"))
    assert () == plugin_order(CredentialFlags())


def test_problems_of_several_parts_are_raised_together():
    problems = Problems()
    with problems.collected():
        raise UsageError(["one", "two"])
    problems.add("three")

    with pytest.raises(UsageError) as caught:
        problems.raise_if_any()

    assert ("one", "two", "three") == caught.value.problems


def test_no_problems_raise_nothing():
    Problems().raise_if_any()


def test_a_list_that_is_a_fifo_is_an_error(tmp_path):
    os.mkfifo(tmp_path / "list")

    with pytest.raises(UsageError, match="list: cannot be read: "):
        read_images([str(tmp_path / "list")], [])


def test_a_list_may_be_a_pipe_that_a_shell_hands_over():
    reading, writing = os.pipe()
    os.write(writing, b"a:1")
    os.close(writing)

    assert ["a:1"] == [image.text for image in read_images([f"/dev/fd/{reading}"], [])]
    os.close(reading)
