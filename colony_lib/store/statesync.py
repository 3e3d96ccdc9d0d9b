"""`colony state pull`, `push` and `sync`: one exchange of the shared state with its branch at the remote.

Three references of our own say how far it has come, beside the branch itself: `base`, the commit whose documents are
the ones in the files; `merging`, the commit that is being written back; `fetched`, the remote's branch as last seen.

    fetch               offline: an error, and nothing has been touched
    finish              what a killed sync had begun to write back (merging is then not base)
    commit              what is in the files, upon base
    merge, push         again while other pushes are faster
    write back          stage; merging := the merge; put into the files; branch, base := the merge

Any instant may be the last: the files only ever gain lines, a reference moves after what it stands for is there, and
the same steps done again come to the same. One sync of a colony runs at a time: its lock is held until it and every git
it started are gone, so that who has the lock knows the lock files of a dead git for dead.
"""

from __future__ import annotations

import random
import time

from colony_lib.base import clock, locks
from colony_lib.base.errors import BUSY, USAGE, ColonyError
from colony_lib.base.text import cut, escape, plural
from colony_lib.store import (
    env,
    lineunion,
    paths,
    progress,
    statefiles,
    stateremote,
    statetree,
    statewords,
    stateworktree,
    taskloss,
)
from colony_lib.store.statetree import State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, TypeVar

    from colony_lib.store.git import Repository
    from colony_lib.store.stateremote import Remote
    from colony_lib.store.taskloss import Loss

    Done = TypeVar("Done")

ROUNDS = 12  # of fetch, merge and push, until others are no longer faster
ADVICE = "write 'shared_state: {backend: git-backed, location: in-repo}' into colony.yml"


class Settings:
    """What colony.yml says of the shared state: `branch`, `location` as it is `written` and with its variables taken,
    and the `secrets` {name: value} that are in it then."""

    __slots__ = ("branch", "location", "secrets", "written")

    def __init__(self, shared: dict[str, Any], env_file: str | None) -> None:
        from colony_lib.store import config, variables

        self.branch: str = shared["branch"]
        self.written: str = shared["location"]
        known = {**config.env_file_values(env_file), **env.environ()} if "$" in self.written else {}
        self.location = variables.expand(self.written, known, who="shared_state.location", where="colony.yml")
        self.secrets = {name: known[name] for name in variables.names(self.written)}

    def hide(self, text: str) -> str:
        """The text without the values of variables and without passwords in URLs."""
        import re

        from colony_lib.store.redact import Redactor

        return re.sub(r"(://)[^/@\s]+@", r"\1", Redactor(self.secrets).text(text))


def settings() -> Settings:
    """ColonyError (USAGE) when colony.yml does not say that the state is shared."""
    from colony_lib.store import config

    loaded = config.load()
    if loaded["shared_state"]["backend"] != "git-backed":
        raise ColonyError("the state of this colony is kept in its files only", fix=ADVICE, code=USAGE)
    return Settings(loaded["shared_state"], loaded["env_file"])


def run(verb: str) -> tuple[dict[str, Any], ColonyError | None]:
    """Do a 'pull', 'push' or 'sync'; (what came of it, as schemas/state-sync.schema.json has it, why it could not be
    sent). The reason's code is FAILED when the remote refuses or is gone, BUSY when other pushes are always faster.

    ColonyError when nothing was done and the state is as it was: FAILED when the remote cannot be reached, BUSY when
    another sync goes on, USAGE when the set-up is wrong.
    """
    wanted = settings()
    return _alone(lambda lock: _Sync(wanted, lock).exchange(verb))


def attach() -> None:
    """Make the state folder a working tree of the branch ahead of the first sync."""
    wanted = settings()
    _alone(lambda lock: stateworktree.attach(_Sync(wanted, lock).repository, wanted.branch))


def obstacles() -> Iterator[tuple[str, str, str | None]]:
    """(ok or warn, what is so, what to do) of the set-up, for `colony health`; changes nothing, asks no remote."""
    wanted = settings()
    try:
        repository = stateworktree.open_repository(wanted.location, [])
        stateworktree.check_free(repository, wanted.branch)
        made = stateworktree.is_made(repository)
        remote = stateremote.choose(repository, wanted.location, wanted.written, wanted.branch) if made else None
    except ColonyError as error:
        yield "warn", error.what, error.fix
        return
    if not stateworktree.is_own(repository):
        state = paths.state_folder()
        tracked = repository.run("ls-files", "-z", "--", state, more={"GIT_WORK_TREE": repository.cwd}).out
        if tracked:
            message = f"the code's branch holds {plural(tracked.count(bytes(1)), 'file')} of .colony/state"
            yield "warn", message, "git rm -r --cached .colony/state"
        elif repository.run("check-ignore", "-q", state, more={"GIT_WORK_TREE": repository.cwd}).code == 1:
            yield "warn", "git does not ignore .colony/state", "colony init (it writes .colony/.gitignore)"
        if remote is None:
            message = "the repository has no remote: the state is committed here and shared with nobody"
            yield "warn", message, "git remote add origin URL"
    where = f" at {wanted.hide(remote.name)}" if remote else ""
    last = repository.refs([stateworktree.private("base", wanted.branch)]) if made else {}
    yield "ok", f"the branch '{wanted.branch}'{where}" + ("" if last else "; not synced yet"), None


