"""Says between whom the locks of the file system on which a path lies hold, from the kernel's table of mounts."""

from __future__ import annotations

import os
import re

TABLE = "/proc/self/mounts"
# Locks taken with flock(2) there hold between all machines that have it mounted.
_SHARED = {"ceph", "gfs2", "gpfs", "ocfs2", "fuse.glusterfs"}
# Locks hold between the processes of one machine at most, whatever the options: others have the files, not the locks.
_ALONE = {"fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone", "fuse.goofys", "fuse.mount-s3", "vboxsf", "9p"}


def of(path: str, table: str = TABLE) -> tuple[str, str, list[str]] | None:
    """(type, mount point, options) of the file system on which `path` lies; None when the table does not say or
    cannot be read. Of two mounted at one place the later counts: it hides the other."""
    try:
        with open(table, encoding="utf-8", errors="surrogateescape") as lines:
            mounts = [line.split() for line in lines]
    except OSError:
        return None
    path = os.path.realpath(path)
    found: tuple[str, str, list[str]] | None = None
    for words in mounts:
        if len(words) < 4:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), words[1])
        is_above = path == point or path.startswith(point.rstrip("/") + "/")
        if is_above and (found is None or len(point) >= len(found[1])):
            found = words[2], point, words[3].split(",")
    return found


def locking(kind: str, options: list[str]) -> tuple[str, str]:
    """How far flock(2) reaches on a file system of that type: ('shared' | 'local' | 'alone' | 'none', why).

    shared: between machines. local: a file system of one machine. alone: other machines have the files and not the
    locks. none: no locks at all.
    """
    given = {name: value for name, _, value in (option.partition("=") for option in options)}
    if kind in ("nfs", "nfs4"):
        if kind == "nfs" and "nolock" in given:
            return "alone", "mounted with 'nolock'"
        if given.get("local_lock") in ("flock", "all"):
            return "alone", f"mounted with 'local_lock={given['local_lock']}'"
        return "shared", "the server keeps the locks"
    if kind == "lustre":
        if "localflock" in given:
            return "alone", "mounted with 'localflock'"
        return ("shared", "mounted with 'flock'") if "flock" in given else ("none", "mounted without 'flock'")
    if kind in ("cifs", "smb3"):
        return ("alone", "mounted with 'nobrl'") if "nobrl" in given else ("shared", "the server keeps the locks")
    if kind in _ALONE:
        return "alone", "it keeps no locks between machines"
    if kind in _SHARED:
        return "shared", "its machines share the locks"
    if kind.startswith("fuse."):
        return "alone", "it is not known to keep locks between machines"
    return "local", "of this machine"
