"""File systems of a fixed size, so that a full disk is a real one."""

import os
import subprocess
from pathlib import Path

BALLAST = "ballast"


class SmallDisk:
    """A tmpfs on a folder. Root mounts it; CI and containers may forbid that."""

    def __init__(self, folder: Path, size_mib: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        _mount(["mount", "-t", "tmpfs", "-o", f"size={size_mib}m,mode=700", "tmpfs", str(folder)])

    def fill(self) -> None:
        """Leave not one free byte."""
        with (self.folder / BALLAST).open("ab", buffering=0) as file:
            for piece_bytes in (1 << 20, 4096, 1):
                while True:
                    try:
                        file.write(bytes(piece_bytes))
                    except OSError:
                        break
        assert self.free_bytes() == 0

    def free(self) -> None:
        (self.folder / BALLAST).unlink(missing_ok=True)
        assert self.free_bytes() > 0

    def free_bytes(self) -> int:
        status = os.statvfs(self.folder)
        return status.f_bavail * status.f_frsize

    def make_read_only(self) -> None:
        _mount(["mount", "-o", "remount,ro", str(self.folder)])

    def make_writable(self) -> None:
        _mount(["mount", "-o", "remount,rw", str(self.folder)])

    def close(self) -> None:
        """Unmount, even if something still has a file open there."""
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True, timeout=20)


def _mount(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, (
        f"`{' '.join(command)}` failed: {done.stderr.strip()}\nThis test needs to mount a small "
        "tmpfs. Run the tests as root, or in a user namespace of their own:\n"
        "  unshare --map-root-user --mount .venv/bin/pytest tests/faults/test_disk_full.py"
    )
