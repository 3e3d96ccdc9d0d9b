"""Floor 3, one module per executable; here what all of them share: from an exception to a line and a status."""

from __future__ import annotations

import os
import sys

from colony_lib.base.errors import BUG, FAILED, INTERRUPTED, TERMINATED, USAGE, ColonyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, ModuleType
    from typing import Any, NoReturn


class _Terminated(BaseException):
    """SIGTERM or SIGHUP, as an exception, so that `finally` blocks run."""


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise _Terminated


class _SiteOnDemand:
    """`python -S` starts a third faster, without the site packages; this brings them in when the first
    import asks for one (see bin/colony)."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> Any:
        if path is not None or self not in sys.meta_path or name in sys.stdlib_module_names:
            return None  # a module of another system (ntpath tries 'nt') is no reason to bring the site packages in
        import importlib.util
        import site

        sys.meta_path.remove(self)  # type: ignore[arg-type]
        site.main()
        return importlib.util.find_spec(name)


def load_module(name: str) -> ModuleType:
    """The module of the executable `colony-NAME`."""
    module = f"colony_lib.cli.{name.replace('-', '_')}"
    __import__(module)
    return sys.modules[module]


def _prepare() -> None:
    if sys.flags.no_site:
        sys.meta_path.append(_SiteOnDemand())  # type: ignore[arg-type]
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            # A terminal that cannot show a character gets a question mark, not a traceback.
            stream.reconfigure(errors="backslashreplace" if stream is sys.stderr else "replace")  # type: ignore[union-attr]
    from colony_lib.store import env

    secrets = env.secret_values() if env.get("COLONY_RUN_ID") or env.get("COLONY_SECRETS") else {}
    if secrets:
        from colony_lib.base import files
        from colony_lib.store.redact import Redactor

        files.set_redactor(Redactor(secrets).text)
    frozen = env.get("COLONY_NOW")
    if frozen:
        from colony_lib.base import clock

        clock.freeze(frozen)


def complain(name: str, error: ColonyError) -> int:
    """Print the error's one line on standard error; returns its exit status."""
    from colony_lib.base.text import escape

    speaker = "colony" if name == "help" else f"colony {name}"
    print(f"{speaker}: {escape(error)}", file=sys.stderr)
    return error.code


def run(name: str, argv: list[str] | None = None) -> int:
    """Run one executable's `main` and return its exit status; nothing but one line per error gets out."""
    try:
        _prepare()
        import _signal  # type: ignore[import-not-found]  # what `signal` wraps; its enums alone would cost 5 ms

        _signal.signal(_signal.SIGTERM, _terminate)
        _signal.signal(_signal.SIGHUP, _terminate)
        status: int = load_module(name).main(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
        return status
    except ColonyError as error:
        if os.environ.get("COLONY_DEBUG") == "1":
            raise
        return complain(name, error)
    except BrokenPipeError:
        # The reader has gone (`| head`): nobody wants the rest, and nobody wants to hear of it.
        _silence()
        return 141
    except KeyboardInterrupt:
        _silence(flush=True)
        return INTERRUPTED
    except _Terminated:
        _silence(flush=True)
        return TERMINATED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILED if end.code else 0
    except Exception as error:
        if os.environ.get("COLONY_DEBUG") == "1":
            raise
        return _unexpected(name, error)


def _silence(flush: bool = False) -> None:
    """Let the interpreter's last flush go nowhere, so that it cannot fail."""
    if flush:
        try:
            sys.stdout.flush()
        except (OSError, ValueError):
            flush = False
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _unexpected(name: str, error: Exception) -> int:
    if isinstance(error, OSError) and error.errno is not None:
        where = f" '{error.filename}'" if error.filename else ""
        _silence()
        return complain(name, ColonyError(f"{error.strerror}{where}", code=FAILED))
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("colony_lib"):
        missing = f"the Python package '{error.name}' is not installed"
        return complain(
            name, ColonyError(missing, fix="install Colony's extras: pip install 'colony[all]'", code=USAGE)
        )
    return complain(
        name,
        ColonyError(
            f"a bug in Colony: {type(error).__name__}: {error}",
            fix="set COLONY_DEBUG=1 to see where, and please report it",
            code=BUG,
        ),
    )
