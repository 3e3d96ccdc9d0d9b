"""The processes of agents' tools: what they may do, and that nothing of them is left. All that is said here holds for
root as well as for others; the tests run as whoever runs them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from colony_lib.store import health_agents, paths
from colony_lib.work import child, confine
from colony_lib.work.catch import Catch
from colony_lib.work.child import Done
from tests.conftest import BIN, REPOSITORY, Colony

Shell = Callable[..., Done]


def run(words: list[str], folder: Path, **more: Any) -> Done:
    """The words, run in the folder, not confined unless bounds are given."""
    given: dict[str, Any] = {
        "folder": str(folder), "bounds": None, "input": None, "timeout": 60.0, "most": 30_000, "whole": None,
        "environment": {"PATH": f"{BIN}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"},
        "started": lambda pid: None, "asked": lambda: False, "redact": lambda data: data,
    }  # fmt: skip
    return child.run(words, **{**given, **more})


def alive(mark: str) -> list[str]:
    """The processes in whose command line the mark stands."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path(f"/proc/{name}/cmdline").read_bytes()
            state = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if mark.encode() in line and state != "Z" and int(name) != os.getpid():
            found.append(f"{name} {line!r}")
    return found


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.01)


# -- a process and its end


def test_a_process_has_its_own_session_the_given_environment_and_no_other_descriptors(tmp_path: Path) -> None:
    pids: list[int] = []
    kept_open = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(kept_open, True)
    code = (
        "import os, resource as r; print(sorted(os.environ), os.getpid(), os.getsid(0), os.getpgrp(), os.umask(0),"
        "[r.getrlimit(n) for n in (r.RLIMIT_CORE, r.RLIMIT_NOFILE, r.RLIMIT_FSIZE)], sorted(os.listdir('/proc/self/fd')))"
    )
    done = run([sys.executable, "-S", "-c", code], tmp_path, environment={"A": "1", "LC_ALL": "C"}, started=pids.append)
    os.close(kept_open)
    (pid,) = pids
    limits = [(0, 0), (1024, 1024), (10 << 30, 10 << 30)]
    assert (
        done.data.decode() == f"['A', 'LC_ALL'] {pid} {pid} {pid} 18 {limits} ['0', '1', '2', '3']\n"
    )  # 3: the listing
    assert (done.status, done.ended_by, done.size, done.whole) == (0, None, len(done.data), None)


def test_standard_input_is_empty_or_what_is_given_and_the_two_outputs_keep_their_order(tmp_path: Path) -> None:
    assert run(["cat"], tmp_path).data == b""
    assert run(["cat"], tmp_path, input=b"x" * 500_000, most=1_000_000).data == b"x" * 500_000
    text = "for i in 1 2 3 4; do echo out $i; echo err $i >&2; done; exit 7"
    done = run(["sh", "-c", text], tmp_path)
    assert done.data.decode() == "".join(f"out {i}\nerr {i}\n" for i in range(1, 5)) and done.status == 7


def test_signals_are_as_in_any_new_process_and_a_killed_one_has_128_and_the_signal(tmp_path: Path) -> None:
    assert run(["sh", "-c", "kill -9 $$"], tmp_path).status == 137
    ignored = run(["grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"], tmp_path).data.split()
    assert {int(word, 16) & ~(3 << 31) for word in ignored[1::2]} == {0}  # 32 and 33 are the C library's own


def test_what_cannot_be_started_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run(["no-such-program"], tmp_path)
    with pytest.raises(PermissionError):
        run([str(tmp_path / "colony.txt")] if (tmp_path / "colony.txt").write_text("") == 0 else [], tmp_path)
    with pytest.raises(FileNotFoundError):
        run(["true"], tmp_path / "nowhere")
    with pytest.raises(OSError, match="Invalid argument"):
        run(["echo", "a\0b"], tmp_path)


