"""The one exception that reaches people, and the exit statuses, spelled once."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

OK = 0
FAILED = 1  # the thing itself failed, or was not found
USAGE = 2  # wrong usage, wrong configuration, bad input
BUG = 70
BUSY = 75  # a lock or a limit is in the way; the same command may work later
INTERRUPTED = 130
TERMINATED = 143


class ColonyError(Exception):
    """What is wrong, where, and what to do, in one line; `code` is the exit status it deserves."""

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None, code: int = FAILED) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix
        self.code = code

    def __str__(self) -> str:
        text = self.what
        if self.where:
            text += f" at {self.where}"
        if self.fix:
            text += f"; {self.fix}"
        return text


def failed(doing: str, path: str, error: OSError) -> ColonyError:
    """The one-line error for a system call that failed; a full disk gets the advice it needs."""
    import errno
    import os

    fix = {
        errno.ENOSPC: "free some space; what was there before is unchanged",
        errno.EDQUOT: "the quota is used up; what was there before is unchanged",
        errno.EROFS: "the file system is read-only",
        errno.EACCES: "check the permissions",
        errno.EPERM: "check the permissions",
    }.get(error.errno or 0)
    return ColonyError(f"cannot {doing} '{path}': {os.strerror(error.errno or 0)}", fix=fix, code=FAILED)


def nearest(name: str, names: Iterable[str]) -> str | None:
    """A hint such as "did you mean 'load'?" (several names when several are near), or None."""
    import difflib

    known = sorted({str(n) for n in names})
    found = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if not found:
        folded = {n.lower(): n for n in known}
        found = [folded[n] for n in difflib.get_close_matches(name.lower(), list(folded), n=3, cutoff=0.6)]
    if not found and len(name) > 2:
        found = [n for n in known if n.startswith(name) or name in n][:3]
    if not found:
        return None
    quoted = [f"'{n}'" for n in found]
    return "did you mean " + " or ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted) + "?"


def unknown(kind: str, name: str, names: Iterable[str], *, where: str | None = None, code: int = FAILED) -> ColonyError:
    """The error for a name that is not there, with the nearest names, else the first few there are."""
    names = sorted({str(n) for n in names})
    fix = nearest(name, names)
    if fix is None:
        some = ", ".join(f"'{n}'" for n in names[:6]) + (", …" if len(names) > 6 else "")
        fix = f"there is {some}" if names else "there is none yet"
    return ColonyError(f"unknown {kind} '{name}'", where=where, fix=fix, code=code)
