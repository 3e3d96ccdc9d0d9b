"""store/mounts.py: on which file system a path lies, and between whom its locks hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from colony_lib.store import mounts


@pytest.mark.parametrize(
    ("kind", "options", "reach"),
    [
        ("ext4", "rw,relatime", "local"),
        ("tmpfs", "rw", "local"),
        ("nfs4", "rw,vers=4.2,local_lock=none", "shared"),
        ("nfs4", "rw,local_lock=flock", "alone"),
        ("nfs", "rw,vers=3,local_lock=none", "shared"),
        ("nfs", "rw,vers=3,nolock,local_lock=all", "alone"),
        ("nfs", "rw,vers=3,local_lock=posix", "shared"),
        ("lustre", "rw,flock", "shared"),
        ("lustre", "rw,localflock", "alone"),
        ("lustre", "rw", "none"),
        ("cifs", "rw,nobrl", "alone"),
        ("ceph", "rw", "shared"),
        ("fuse.sshfs", "rw", "alone"),
        ("fuse.unheard-of", "rw", "alone"),
    ],
)
def test_how_far_locks_reach_is_told_by_type_and_options(kind: str, options: str, reach: str) -> None:
    assert mounts.locking(kind, options.split(","))[0] == reach


def test_the_innermost_mount_counts_and_of_two_at_one_place_the_later(tmp_path: Path) -> None:
    inner = tmp_path / "with space"
    (inner / "colony").mkdir(parents=True)
    (tmp_path / "with spaces").mkdir()
    spelled = str(inner).replace(" ", "\\040")
    table = tmp_path / "mounts"
    lines = ["/dev/a / ext4 rw 0 0", f"s:/x {spelled} nfs rw,nolock 0 0", f"s:/y {spelled} nfs4 rw,hard 0 0"]
    table.write_text("\n".join(lines) + "\n")
    assert mounts.of(str(inner / "colony"), str(table)) == ("nfs4", str(inner), ["rw", "hard"])
    assert mounts.of(str(tmp_path / "with spaces"), str(table)) == ("ext4", "/", ["rw"])


def test_without_a_table_of_mounts_nothing_is_claimed(tmp_path: Path) -> None:
    assert mounts.of(str(tmp_path), str(tmp_path / "none")) is None