@pytest.mark.parametrize(
    "start", ["sleep 1001.{0} &", "setsid sleep 1001.{0} &", "(setsid sh -c 'sleep 1001.{0}; :' 2>&- &)"]
)
def test_nothing_is_left_running_and_nobody_is_waited_for(tmp_path: Path, start: str) -> None:
    mark = f"1001.{os.getpid()}"
    done = run(["sh", "-c", start.format(os.getpid()) + "\necho said"], tmp_path)
    assert (done.data, done.status, done.ended_by) == (b"said\n", 0, None)
    assert alive(mark) == []


def test_when_its_time_is_up_it_is_ended_and_what_ignores_that_is_killed(tmp_path: Path) -> None:
    done = run(["sh", "-c", "echo begun; exec sleep 1002"], tmp_path, timeout=0.3)
    assert (done.data, done.status, done.ended_by) == (b"begun\n", 143, "timeout")
    done = run(
        ["sh", "-c", f"trap 'echo told' TERM; (trap '' TERM; sleep 1003.{os.getpid()} & sleep 1003.{os.getpid()})"],
        tmp_path,
        timeout=0.3,
    )
    assert (done.status, done.ended_by) == (137, "timeout")
    assert alive(f"1003.{os.getpid()}") == []


def test_it_is_ended_when_that_is_asked(tmp_path: Path) -> None:
    there = tmp_path / "there"
    done = run(
        ["sh", "-c", f"touch {there}; trap 'echo clean; exit 3' TERM; while :; do sleep 0.01; done"],
        tmp_path,
        asked=there.exists,
    )
    assert (done.data.split()[-1], done.status, done.ended_by) == (b"clean", 3, "asked")


def test_an_error_of_the_caller_ends_it_too(tmp_path: Path) -> None:
    def fails(pid: int) -> None:
        raise KeyError(pid)

    with pytest.raises(KeyError):
        run(["sh", "-c", f"setsid sleep 1004.{os.getpid()} & sleep 1004"], tmp_path, started=fails)
    assert alive(f"1004.{os.getpid()}") == []


PARENT = """
import sys
sys.path.insert(0, {repository!r})
from tests.agents.test_confine import run
from pathlib import Path
run(["sh", "-c", "setsid sleep 1005.{pid} & sleep 1005.{pid} & touch there; trap '' TERM; while :; do sleep 0.1; done"], Path({folder!r}))
"""


def test_it_dies_with_us_and_all_that_it_has_started(tmp_path: Path) -> None:
    text = PARENT.format(repository=str(REPOSITORY), folder=str(tmp_path), pid=os.getpid())
    parent = subprocess.Popen([sys.executable, "-c", text])
    until((tmp_path / "there").exists)
    assert len(alive(f"1005.{os.getpid()}")) >= 3
    parent.kill()
    parent.wait()
    until(lambda: not alive(f"1005.{os.getpid()}"))


def test_it_dies_when_the_process_between_us_is_killed(tmp_path: Path) -> None:
    done = run(["sh", "-c", f"kill -9 $PPID; sleep 1006.{os.getpid()} & sleep 1006"], tmp_path)
    assert done.status == 137
    until(lambda: not alive(f"1006.{os.getpid()}"))


# -- the output


def test_of_a_long_output_head_and_tail_are_given_and_the_whole_is_in_a_file_redacted(tmp_path: Path) -> None:
    whole = tmp_path / "out/whole.txt"
    done = run(
        ["sh", "-c", "seq 200000; echo secret"], tmp_path, most=1000, whole=str(whole),
        redact=lambda data: data.replace(b"secret", b"[KEY]"),
    )  # fmt: skip
    expected = "".join(f"{i}\n" for i in range(1, 200001)).encode() + b"[KEY]\n"
    assert done.data == expected[:600] + expected[-400:]
    assert (done.size, done.whole) == (len(expected), str(whole)) and whole.read_bytes() == expected
    short = run(
        ["sh", "-c", "echo secret"],
        tmp_path,
        whole=str(tmp_path / "none"),
        redact=lambda data: data.replace(b"secret", b"[KEY]"),
    )
    assert short.data == b"[KEY]\n" and short.whole is None and os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("line", [b"", b"\n"])
