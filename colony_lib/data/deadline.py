"""A deadline for a whole HTTP exchange: the sockets that it uses are ended when it passes, whatever reads them."""

from __future__ import annotations

import socket
import threading
import time
from weakref import WeakSet

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Sockets:
    """The sockets a thread has open, so that a timer can end them at the deadline wherever they are read."""

    def __init__(self) -> None:
        self._open: WeakSet[socket.socket] = WeakSet()
        self._timer: threading.Timer | None = None
        self.expired = False

    def add(self, opened: socket.socket | None) -> None:
        if opened is not None:
            self._open.add(opened)
            if self.expired:
                self._end()

    def until(self, deadline: float) -> Sockets:
        self.expired = False
        self._timer = threading.Timer(max(deadline - time.monotonic(), 0.001), self._expire)
        self._timer.daemon = True
        self._timer.start()
        return self

    def __enter__(self) -> Sockets:
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer:
            self._timer.cancel()

    def _expire(self) -> None:
        self.expired = True
        self._end()

    def _end(self) -> None:
        for one in list(self._open):
            try:
                # The plain socket's own: a TLS one would try to say goodbye first, in another thread's midst.
                socket.socket.shutdown(one, socket.SHUT_RDWR)
            except OSError:
                continue  # closed already


class Adapter(HTTPAdapter):
    """requests' adapter, whose connections tell which sockets they open."""

    def __init__(self, sockets: Sockets) -> None:
        self._pools = _pools(sockets)
        super().__init__(max_retries=0)

    def init_poolmanager(self, *arguments: Any, **settings: Any) -> None:
        super().init_poolmanager(*arguments, **settings)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **settings: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **settings)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _pools(sockets: Sockets) -> dict[str, type[HTTPConnectionPool]]:
    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            sockets.add(self.sock)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            opened = super()._new_conn()
            sockets.add(opened)  # for the handshake
            return opened

        def connect(self) -> None:
            super().connect()
            sockets.add(self.sock)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
