"""Where the file system of images is, as the runtime and the kernel tell it."""

import math
from pathlib import PurePosixPath

import pytest
import trio

from nodeprefetch.events import Event, Notice
from nodeprefetch.pull.disk import open_disk_guard
from nodeprefetch.pull.disk_space import NotVisibleError, image_directory, root_layer, space_at
from nodeprefetch.runtime.api import ImageFilesystem
from nodeprefetch.runtime.errors import RuntimeFaultError
from nodeprefetch.testing import FakeImageService
from nodeprefetch.values.sizes import DiskFloor


async def guard_of(service: FakeImageService, path: str | None = None) -> list[Notice]:
    told: list[Event] = []
    await open_disk_guard(DiskFloor(percent=5), path, service=service, images=[], emit=told.append)
    return [event for event in told if isinstance(event, Notice)]


class Keeping(FakeImageService):
    def __init__(self, *mountpoints: str) -> None:
        super().__init__()
        self.mountpoints = mountpoints

    async def image_fs_info(self):
        await self._enter("image_fs_info")
        return [ImageFilesystem(mountpoint=one) for one in self.mountpoints]


async def test_the_file_system_is_where_the_runtime_says(tmp_path):
    (notice,) = await guard_of(Keeping("", "/nowhere/at/all", str(tmp_path)))

    assert not notice.is_warning
    assert f"free at {tmp_path}, keeping 5% free" in notice.message


async def test_the_file_system_is_where_the_user_says(tmp_path):
    (notice,) = await guard_of(Keeping("/nowhere/at/all"), str(tmp_path))

    assert f"at {tmp_path}," in notice.message


async def test_one_that_is_not_to_be_seen_is_told_once():
    (notice,) = await guard_of(FakeImageService())

    assert notice.is_warning
    assert (
        "--min-free-disk disabled: the runtime's image directory /var/lib/fake is not visible here; "
        "mount the directory and set --image-fs-path"
    ) == notice.message


@pytest.mark.parametrize("mountpoints", [(), ("",)])
async def test_a_runtime_that_does_not_say_is_told(mountpoints):
    (notice,) = await guard_of(Keeping(*mountpoints))

    assert "the runtime does not report its image directory;" in notice.message


async def test_a_runtime_that_fails_is_told():
    service = FakeImageService(gone=RuntimeFaultError.gone("connection refused"))

    (notice,) = await guard_of(service)

    assert "does not report its image directory (connection refused)" in notice.message


async def test_a_runtime_that_does_not_answer_is_not_waited_for(autojump_clock):
    class Silent(FakeImageService):
        async def image_fs_info(self):
            await trio.sleep(math.inf)

    (notice,) = await guard_of(Silent())

    assert "(no answer in 5s)" in notice.message
    assert 5 == trio.current_time()


async def test_a_path_that_has_gone_is_told():
    (notice,) = await guard_of(FakeImageService(), "/nowhere/at/all")

    assert "No such file or directory: '/nowhere/at/all'" in notice.message


async def test_without_the_flag_nobody_is_asked():
    service = FakeImageService()
    told: list[Event] = []

    await open_disk_guard(None, None, service=service, images=[], emit=told.append)

    assert ([], []) == (told, service.asked)


MOUNTINFO = """\
1 2 8:1 / / rw,relatime - ext4 /dev/sda1 rw
73 48 0:40 / / ro,relatime - overlay overlay rw,lowerdir=/a:/b,upperdir=/data/containerd/snapshotter/2/fs,workdir=/w
74 73 0:41 / /proc rw,nosuid - proc proc rw
75 73 0:42 / /var rw - overlay overlay rw,lowerdir=/a,upperdir=/elsewhere,workdir=/w
"""


def test_the_layer_of_our_root_is_read_from_the_last_mount_there():
    assert PurePosixPath("/data/containerd/snapshotter/2/fs") == root_layer(MOUNTINFO)


@pytest.mark.parametrize(
    "mountinfo",
    [
        "",
        "odd\n",
        "1 2 8:1 / / rw - ext4 /dev/sda1 rw\n",
        MOUNTINFO + "9 2 8:1 / / rw - ext4 /dev/sda1 rw\n",
        "1 2 0:4 / / ro - overlay overlay ro,lowerdir=/a:/b\n",
    ],
)
def test_a_root_that_is_no_overlay_has_no_layer(mountinfo):
    assert root_layer(mountinfo) is None


async def test_in_a_container_of_that_runtime_our_own_root_is_on_the_file_system_of_images(tmp_path):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTINFO)

    assert "/" == await image_directory(Keeping("/data/containerd/images"), mounts)


@pytest.mark.parametrize("mountpoint", ["/data/containerd2/images", "/data/other/images"])
async def test_in_a_container_made_elsewhere_it_is_not(tmp_path, mountpoint):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTINFO)

    with pytest.raises(NotVisibleError, match="is not visible here"):
        await image_directory(Keeping(mountpoint), mounts)


async def test_mounts_that_cannot_be_read_are_none(tmp_path):
    with pytest.raises(NotVisibleError, match="is not visible here"):
        await image_directory(Keeping("/data/containerd/images"), tmp_path / "none")


async def test_our_own_root_is_told_by_what_it_is():
    (notice,) = await guard_of(FakeImageService(), "/")

    assert "free at the root of this container, keeping 5% free" in notice.message


def test_what_is_free_is_what_the_kernel_says(tmp_path):
    space = space_at(str(tmp_path))

    assert 0 < space.free <= space.total
