"""Faults for the Python processes of a test, from outside: Python imports this by itself when its folder is on PYTHONPATH.

It does nothing unless FAULTS names a folder (tests/faults/harness.py makes it). Then the system calls by which a file,
a lock or a process changes are *points*: each is written to the folder's `trace` as `PID ROLE CALL WHAT`, and the fault
that the folder's `plan` asks for at one of them happens. A point is named by what it does and not by when, so that it
is the same one in every run: the n-th time that a process of this role makes this call on this file.

A line of the plan is KIND, WHEN, LABEL and N, with tabs between; the first line is due first, the second after it.
KIND is a victim of SIGKILL (`self`, `engine`: the process that was started, `pythons`: it and its forks, `commands`:
what they started, `everything`), `terminate` (SIGTERM to the engine), or an error (`ENOSPC`, `EIO`, `EROFS`), which
with a `+` fails from there on. WHEN is `before` or `after` the call, or when `half` of the bytes are written. The label
`*` is any point.

Only system calls and files are known here, nothing of what makes them. Nothing is imported that a command would not
have: what is under test must meet the modules that it brings itself.
"""

import builtins
import errno
import fcntl
import io
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

KILLS = ("self", "engine", "pythons", "commands", "everything")
# What fails on a full disk; what only shrinks, renames or locks goes on.
NEEDS_SPACE = ("write", "pwrite", "writev", "create", "mkdir", "fsync", "fdatasync", "sendfile", "copy_file_range")
# What a call says instead of the error of a disk.
OWN_ERROR = {"flock": errno.ENOLCK, "fork": errno.EAGAIN, "posix_spawn": errno.EAGAIN}
_NO_ERROR = ("send",)  # a pipe knows no full disk

_open, _write, _close, _read, _stat = os.open, os.write, os.close, os.read, os.stat
_readlink, _kill, _getpid, _flock, _ftruncate = os.readlink, os.kill, os.getpid, fcntl.flock, os.ftruncate
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