def _alone(act: Callable[[int], Done]) -> Done:
    """`act` with the lock that says "this sync is alive". What it notes in the lock file it takes back at its end, so
    that the next one knows whether it was killed."""
    with locks.held(paths.lock("state-sync"), what="another sync of the state") as lock:
        try:
            done = act(lock.fd)
        except ColonyError:
            locks.sign(lock.fd, "")
            raise
        locks.sign(lock.fd, "")
        return done


class _Sync:
    """One exchange, while the lock is held."""

    def __init__(self, wanted: Settings, lock: int) -> None:
        import os
        import socket

        self._died = bool(locks.note(paths.lock("state-sync")))
        locks.sign(lock, f"{os.getpid()} since {clock.now()}")
        self.branch = wanted.branch
        self.host = escape(cut(socket.gethostname() or "somewhere", 60))
        self.repository: Repository = stateworktree.open_repository(wanted.location, [lock])
        self.repository.hide = wanted.hide
        stateremote.clear_dead(stateworktree.dead_locks(self.repository, self.branch), 0.0 if self._died else 1.0)
        stateworktree.check_free(self.repository, self.branch)
        self.head = f"refs/heads/{self.branch}"
        self.base, self.merging, self.fetched, _ = (
            stateworktree.private(kind, self.branch) for kind in stateworktree.OWN_REFS
        )
        if stateworktree.is_own(self.repository):
            stateworktree.attach(self.repository, self.branch)
        self.remote: Remote | None = stateremote.choose(self.repository, wanted.location, wanted.written, self.branch)
        self.refs: dict[str, str] = {}
        self._states: dict[str, State] = {}

    # -- references and what they stand for

    def _read_refs(self) -> None:
        self.refs = self.repository.refs([self.head, self.base, self.merging, self.fetched])

    def _move(self, why: str, **values: str) -> None:
        """Point references (by the name of the attribute) at commits; they must not have moved meanwhile."""
        named = {getattr(self, name): commit for name, commit in values.items()}
        moving = {name: commit for name, commit in named.items() if self.refs.get(name) != commit}
        if moving:
            self.repository.set_refs(moving, self.refs, f"colony state: {why}")
            self.refs |= moving

    def _state(self, commit: str | None) -> State:
        if commit is None:
            return State()
        if commit not in self._states:
            self._states[commit] = statetree.read(self.repository, commit)
        return self._states[commit]

    def _fetch(self) -> str | None:
        """The commit that the remote's branch stands at."""
        if self.remote is None:
            return None
        progress.tell("state", f"asking {self.repository.hide(self.remote.name)}")
        return self.remote.fetch(self.fetched, self.refs.values())

    # -- the steps

    def exchange(self, verb: str) -> tuple[dict[str, Any], ColonyError | None]:
        if self.remote is None and verb != "sync":
            fix = "git remote add origin URL"
            raise ColonyError(f"there is no remote to {verb} {'from' if verb == 'pull' else 'to'}", fix=fix)
        self._read_refs()
        theirs = self._fetch()
        before = self.refs.get(self.base)
        if self.base not in self.refs:
            for commit in {theirs, self.refs.get(self.head)} - {None}:
                statetree.check_is_state(self.repository, str(commit), self.branch)
        stateworktree.attach(self.repository, self.branch)
        progress.tell("state", "comparing")
        losses = self._finish()
        local, mine = self._commit(theirs)
        merged, theirs, pushed, refusal = self._meet(verb, mine, theirs)
        if merged is not None and verb != "push":
            losses += self._write_back(local, mine, merged)
        now = self.refs.get(self.base)
        if now is not None:
            statefiles.put_forms(self._state(now))
        if now is not None and (now != before or self._died):
            stateworktree.refresh(self.repository, now)
            stateworktree.pack(self.repository, self.branch, self._state(now).size())
        return self._result(verb, local, mine, merged, theirs, pushed, losses), refusal

    def _finish(self) -> list[Loss]:
        """Bring to its end what a killed sync had begun to write back."""
        merging, base = self.refs.get(self.merging), self.refs.get(self.base)
        if merging is None or merging == base or (base and self.repository.is_ancestor(merging, base)):
            statefiles.unstage()
            return []
        losses = statefiles.put(self._state(base), self._state(merging))
        self._settle(merging)
        return losses

    def _settle(self, merged: str) -> None:
        """The files are as the commit has them: the branch and `base` follow."""
        head = self.refs.get(self.head)
        follows = head is None or self.repository.is_ancestor(head, merged)
        moves = {"base": merged, "merging": merged} | ({"head": merged} if follows else {})
        self._move("merged", **moves)

    def _commit(self, theirs: str | None) -> tuple[State, str | None]:
        """(what is in the files, the commit that has it); None where there is nothing and never was."""
        base = self.refs.get(self.base)
        before = self._state(base)
        elsewhere = {} if base else {**self._state(self.refs.get(self.head)).fields, **self._state(theirs).fields}
        local = statefiles.snapshot(before, elsewhere, self.host)
        found = statewords.changes(before, local)
        if not statewords.any_of(found) and local.files() == before.files():
            statefiles.forget_times(local)
            return local, base
        tasks = statetree.TASKS
        taskloss.keep(lineunion.missing(local.journals.get(tasks, b""), before.journals.get(tasks, b"")))
        message = statewords.message(statewords.words(found), self.host, merged=False)
        commit = self.repository.commit(statetree.write(self.repository, local), [base] if base else [], message)
        self._states[commit] = local
        head = self.refs.get(self.head)
        moves = {"base": commit, "merging": commit} | ({"head": commit} if head == base else {})
        self._move("committed", **moves)
        statefiles.forget_times(local)
        return local, commit

    def _meet(
        self, verb: str, mine: str | None, theirs: str | None
    ) -> tuple[str | None, str | None, bool, ColonyError | None]:
        """(the commit that has both what is here and what is there, the one there was, whether it was pushed, and if
        it could not be the reason)."""
        merged = None
        for attempt in range(ROUNDS):
            merged = self._merge(self._merge(mine, self.refs.get(self.head)), theirs)
            if self.remote is None or verb == "pull" or merged is None or merged == theirs:
                return merged, theirs, False, None
            progress.tell("state", f"sending to {self.repository.hide(self.remote.name)}")
            try:
                if self.remote.push(merged):
                    return merged, theirs, True, None
            except ColonyError as error:
                return merged, theirs, False, error
            time.sleep(random.uniform(0.02, 0.1) * min(attempt + 1, 8))
            theirs = self._fetch()
        what = f"other machines were faster {ROUNDS} times"
        fix = "what came until then is merged; try again later"
        return merged, theirs, False, ColonyError(what, fix=fix, code=BUSY)

    def _merge(self, one: str | None, other: str | None) -> str | None:
        """A commit that has all of both, which may be one of them."""
        if one is None or other is None or one == other:
            return one or other
        repository = self.repository
        if repository.is_ancestor(other, one):
            return one
        ours, theirs = self._state(one), self._state(other)
        before = None
        if ours.others != theirs.others:
            root = repository.merge_base(one, other)
            before = self._state(root).others if root else None
        joined = statetree.join(ours, theirs, before)
        tree = statetree.write(repository, joined)
        after = repository.is_ancestor(one, other)
        if after and tree == repository.ask("read the branch", "rev-parse", f"{other}^{{tree}}"):
            return other
        what = statewords.words(statewords.changes(ours, joined))
        message = statewords.message(what, self.host, merged=True)
        commit = repository.commit(tree, [other] if after else [one, other], message)
        self._states[commit] = joined
        return commit

    def _write_back(self, local: State, mine: str | None, merged: str) -> list[Loss]:
        after = self._state(merged)
        progress.tell("state", "writing")
        statefiles.stage(local, after)
        if merged != mine:
            self._move("merging", merging=merged)
        losses = statefiles.put(local, after)
        self._settle(merged)
        return losses

    # -- what came of it

    def _result(
        self,
        verb: str,
        local: State,
        mine: str | None,
        merged: str | None,
        theirs: str | None,
        pushed: bool,
        losses: Sequence[Loss],
    ) -> dict[str, Any]:
        after = self._state(merged)
        nothing = statewords.changes(State(), State())
        received = statewords.changes(local, after) if verb != "push" else nothing
        sent = statewords.changes(self._state(theirs), after) if pushed else nothing
        left_out = local.left_out + [found for found in after.left_out if found not in local.left_out]
        return {
            "action": verb,
            "branch": self.branch,
            "remote": self.repository.hide(self.remote.name).strip("'") if self.remote else None,
            "commit": merged if verb != "push" else mine,
            "pushed": pushed,
            "received": received,
            "sent": sent,
            "lost": list(losses),
            "left_out": [{"name": escape(name), "why": why} for name, why in left_out],
        }
