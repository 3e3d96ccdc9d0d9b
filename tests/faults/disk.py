"""A disk that loses power: from what a traced command did to its files (FAULTS_RECORD, tests/faults/inject) the folder as
the next boot may find it, when only what was fsynced is certain to be there.

The rules are POSIX's, and stricter than most file systems: what is in a file is certain once an fsync of the file that
began after the write has ended; that a name is there, is gone or is another's, once an fsync of its folder has. What is
not certain is lost, or kept, or partly so, by a way of losing (`WAYS`).
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

NOTHING = "all that is not certain is lost"
NAMES = "the names are kept, and what is in the files is lost"  # a rename overtakes the data
DATA = "what is in the files is kept, and the names are lost"
ANYTHING = "chance decides of each"
WAYS = (NOTHING, NAMES, DATA, ANYTHING)

Keep = Callable[[str], bool]  # whether an operation that is not certain ('name' or 'data') is kept


class File:
    """What is in one file: the operations on it, and how many of them are certain."""

    def __init__(self, start: bytes = b"") -> None:
        self.start = start
        self.operations: list[tuple[int, bytes | None]] = []  # (offset, data), or (length, None) for a truncation
        self.certain = 0

    def contents(self, keep: Keep) -> bytes:
        data = bytearray(self.start)
        for number, (offset, new) in enumerate(self.operations):
            if number >= self.certain and not keep("data"):
                continue
            if new is None:
                data[offset:] = b"\0" * max(offset - len(data), 0)
            else:
                data += b"\0" * max(offset - len(data), 0)  # what was lost before it reads as zeros
                data[offset : offset + len(new)] = new
        return bytes(data)


class Folder:
    """The names in one folder: the operations on them, and how many of them are certain."""

    def __init__(self) -> None:
        self.start: dict[str, File | Folder | str] = {}  # a text is a symbolic link
        self.operations: list[dict[str, File | Folder | str | None]] = []  # what each name is after it; None: gone
        self.certain = 0

    def now(self) -> dict[str, File | Folder | str]:
        return self.names(lambda _: True)

    def names(self, keep: Keep) -> dict[str, File | Folder | str]:
        found: dict[str, File | Folder | str | None] = dict(self.start)
        for number, changes in enumerate(self.operations):
            if number < self.certain or keep("name"):
                found.update(changes)  # a rename is one operation: both names or neither
        return {name: it for name, it in found.items() if it is not None}


class Disk:
    """A folder as it was, and the events that came to it since."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.inodes: dict[int, File | Folder] = {}
        self.top = self._folder(root)
        self._syncing: dict[tuple[int, int], int] = {}

    def _folder(self, path: Path) -> Folder:
        """What is there before the trace begins, all of it certain."""
        folder = Folder()
        self.inodes[os.lstat(path).st_ino] = folder
        for entry in sorted(path.iterdir()):
            if entry.is_symlink():
                folder.start[entry.name] = os.readlink(entry)
            elif entry.is_dir():
                folder.start[entry.name] = self._folder(entry)
            elif entry.is_file():
                file = folder.start[entry.name] = File(entry.read_bytes())
                self.inodes[os.lstat(entry).st_ino] = file
        return folder

    # -- what happens

    def event(self, line: str) -> None:
        """Take in one line of the trace."""
        kind, *words = line.split("\t")
        if kind in ("write", "truncate", "syncing", "synced"):
            self._to_inode(kind, int(words[0]), words[1:])
        elif kind in ("open", "mkdir"):
            self._make(int(words[0]), words[1], Folder if kind == "mkdir" else File)
        elif kind in ("unlink", "remove", "rmdir"):
            self._name(words[1], None)
        elif kind in ("rename", "replace"):
            self._rename(words[1], words[2])
        elif kind not in ("spawn", "chmod"):
            raise AssertionError(f"an event that this model does not know: {line}")

    def _to_inode(self, kind: str, number: int, words: list[str]) -> None:
        inode = self.inodes.get(number)
        if inode is None:
            return  # a file without a name: it is gone with its process
        if kind == "syncing":
            self._syncing[number, int(words[0])] = len(inode.operations)
        elif kind == "synced":
            inode.certain = max(inode.certain, self._syncing.pop((number, int(words[0]))))
        elif isinstance(inode, File):
            if kind == "write":
                inode.operations.append((int(words[0]), bytes.fromhex(words[1])))
            else:
                inode.operations.append((int(words[0]), None))

    def _parent(self, path: str) -> tuple[Folder, str] | None:
        try:
            parts = Path(path).relative_to(self.root).parts
        except ValueError:
            return None  # outside of what is looked at
        folder = self.top
        for part in parts[:-1]:
            found = folder.now()[part]
            assert isinstance(found, Folder), path
            folder = found
        return folder, parts[-1]

    def _name(self, path: str, what: File | Folder | None) -> None:
        place = self._parent(path)
        if place is not None:
            place[0].operations.append({place[1]: what})

    def _make(self, number: int, path: str, kind: type[File] | type[Folder]) -> None:
        place = self._parent(path)
        if place is not None and place[1] not in place[0].now():
            made = self.inodes[number] = kind()
            place[0].operations.append({place[1]: made})

    def _rename(self, old: str, new: str) -> None:
        source, target = self._parent(old), self._parent(new)
        if source is None or target is None:
            raise AssertionError(f"a rename out of the folder: {old} to {new}")
        moved = source[0].now()[source[1]]
        if source[0] is target[0]:
            source[0].operations.append({source[1]: None, target[1]: moved})
        else:
            source[0].operations.append({source[1]: None})
            target[0].operations.append({target[1]: moved})

    # -- what is found

    def found(self, target: Path, way: str, seed: int = 0) -> None:
        """Make the folder `target` what the next boot finds."""
        chance = random.Random(seed)
        keep: dict[str, Keep] = {
            NOTHING: lambda _: False,
            NAMES: lambda what: what == "name",
            DATA: lambda what: what == "data",
            ANYTHING: lambda _: chance.random() < 0.5,
        }
        self._write(self.top, target, keep[way])

    def all(self, target: Path) -> None:
        """Make the folder what it is without a loss of power."""
        self._write(self.top, target, lambda _: True)

    def _write(self, folder: Folder, target: Path, keep: Keep) -> None:
        target.mkdir(parents=True)
        for name, what in folder.names(keep).items():
            if isinstance(what, Folder):
                self._write(what, target / name, keep)
            elif isinstance(what, File):
                (target / name).write_bytes(what.contents(keep))
            else:
                (target / name).symlink_to(what)