class Layer:
    """The faults of one process."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.root = os.environ["FAULTS_ROOT"]  # only what lies in it is a point
        self.record = os.environ.get("FAULTS_RECORD") == "1"  # keep the bytes too, for tests/faults/disk.py
        self.role = os.path.basename(sys.orig_argv[1] if len(sys.orig_argv) > 1 else "python").removeprefix("colony-")
        if "--finish" in sys.orig_argv:
            self.role += "/finish"
        self.witness = os.environ.get("FAULTS_WITNESS")
        with open(os.path.join(folder, "plan")) as file:
            self.plan = [line.split("\t") for line in file.read().splitlines()]
        self.next_error = 0  # of the write after one that was cut short
        if self.role == "workflow" or not os.path.exists(os.path.join(folder, "engine")):
            with open(os.path.join(folder, "engine"), "w") as file:
                file.write(str(_getpid()))
        self.note("pids", str(_getpid()))

    # -- the folder

    def note(self, name: str, line: str) -> None:
        """Append the line to a file of the folder. Nothing is kept open: a worker closes what it does not know."""
        fd = _open(os.path.join(self.folder, name), _APPEND, 0o666)
        try:
            _write(fd, line.encode("utf-8", "surrogateescape") + b"\n")
        finally:
            _close(fd)

    def event(self, line: str) -> None:
        """Keep for the model of a disk what has reached the files; before it, how long the witness's file is now."""
        size = os.stat(self.witness).st_size if self.witness else 0
        self.note("disk", f"{size}\t{line}")

    def text(self, name: str) -> str:
        try:
            fd = _open(os.path.join(self.folder, name), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return ""
        try:
            return _read(fd, 1 << 20).decode()
        finally:
            _close(fd)

    def _due(self, label: str) -> "list[str] | None":
        """The fault that is due at this point, which so is used up."""
        number = self.text("fired").count("\n")
        if number >= len(self.plan):
            return None
        kind, when, wanted, count = self.plan[number]
        if wanted not in ("*", label) or (wanted == "*" and not takes(label, kind, when)):
            return None
        lock = _open(os.path.join(self.folder, "counting"), _APPEND, 0o666)
        try:
            _flock(lock, fcntl.LOCK_EX)
            if self.text("fired").count("\n") != number:
                return None  # another process was quicker
            _write(lock, b"x")
            if os.fstat(lock).st_size < int(count):
                return None
            _ftruncate(lock, 0)
            self.note("fired", f"{kind} {when} {label}")
            if kind.endswith("+"):
                self.note("standing", kind[:-1])
        finally:
            _close(lock)
        return [kind, when]

    def standing(self, call: str) -> int:
        """The errno with which every such call fails now; 0 when it does not."""
        name = self.text("standing").rpartition("\n")[0].rpartition("\n")[2]  # of several the last
        if not name or call in _NO_ERROR or call in OWN_ERROR or (name == "ENOSPC" and call not in NEEDS_SPACE):
            return 0
        return int(getattr(errno, name))

    # -- a point

    def at(
        self, call: str, what: str, act: "Callable[[], Any]", half: "Callable[[], Any] | None" = None, path: "Any" = None
    ) -> "Any":
        """Do the call, or what is to happen instead; `path` is what the call's own error would name."""
        label = f"{self.role} {call} {what}"
        self.note("trace", f"{_getpid()} {label}")
        error, self.next_error = self.next_error, 0
        error = error or self.standing(call)
        if error:
            raise OSError(error, os.strerror(error), path)
        due = self._due(label)
        if due is None:
            return act()
        kind, when = due
        if kind not in KILLS and kind != "terminate":
            number = OWN_ERROR.get(call) or int(getattr(errno, kind.rstrip("+")))
            if when == "half" and half is not None:
                self.next_error = number
                return half()
            raise OSError(number, os.strerror(number), path)
        if when == "half" and half is not None:
            half()
        if when != "after":
            self.strike(kind)
            return act()
        process = _getpid()
        result = act()
        if _getpid() == process:  # and not the child of a fork
            self.strike(kind)
        return result

    def strike(self, kind: str) -> None:
        me = _getpid()
        alive = self._marked()
        if kind == "self":
            victims = [me]
        elif kind in ("engine", "terminate"):
            victims = [pid for pid in alive if pid == int(self.text("engine"))]
        elif kind == "everything":
            victims = alive
        else:
            pythons = {int(pid) for pid in self.text("pids").split()}
            victims = [pid for pid in alive if (pid in pythons) == (kind == "pythons")]
        number = 15 if kind == "terminate" else 9
        struck: set[int] = set()
        while victims:
            for pid in sorted(victims, key=lambda pid: pid == me):  # ourselves last
                struck.add(pid)
                try:
                    _kill(pid, number)
                except ProcessLookupError:
                    continue
            # What was being started meanwhile dies too.
            victims = [pid for pid in self._marked() if pid not in struck] if kind == "everything" else []

    def _marked(self) -> "list[int]":
        """The live processes that have FAULTS in their environment as we do."""
        mark = f"FAULTS={self.folder}".encode()
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    fd = _open(f"/proc/{name}/environ", os.O_RDONLY | os.O_CLOEXEC)
                except OSError:
                    continue
                try:
                    if mark in _read(fd, 1 << 20).split(b"\0"):
                        found.append(int(name))
                except OSError:
                    continue  # it has just ended
                finally:
                    _close(fd)
        return found

    # -- names

    def shown(self, path: "str | bytes | os.PathLike[str]", folder: "int | None" = None) -> "str | None":
        """The path under the root, the same in every run; None when it lies elsewhere."""
        text = os.fsdecode(path)
        if folder is not None:
            text = os.path.join(_readlink(f"/proc/self/fd/{folder}"), text)
        text = os.path.abspath(text)
        if text != self.root and not text.startswith(self.root + os.sep):
            return None
        parts = text[len(self.root) + 1 :].split(os.sep)
        if parts[0] == "tmp":
            parts = ["tmp", *("TMP" if len(part) == 8 else part for part in parts[1:2]), *parts[2:]]
        return os.sep.join(_steady(part) for part in parts) or "."

    def shown_fd(self, fd: int) -> "str | None":
        try:
            path = _readlink(f"/proc/self/fd/{fd}")
        except (OSError, TypeError):
            return None
        return "pipe" if path.startswith("pipe:") else self.shown(path)


def takes(label: str, kind: str, when: str) -> bool:
    """Whether a fault of this kind can happen at such a point."""
    call = label.split(" ")[1]
    if when == "half" and call not in ("write", "pwrite", "send"):
        return False
    return kind in KILLS or kind == "terminate" or call not in _NO_ERROR


def _steady(part: str) -> str:
    """The name without what is chance in it: run ids, processes, random letters."""
    if part.startswith("#") and part.endswith(" (deleted)"):
        return "(nameless)"
    if part.endswith(".tmp") and part.startswith("."):
        return ".".join(part.split(".")[:-3]) + ".tmp"
    if len(part) >= 22 and part[0] == "r" and part[1:9].isdigit() and part[9] == part[16] == "-":
        return "RUN"
    return "TMP" if part.startswith("colony-") and "." not in part else part


def _install(layer: Layer) -> None:
    def by_fd(module: "Any", name: str, data: bool = False) -> None:
        real = getattr(module, name)

        def call(fd: "Any", *rest: "Any") -> "Any":
            number = fd if isinstance(fd, int) else fd.fileno()
            what = layer.shown_fd(number)
            if what is None:
                return real(fd, *rest)

            def half() -> "Any":
                whole = memoryview(rest[0])
                return real(fd, whole[: len(whole) // 2], *rest[1:])

            if what == "pipe":  # what the processes tell each other
                return layer.at("send", what, lambda: real(fd, *rest), half if data else None) if data else real(fd, *rest)
            before = os.fstat(number).st_size if layer.record else 0
            if layer.record and name in ("fsync", "fdatasync"):
                # It makes durable what was written before it began, and says so when it ends.
                layer.event(f"syncing\t{os.fstat(number).st_ino}\t{_getpid()}")
            result = layer.at(name, what, lambda: real(fd, *rest), half if data else None)
            if layer.record:
                _recorded(layer, name, number, before, rest, result)
            return result

        setattr(module, name, call)

    def by_path(name: str, paths: int = 1) -> None:
        real = getattr(os, name)

        def call(*args: "Any", **more: "Any") -> "Any":
            what = layer.shown(args[paths - 1], more.get("dir_fd")) if isinstance(args[0], (str, bytes, os.PathLike)) else None
            if what is None:
                return real(*args, **more)
            inode = _inode(args[0], more.get("dir_fd")) if layer.record else 0
            result = layer.at(name, what, lambda: real(*args, **more), path=args[0])
            if layer.record:
                inode = inode or _inode(args[0], more.get("dir_fd"))
                layer.event("\t".join([name, str(inode), *(_at(path, more.get("dir_fd")) for path in args[:paths])]))
            return result

        setattr(os, name, call)

    real_open = os.open

    def open_(path: "Any", flags: int, *rest: "Any", **more: "Any") -> int:
        nameless = flags & os.O_TMPFILE == os.O_TMPFILE
        if not flags & os.O_CREAT and not nameless:
            return real_open(path, flags, *rest, **more)
        what = layer.shown(path, more.get("dir_fd"))
        if what is None:
            return real_open(path, flags, *rest, **more)
        new = nameless or not os.path.lexists(path)
        what += "/(nameless)" if nameless else ""
        fd: int = layer.at("create" if new else "open", what, lambda: real_open(path, flags, *rest, **more), path=path)
        if layer.record and not nameless:
            layer.event("\t".join(["open", str(os.fstat(fd).st_ino), _at(path, more.get("dir_fd"))]))
        return fd

    def open_file(path: "Any", mode: str = "r", *rest: "Any", **more: "Any") -> "Any":
        what = layer.shown(path) if isinstance(path, (str, bytes, os.PathLike)) and set(mode) & set("wax+") else None
        if what is None:
            return real_file(path, mode, *rest, **more)
        return layer.at("create", what, lambda: real_file(path, mode, *rest, **more), path=path)

    real_file = builtins.open
    os.open = open_  # type: ignore[assignment]
    builtins.open = io.open = open_file  # type: ignore[assignment]
    for name in ("write", "pwrite"):
        by_fd(os, name, data=True)
    for name in ("writev", "ftruncate", "fsync", "fdatasync", "fchmod", "posix_fallocate"):
        by_fd(os, name)
    by_fd(fcntl, "flock")
    for name in ("unlink", "remove", "rmdir", "mkdir", "truncate", "chmod"):
        by_path(name)
    for name in ("rename", "replace", "link", "symlink"):
        by_path(name, paths=2)

    real_fork, real_spawn = os.fork, os.posix_spawn

    def fork() -> int:
        pid: int = layer.at("fork", "-", real_fork)
        if pid == 0:
            layer.role += "/fork"
            layer.note("pids", str(_getpid()))
        return pid

    def spawn(path: "Any", argv: "Any", env: "Any", **more: "Any") -> int:
        what = f"step {env['COLONY_STEP']} {env.get('COLONY_BATCH_ID', '')}" if "COLONY_STEP" in env else str(path)
        if layer.record:
            layer.event(f"spawn\t{what}")
        pid: int = layer.at("posix_spawn", what, lambda: real_spawn(path, argv, env, **more))
        return pid

    os.fork = fork
    os.posix_spawn = spawn


# -- the record of what reached the files, for the model of a disk that loses power


def _at(path: "Any", folder: "int | None") -> str:
    text = os.fsdecode(path)
    return os.path.abspath(text if folder is None else os.path.join(_readlink(f"/proc/self/fd/{folder}"), text))


def _inode(path: "Any", folder: "int | None" = None) -> int:
    try:
        return os.lstat(_at(path, folder)).st_ino
    except OSError:
        return 0


def _recorded(layer: Layer, name: str, fd: int, before: int, rest: "Any", result: "Any") -> None:
    inode = str(os.fstat(fd).st_ino)
    if name in ("write", "pwrite"):
        if name == "pwrite":
            offset = rest[1]
        elif fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND:
            offset = before
        else:
            offset = os.lseek(fd, 0, os.SEEK_CUR) - result
        layer.event(f"write\t{inode}\t{offset}\t{bytes(memoryview(rest[0])[:result]).hex()}")
    elif name == "ftruncate":
        layer.event(f"truncate\t{inode}\t{rest[0]}")
    elif name in ("fsync", "fdatasync"):
        layer.event(f"synced\t{inode}\t{_getpid()}")


if os.environ.get("FAULTS"):
    _install(Layer(os.environ["FAULTS"]))
