"""A file system of its own, in memory, for what fills it or may not write to it."""

import shutil
import subprocess
from pathlib import Path

import pytest


class MemoryDisk:
    """A file system in memory. It goes with `unmount`, or with this process, however that ends.

    Args:
        folder: where; made.
        mebibytes: its size.
    """

    def __init__(self, folder: Path, mebibytes: int):
        self.folder = folder
        folder.mkdir()
        self._mount("-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs")
        # A run of tests that is killed would leave it mounted: this notices that our end is gone.
        self._unmounts = subprocess.Popen(
            ["sh", "-c", 'cat > /dev/null; umount --lazy "$0"', str(folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def _mount(self, *arguments):
        command = ["mount", *arguments, str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")

    def fill(self, leave=0):
        """Fills the disk but for some bytes."""
        free = shutil.disk_usage(self.folder).free - leave
        with (self.folder / "filler").open("wb") as file:
            file.write(bytes(max(free, 0)))

    def empty(self):
        (self.folder / "filler").unlink()

    def make_read_only(self):
        self._mount("-o", "remount,ro")

    def unmount(self):
        self._unmounts.communicate()
        assert self._unmounts.returncode == 0


def mounted_below(folder: Path) -> list[str]:
    """The places below a folder where file systems are mounted."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [place for _, place, *_ in map(str.split, lines) if Path(place).is_relative_to(folder)]
