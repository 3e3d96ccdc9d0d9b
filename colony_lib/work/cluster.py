"""A Dask cluster as colony.yml names it: found or started, and connected to. Only for processes that are there for
Dask: those beside an engine (work/broker.py) and beside `colony health`."""

from __future__ import annotations

import os

from colony_lib.base import files, jsontext
from colony_lib.base.errors import ColonyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]

_CONNECT = 10.0  # seconds for one try
# The class of Dask's by which each `deploy: {with: …}` starts a cluster, and the package that has it.
DEPLOYERS = {
    "local": ("distributed", "LocalCluster", "distributed"),
    "slurm": ("dask_jobqueue", "SLURMCluster", "dask-jobqueue"),
    "pbs": ("dask_jobqueue", "PBSCluster", "dask-jobqueue"),
    "sge": ("dask_jobqueue", "SGECluster", "dask-jobqueue"),
    "lsf": ("dask_jobqueue", "LSFCluster", "dask-jobqueue"),
    "htcondor": ("dask_jobqueue", "HTCondorCluster", "dask-jobqueue"),
    "oar": ("dask_jobqueue", "OARCluster", "dask-jobqueue"),
    "kubernetes": ("dask_kubernetes.operator", "KubeCluster", "dask-kubernetes"),
    "yarn": ("dask_yarn", "YarnCluster", "dask-yarn"),
    "ssh": ("distributed", "SSHCluster", "distributed"),
}


class Cluster:
    """The cluster of one executor, with its defaults filled in."""

    def __init__(self, executor: Record) -> None:
        self._executor = executor
        self._started: Any = None  # when it is ours to end

    def connect(self) -> Any:
        """A new client of Dask's. OSError when nobody answers (yet), ColonyError when nobody ever will."""
        import distributed

        given = self._executor
        if given["deploy"] is not None:
            self._started = self._started or self._start(given["deploy"], given["adapt"])
            where: Any = self._started
        elif given["scheduler_file"] is not None:
            where = _address_in(given["scheduler_file"])
        else:
            where = given["address"]
        if isinstance(where, str):
            _check_tls(where)
            _knock(where)
        client: Any = distributed.Client
        try:
            return client(address=where, timeout=_CONNECT, set_as_default=False, name="colony")
        except (ValueError, RuntimeError) as error:  # an answer that is none of a scheduler's
            raise OSError(str(error)) from None

    def _start(self, deploy: Record, adapt: Record | None) -> Any:
        kind = _deployer(deploy["with"])
        options = dict(deploy["options"])
        if deploy["with"] == "local":
            options = {"n_workers": 0, "threads_per_worker": 1, "dashboard_address": None, **options}
        try:
            started = kind(**options)
            if adapt is not None:
                started.adapt(**adapt)
            elif deploy["with"] != "ssh":  # whose workers are its hosts
                started.scale(deploy["workers"])
        except Exception as error:  # whatever a deployer has to say: of its options, of the system that it deploys to
            why = str(error).split("\n")[0] or type(error).__name__
            fix = "see its log in the run's folder"
            raise ColonyError(f"Dask's {kind.__name__} could not be started: {why}", fix=fix) from None
        return started

    def close(self) -> None:
        """End the cluster if it was started here."""
        if self._started is not None:
            self._started.close()
            self._started = None


def look(order: str) -> None:
    """For `colony health`: print what the cluster of {executor, root, lock} has, as {workers: [{address, threads, has,
    host, folder, lock}]} (do they see the folder, and that the lock is held?), {deployer} or {error}."""
    given = jsontext.loads(order)
    answer: Record
    try:
        if given["executor"]["deploy"] is not None:
            answer = {"deployer": _deployer(given["executor"]["deploy"]["with"]).__name__}
        else:
            answer = {"workers": _seen(given)}
    except OSError as error:
        answer = {"error": str(error).split("\n")[0] or type(error).__name__}
    except ColonyError as error:
        answer = {"error": error.what, "fix": error.fix}
    os.write(1, jsontext.dumps(answer).encode())
    os._exit(0)


def _seen(given: Record) -> list[Record]:
    parts = shipped()
    client = Cluster(given["executor"]).connect()
    has = client.run_on_scheduler(parts.census)["workers"]
    seen = client.run(parts.look_around, given["root"], given["lock"])
    return [{**each, **seen[each["address"]]} for each in has if each["address"] in seen]


def _deployer(name: str) -> Any:
    """The class of Dask's that starts such clusters. ColonyError when its package is not installed."""
    import importlib

    module, kind, package = DEPLOYERS[name]
    try:
        return getattr(importlib.import_module(module), kind)
    except ImportError as error:
        raise ColonyError(
            f"'deploy: {{with: {name}}}' needs the package {package}: {error}", fix=f"pip install {package}"
        ) from None


def shipped() -> Any:
    """The module work/shipped.py under a name by which nobody can import it: so Dask sends what is in it by value, and
    a worker neither needs Colony nor goes on with another version of it."""
    import importlib.util

    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shipped.py")
    spec = importlib.util.spec_from_file_location("colony_shipped", path)
    if spec is None or spec.loader is None:
        raise ColonyError("this installation of Colony is not whole", where=path, fix="install it again")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _address_in(path: str) -> str:
    """The address that `dask scheduler --scheduler-file` has written there. OSError when there is none yet."""
    try:
        found = files.read_json(path)
    except FileNotFoundError:
        raise OSError(f"there is no scheduler file {path} yet") from None
    except ColonyError as error:
        raise OSError(str(error)) from None
    address = found.get("address") if isinstance(found, dict) else None
    if not isinstance(address, str):
        raise OSError(f"there is no address in {path}")
    return address


def _check_tls(address: str) -> None:
    """ColonyError for an address that wants certificates where Dask is told of none: it would try for ever."""
    import distributed

    security: Any = distributed.Security
    if address.startswith("tls://") and security().get_connection_args("client")["ssl_context"] is None:
        raise ColonyError(
            f"{address} wants a certificate, and Dask's configuration names none",
            fix="set distributed.comm.tls.ca-file and .client.cert, as in DASK_DISTRIBUTED__COMM__TLS__CA_FILE=ca.pem",
        )


def _knock(address: str) -> None:
    """OSError when nobody listens there: a client of Dask's that cannot connect leaves a thread behind each time."""
    import socket
    import urllib.parse

    parts = urllib.parse.urlsplit(address)
    if parts.scheme in ("tcp", "tls") and parts.hostname and parts.port:
        try:
            socket.create_connection((parts.hostname, parts.port), _CONNECT).close()
        except OSError as error:
            raise OSError(f"{address}: {error.strerror or error}") from None
