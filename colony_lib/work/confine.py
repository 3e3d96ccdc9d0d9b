"""What the process of an agent's tool may do: which folders it may write and read, and whether it has the network."""

from __future__ import annotations

import os
import sys

from colony_lib.base import files, landlock, seal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# What commands of Colony write when a tool calls them. Runs, workflows and what was spent are the engine's alone.
_STORES = ("state", "messages", "metrics", "logs", "lineage", "agents")
_SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix", "/snap", "/proc", "/sys",
    "/run/systemd/resolve",
)  # fmt: skip
# Not the whole of /dev: for a root user the disks are in it.
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/random", "/dev/urandom")
_LIBRARY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# What a tool does not write, even where a folder that it may write holds it.
_PROTECTED = (".colony", ".git", "colony.yml", "pipeline.yml")


class Bounds:
    """What a process may do, all paths absolute: `write` and `read` (None: everything may be read) name folders, with
    all below them, and files; in `keep` files may be made and written, but not removed or renamed; of `look` only the
    names may be read."""

    __slots__ = ("keep", "look", "network", "read", "write")

    def __init__(
        self, *, write: list[str], read: list[str] | None, network: bool, keep: list[str] | None = None,
        look: list[str] | None = None,
    ) -> None:  # fmt: skip
        self.write = write
        self.read = read
        self.network = network
        self.keep = keep or []
        self.look = look or []

    def rules(self) -> list[tuple[str, int]]:
        """The same for base.landlock."""
        return [
            *((path, landlock.READ) for path in (["/"] if self.read is None else self.read)),
            *((path, landlock.LIST) for path in self.look),
            *((path, landlock.KEEP) for path in self.keep),
            *((path, landlock.WRITE) for path in self.write),
        ]


def abi() -> int:
    """The version of Landlock that this kernel has; 0 where it has none."""
    return landlock.abi()


def hide_ourselves() -> None:
    """No process of the same user reads our environment or memory from now on: the API key is there."""
    seal.not_dumpable()


def bounds(
    *, root: str, folder: str, shared: list[str], scratch: str, more_writes: list[str], network: bool,
    env_file: str | None,
) -> Bounds:  # fmt: skip
    """The bounds of a step's tools: they write in the agent's `folder` when that is a worktree, in the shared folders
    (relative to the root), in `scratch` and in `more_writes` (absolute); they read the system, Colony, and the
    colony but for its secrets."""
    colony = os.path.join(root, ".colony")
    locks = os.path.join(colony, "locks")
    stores = [os.path.join(colony, name) for name in _STORES]
    if os.path.isdir(os.path.join(stores[0], ".git")):
        del stores[0]  # a repository of its own, whose settings name programs that git runs (store/git.py)
    for path in (*stores, locks):
        if not os.path.isdir(path):
            files.make_dirs(path)
    secret = _secrets(root, env_file)
    wanted = [os.path.join(root, path) for path in shared] + more_writes
    guarded = [os.path.realpath(os.path.join(root, name)) for name in _PROTECTED] + secret
    own = [] if os.path.realpath(folder) == os.path.realpath(root) else [folder]
    write = [scratch, *stores, *own]
    for path in _outermost(wanted):
        write += _all_but(path, guarded)
    readable = [*_SYSTEM, sys.prefix, sys.base_prefix, _LIBRARY, root, *own, scratch]
    read = [found for path in readable for found in _all_but(path, secret)]
    look = [root, _LIBRARY]  # Python lists the folder from which it imports
    return Bounds(write=[*write, *_DEVICES], read=[*read, *_DEVICES], network=network, keep=[locks], look=look)


def _secrets(root: str, env_file: str | None) -> list[str]:
    """What of the colony no tool reads: its env_file (and what that leads to), and repositories with their settings."""
    paths = [os.path.join(root, ".git"), os.path.join(_LIBRARY, ".git")]
    if env_file:
        paths.append(os.path.join(root, os.path.expanduser(env_file)))
    return list({place for path in paths for place in (os.path.abspath(path), os.path.realpath(path))})


def _outermost(paths: list[str]) -> Iterator[str]:
    """Those of the paths that lie in none of the others: below a folder that it may write a tool can lay a link, and
    we would follow it."""
    kept: list[str] = []
    for path in sorted({os.path.abspath(path) for path in paths}, key=len):
        if not any(_is_in(path, other) for other in kept):
            kept.append(path)
            yield path


def _all_but(path: str, hidden: list[str]) -> Iterator[str]:
    """The path, or where something hidden lies in it, what else is there, one by one."""
    real = os.path.realpath(path)
    if any(_is_in(real, each) for each in hidden):
        return
    if not any(_is_in(each, real) for each in hidden):
        yield real
        return
    try:
        names = os.listdir(real)
    except OSError:
        return  # it cannot be read by anybody then
    for name in names:
        yield from _all_but(os.path.join(real, name), hidden)


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