def test_a_secret_is_redacted_wherever_the_pieces_of_the_output_end(tmp_path: Path, line: bytes) -> None:
    secret = b"verysecret"
    with Catch(1000, str(tmp_path / "whole"), lambda data: data.replace(secret, b"[K]")) as catch:
        for _ in range(700):
            catch.add((secret * 3 + b"abc") * 300 + line)
        catch.finish()
    assert secret[:6] not in (tmp_path / "whole").read_bytes() + catch.data()


def test_a_gigabyte_fills_neither_memory_nor_disk(tmp_path: Path) -> None:
    text = (
        "import sys, resource; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path; from tests.agents.test_confine import run\n"
        "folder = Path(sys.argv[2]); before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "done = run(['sh', '-c', 'yes 0123456 | head -c 1000000000; echo the end'], folder, whole=str(folder / 'w'))\n"
        "print(done.size, len(done.data), done.data[-9:], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    told = subprocess.run([sys.executable, "-c", text, str(REPOSITORY), str(tmp_path)], capture_output=True, text=True)
    size, length, *end, grown = told.stdout.split()
    assert (int(size), int(length), " ".join(end)) == (1_000_000_008, 30_000, "b'\\nthe end\\n'"), told
    assert int(grown) < 60_000  # KiB
    assert (tmp_path / "w").stat().st_size < 60_000_000 and b"are not kept" in (tmp_path / "w").read_bytes()[-200:]


# -- the bounds


@pytest.fixture
def shell(colony: Colony, tmp_path: Path) -> Shell:
    """Runs a text with sh in a colony, within the bounds of an agent without a worktree."""
    root = colony.root
    for folder in (
        "staging",
        "reports",
        ".colony/runs/r1",
        ".colony/spending",
        ".colony/worktrees/worker",
        ".git",
        "secrets",
    ):
        (root / folder).mkdir(parents=True)
    for name in ("pipeline.yml", ".git/config", "secrets/.env", "secrets/other"):
        (root / name).write_text(f"text of {name}\n")
    for name in ("scratch", "other", "home"):
        (tmp_path / name).mkdir()
    (tmp_path / "home/private").write_text("text of private\n")

    def ran(
        text: str, *, worktree: bool = False, network: bool = False, more_writes: list[str] | None = None, **more: Any
    ) -> Done:
        folder = root / ".colony/worktrees/worker" if worktree else root
        bounds = confine.bounds(
            root=str(root), folder=str(folder), shared=["staging", "reports"], scratch=str(tmp_path / "scratch"),
            more_writes=more_writes or [], network=network, env_file="secrets/.env",
        )  # fmt: skip
        return run(["sh", "-c", text], folder, bounds=bounds, **more)

    return ran


def test_it_writes_in_the_shared_folders_scratch_and_its_worktree(shell: Shell, colony: Colony, tmp_path: Path) -> None:
    places = ["staging/a", "reports/a", f"{tmp_path}/scratch/a"]
    text = "".join(
        f"mkdir {place}.d && echo x >{place}.d/f && mv {place}.d/f {place} && rm -r {place}.d;" for place in places
    )
    done = shell(
        text + f"mv staging/a reports/b && ln -s {tmp_path}/other staging/link; echo x >/dev/null; echo y >/dev/stderr"
    )
    assert (done.data, done.status) == (b"y\n", 0)
    assert (colony.root / "reports/b").read_text() == "x\n"
    assert shell("echo x >own && cat own ../../../staging/link/../home/private", worktree=True).data.startswith(
        b"x\ncat: "
    )
    assert shell("echo x >warehouse/db", more_writes=[str(colony.write("warehouse/seed", "").parent)]).status == 0
    assert (colony.root / "warehouse/db").exists()


WHERE_NOT = [
    "{root}/colony.yml", "{root}/new", "{root}/pipeline.yml", "{root}/.git/config", "{root}/.colony/new", "{root}/secrets/other",
    "{root}/.colony/runs/r1/x", "{root}/.colony/workflows/x.yaml", "{root}/.colony/spending/x", "{root}/.colony/worktrees/worker/x",
    "{tmp}/other/x", "{tmp}/home/x", "/tmp/colony-never", "/etc/colony-never", "{root}/staging/link/x", "{home}/.colony-never", "/dev/shm/x",
]  # fmt: skip


@pytest.mark.parametrize("place", WHERE_NOT)
def test_it_writes_nowhere_else(shell: Shell, colony: Colony, tmp_path: Path, place: str) -> None:
    (colony.root / "staging/link").symlink_to("/etc")
    path = Path(place.format(root=colony.root, tmp=tmp_path, home=Path.home()))
    before = path.read_bytes() if path.exists() else None
    for text in (
        f"echo harm >{path}",
        f"echo harm >>{path}",
        f"mkdir {path}.d",
        f"touch staging/f; mv staging/f {path}",
        f"rm {path}",
        f"ln staging/f {path}",
    ):
        assert shell(text).status != 0, text
    assert (path.read_bytes() if path.exists() else None) == before and not os.path.lexists(f"{path}.d")


def test_a_shared_or_written_path_that_holds_what_is_protected_does_not_open_it(shell: Shell, colony: Colony) -> None:
    colony.write("warehouse/seed", "")
    done = shell(
        "echo x >warehouse/db && echo harm >colony.yml; echo harm >.colony/runs/r1/x", more_writes=[str(colony.root)]
    )
    assert done.status != 0 and (colony.root / "warehouse/db").exists()
    assert "harm" not in (colony.root / "colony.yml").read_text() and not (colony.root / ".colony/runs/r1/x").exists()


def test_a_link_in_a_folder_that_it_writes_opens_nothing_at_the_next_call(
    shell: Shell, colony: Colony, tmp_path: Path
) -> None:
    shell(f"rm -rf staging/sub; ln -s {tmp_path}/other staging/sub")
    assert shell("echo harm >staging/sub/x", more_writes=[str(colony.root / "staging/sub")]).status != 0
    assert os.listdir(tmp_path / "other") == []


def test_it_reads_the_colony_but_not_its_secrets_nor_anybodys_home(shell: Shell, tmp_path: Path) -> None:
    done = shell(
        "ls >/dev/null; ls .colony staging >/dev/null; cat colony.yml secrets/other .colony/runs/r1/* 2>&1 | head -1"
    )
    assert done.data == b"name: test-colony\n"
    for path in ("secrets/.env", ".git/config", f"{tmp_path}/home/private", f"{REPOSITORY}/.git/HEAD"):
        done = shell(f"cat {path}; ln {path} staging/l; ln -s {path} staging/s; cat staging/s; cp {path} staging/c")
        assert done.status != 0 and b"text of" not in done.data and b"ref:" not in done.data
        shell("rm -f staging/l staging/s staging/c")


def test_a_lock_can_be_made_and_held_but_not_taken_away(shell: Shell, colony: Colony) -> None:
    (colony.root / ".colony/locks/there.lock").write_text("")
    done = shell(
        "cd .colony/locks; flock new.lock true && flock there.lock echo held; rm there.lock; mv there.lock x; mv x ../state; touch ../state/f; mv ../state/f there.lock"
    )
    assert done.data.startswith(b"held\n") and done.status != 0
    assert sorted(os.listdir(colony.root / ".colony/locks")) == ["new.lock", "there.lock"]


def test_the_environment_of_others_and_ours_cannot_be_read(shell: Shell, tmp_path: Path) -> None:
    secret = f"sk-ant-{os.urandom(8).hex()}"
    other = subprocess.Popen(["sleep", "1007"], env={"ANTHROPIC_API_KEY": secret})
    try:
        until(lambda: secret.encode() in Path(f"/proc/{other.pid}/environ").read_bytes())
        done = shell(
            "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'; :",
            environment={"PATH": "/usr/bin:/bin", "OWN": "1"},
            most=1 << 24,
        )
        assert b"OWN=1" in done.data and secret.encode() not in done.data
        kill = shell(f"kill -9 {other.pid}")
        assert kill.status != 0 and other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_what_hides_itself_cannot_be_looked_into_even_from_outside_all_bounds(tmp_path: Path) -> None:
    text = (
        "import sys, os; sys.path.insert(0, sys.argv[1]); from colony_lib.work import confine; confine.hide_ourselves()\n"
        "import ctypes; print(ctypes.CDLL(None).prctl(3), flush=True); sys.stdin.read()"  # 3: PR_GET_DUMPABLE
    )
    hidden = subprocess.Popen(
        [sys.executable, "-c", text, str(REPOSITORY)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert hidden.stdout is not None and hidden.stdin is not None
    assert hidden.stdout.readline() == "0\n"
    assert os.stat(f"/proc/{hidden.pid}/environ").st_uid == 0  # the superuser's alone, whoever runs it
    hidden.communicate("")


CONNECT = "python3 -c 'import socket, sys; s = socket.socket(); s.connect((\"127.0.0.1\", {port})); print(s.recv(9))'"
UDP = 'python3 -c \'import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", {port}))\''
UNIX = "python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"{path}\")'"


def test_without_the_network_no_socket_is_reached_and_with_it_they_are(shell: Shell, tmp_path: Path) -> None:
    local = os.path.relpath(tmp_path / "s")
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(type=socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        udp.bind(("127.0.0.1", 0))
        unix.bind(local)
        unix.listen()
        texts = [
            CONNECT.format(port=tcp.getsockname()[1]),
            UDP.format(port=udp.getsockname()[1]),
            UNIX.format(path=tmp_path / "s"),
        ]
        for text in texts:
            done = shell(text)
            assert done.status == 1 and b"PermissionError" in done.data
        assert (
            shell("python3 -c 'import socket; a, b = socket.socketpair(); a.send(b\"x\"); print(b.recv(1))'").data
            == b"b'x'\n"
        )
        tcp.settimeout(30)
        asked: list[Any] = []

        def answer() -> bool:
            if not asked:
                asked.append(tcp.accept()[0])
                asked[0].sendall(b"hello")
            return False

        done = shell(texts[0], network=True, asked=answer)
        asked[0].close()
        assert (done.data, done.status) == (b"b'hello'\n", 0)
        assert shell(texts[1], network=True).status == 0 and udp.recv(9) == b"x"


def test_a_network_of_its_own_where_there_is_no_filter_reaches_nothing() -> None:
    text = (
        "import sys, socket; sys.path.insert(0, sys.argv[1]); from colony_lib.base import seal\n"
        "there = seal._own_network()\n"
        "try: socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9)); print(there, True)\n"
        "except OSError: print(there, False)"
    )
    done = subprocess.run([sys.executable, "-c", text, str(REPOSITORY)], capture_output=True, text=True)
    assert done.stdout in ("True False\n", "False True\n"), done  # had, and closed; or not to be had, and said so


def test_privileges_cannot_be_gained_and_roots_are_few(shell: Shell) -> None:
    words = shell("grep -E 'NoNewPrivs|CapEff|CapBnd' /proc/self/status").data.split()
    status = dict(zip(words[::2], words[1::2]))
    assert status[b"NoNewPrivs:"] == b"1"
    assert int(status[b"CapEff:"], 16) & ~0b11011 == 0
    assert shell("mknod staging/disk b 1 1").status != 0 and shell("mount -t tmpfs none staging").status != 0


def test_colonys_commands_work_within_the_bounds(shell: Shell, colony: Colony) -> None:
    environment = {
        "PATH": f"{BIN}:{Path(sys.executable).parent}:/usr/bin:/bin",
        "COLONY_ROOT": str(colony.root),
        "COLONY_AGENT": "worker",
        "LANG": "C.UTF-8",
    }
    text = (
        "colony state task add 'a thing' && colony state set doc.x 1 && colony logs write hello; colony messages send orchestrator hi; colony metrics add n 1;"
        "colony state task list"
    )
    done = shell(text, environment=environment, worktree=True)
    assert b"a thing" in done.data and b"ermission" not in done.data, done.data
    assert [task["title"] for task in colony.lines("state", "task", "list", "--json")] == ["a thing"]


def test_ordinary_programs_run_as_ever(shell: Shell, tmp_path: Path) -> None:
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(tmp_path / "scratch"),
        "TMPDIR": str(tmp_path / "scratch"),
    }
    text = (
        "set -e; cd $HOME; git init -q r; cd r; echo x >f; git add f; git -c user.name=a -c user.email=a@b commit -qm one; git log --format=%s;"
        'echo \'{"a": 2}\' | jq .a; python3 -c \'import tempfile, sqlite3, subprocess, yaml; tempfile.TemporaryFile(); sqlite3.connect("x.db").execute("create table t(a)");'
        'print(subprocess.check_output(["echo", "three"]).decode(), end="")\'; seq 4 | sort -r | head -1; ps -e >/dev/null; curl --version >/dev/null'
    )
    done = shell(text, environment=environment)
    assert (done.data, done.status) == (b"one\n2\nthree\n4\n", 0)


# -- what colony health says


@pytest.mark.parametrize(("abi", "closed", "expected"), [
    (7, True, ["ok: Landlock ABI 7: agents' tools are kept"]),
    (0, True, ["warn: this kernel has no Landlock: what agents' tools write and read is checked by Colony's own tools only"]),
    (5, False, ["warn: agents' tools without 'network: true' may use UDP all the same", "warn: Landlock is of ABI 5, before 6"]),
    (0, False, ["warn: this kernel has no Landlock", "warn: agents' tools without 'network: true' have it all the same"]),
])  # fmt: skip
def test_health_says_what_does_not_hold(
    colony: Colony, monkeypatch: pytest.MonkeyPatch, abi: int, closed: bool, expected: list[str]
) -> None:
    paths.use(str(colony.root))
    monkeypatch.setattr("colony_lib.base.landlock.abi", lambda: abi)
    monkeypatch.setattr("colony_lib.base.seal.no_network", lambda: closed)
    found = [f"{each['status']}: {each['message']}" for each in health_agents._confinement()]
    assert len(found) == len(expected) and all(a.startswith(b) for a, b in zip(found, expected)), found


def test_without_landlock_tools_run_all_the_same(shell: Shell, colony: Colony, tmp_path: Path) -> None:
    text = (
        "import sys, os; sys.path.insert(0, sys.argv[1]); from colony_lib.base import landlock; landlock.abi = lambda: 0\n"
        "print(landlock.restrict([('/', landlock.READ)], network=False)); open(sys.argv[2], 'w').close()"
    )
    done = subprocess.run(
        [sys.executable, "-c", text, str(REPOSITORY), str(tmp_path / "f")], capture_output=True, text=True
    )
    assert done.stdout == "False\n" and (tmp_path / "f").exists(), done


@pytest.mark.parametrize("version", range(1, 8))
def test_rules_are_those_that_each_version_of_landlock_knows(tmp_path: Path, version: int) -> None:
    """A kernel takes what an older one knows, so each version's rules can be tried on this one."""
    text = (
        "import sys, os; sys.path.insert(0, sys.argv[1]); from colony_lib.base import landlock, seal\n"
        "has = landlock.abi(); landlock.abi = lambda: min(has, int(sys.argv[3])); os.chdir(sys.argv[2]); os.mkdir('in'); seal.no_new_privileges()\n"
        "landlock.restrict([('/', landlock.READ), ('in', landlock.WRITE)], network=False); open('in/f', 'w').close()\n"
        "try: open('out', 'w')\n"
        "except PermissionError: print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", text, str(REPOSITORY), str(tmp_path), str(version)], capture_output=True, text=True
    )
    assert done.stdout == ("refused\n" if confine.abi() else ""), done
