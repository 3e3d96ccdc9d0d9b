"""What files hold, as digests: remembered for files that have not changed since, as git's index does."""

from __future__ import annotations

import hashlib
import os
import time

from colony_lib.base import files, locks
from colony_lib.base.errors import ColonyError, failed
from colony_lib.store import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Stamp = list[int]  # [size, mtime_ns, ctime_ns, inode]

WORTH = 64 * 1024  # bytes; a smaller file is read as soon as remembered
MOST = 50_000  # files that are remembered
_BLOCK = 1 << 20
# A file that was changed so shortly before it was read may be changed again without its stamp showing it: file
# systems stamp by clocks that tick as slowly as every two seconds. Such a file is read anew each time.
_RACY_NS = 2_500_000_000


def stamp(path: str) -> Stamp:
    """What the file system says of the file; it is another whenever the content is. FileNotFoundError."""
    return _stamp(os.stat(path))


def _stamp(status: os.stat_result) -> Stamp:
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


class Digests:
    """Digests of files, remembered between processes in `.colony/cache/` (which may be deleted). `look` is called
    now and then while a file is read, and may raise to give up."""

    def __init__(self, look: Callable[[], None] | None = None) -> None:
        self._look = look
        self._known: dict[str, Any] | None = None
        self._new: dict[str, list[Any]] = {}

    def of(self, path: str) -> tuple[str, Stamp]:
        """(SHA-256 of the content as sha256sum prints it, the file's stamp). FileNotFoundError when there is none;
        ColonyError when it cannot be read, or is no regular file."""
        path = os.path.abspath(path)
        now = stamp(path)
        if now[0] >= WORTH:
            kept = self._new.get(path) or self._remembered().get(path)
            if isinstance(kept, list) and kept[1:] == now:
                return str(kept[0]), now
        began = time.time_ns()
        fd = files.open_regular(path)
        with os.fdopen(fd, "rb", 0) as file:
            now = _stamp(os.fstat(fd))
            found = hashlib.sha256()
            try:
                while data := file.read(_BLOCK):
                    found.update(data)
                    if self._look is not None:
                        self._look()
            except OSError as error:
                raise failed("read", path, error) from None
            after = _stamp(os.fstat(fd))
        if now[0] >= WORTH and now == after and max(now[1], now[2]) < began - _RACY_NS:
            self._new[path] = [found.hexdigest(), *now]
        return found.hexdigest(), now

    def _remembered(self) -> dict[str, Any]:
        if self._known is None:
            try:
                kept = files.read_json(paths.cache("digests"), None, follow=False)
            except ColonyError:
                kept = None  # damaged: all is read anew
            found = kept.get("files") if isinstance(kept, dict) else None
            self._known = found if isinstance(found, dict) else {}
        return self._known

    def keep(self) -> None:
        """Write down what was learnt."""
        if not self._new:
            return

        path = paths.cache("digests")
        try:
            with locks.held(paths.lock("digests")):
                self._known = None
                known = {name: kept for name, kept in self._remembered().items() if name not in self._new}
                merged = [*known.items(), *self._new.items()]  # the newest last
                files.write_json(path, {"v": 1, "files": dict(merged[-MOST:])}, indent=None, durable=False)
        except ColonyError:
            return  # a full disk or a read-only colony makes the next look slower, not this one wrong
        self._new.clear()
