"""What is wanted of broker accounts, who has what, and what follows. Pure.

1. An account is told to connect while its user is here, and `linger_s` longer. Those of brokers
   that punish a new login are kept for good (worker_brokers.KEPT).
2. A key belongs to one account of its scope, which is asked for it. When that one refuses it, or
   leaves, or fails, another of the same scope is asked.
3. What an account once had is asked for again by the worker when it is connected anew: nobody
   below hears of it, unless it is refused then.
4. A worker that starts is told everything.
5. Of a refusal for want of room the hub is told so: it may have something to give back.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hub.core import topics
from hub.core.model import FULL, Identity, Isolation, Result, Want
from hub.feeds.openalgo import worker_wants
from hub.feeds.openalgo.worker_brokers import KEPT

_TRIES = 3
_TRY_S = 60.0
"""A failed login may be tried so often at once, and once more after this time: shards ask for it
again and again, and a broker is not to be stormed with a token that has expired."""
Command = dict[str, Any]
Row = tuple[bytes, int, str, int]
"""Of a worker's results: key, modes, error, levels (worker_wants.FULL: there is no room)."""


class Outcome(NamedTuple):
    """What follows: commands for the worker, answers for the hub."""

    commands: list[Command]
    answers: list[Result]


@dataclass(slots=True)
class Account:
    """One user's login at one broker. `state` is connecting, up, failed or leaving."""

    name: str
    identity: Identity
    scope: bytes
    state: str = "connecting"
    code: str = ""
    error: str = ""
    here: bool = True
    leave_at: float = math.inf
    tries: float = _TRIES - 1
    tried_at: float = 0.0
    keys: dict[bytes, None] = field(default_factory=dict)  # in the order they were asked for

    def may_try(self, now: float) -> bool:
        """Whether a failed login may be tried again: a broker is not to be stormed."""
        self.tries = min(_TRIES, self.tries + (now - self.tried_at) / _TRY_S)
        self.tried_at = now
        if self.tries < 1:
            return False
        self.tries -= 1
        return True


@dataclass(slots=True)
class _Entry:
    """A key: what is wanted of it, of whom, in which modes it is there, who has refused it."""

    want: Want
    owner: str = ""
    good: int = 0
    refused: set[str] = field(default_factory=set)


class Book:
    """All accounts and keys. `now` is in seconds."""

    def __init__(self, isolation: Isolation, linger_s: float) -> None:
        self._isolation = isolation
        self._linger_s = linger_s
        self.accounts: dict[str, Account] = {}
        self._entries: dict[bytes, _Entry] = {}
        self._asked: dict[str, list[Want]] = defaultdict(list)
        self._commands: list[Command] = []
        self._answers: list[Result] = []

    def __repr__(self) -> str:
        up = sum(account.state == "up" for account in self.accounts.values())
        return f"<Book {len(self.accounts)} accounts, {up} up, {len(self._entries)} keys>"

    def __len__(self) -> int:
        """How many keys are wanted."""
        return len(self._entries)

    @property
    def topics(self) -> int:
        """How many modes of them are wanted: this walks over all keys."""
        return sum(entry.want.modes.bit_count() for entry in self._entries.values())

    # What is wanted.

    def apply(self, wants: Sequence[Want], now: float) -> Outcome:
        """Changes of what is wanted: of logins first, for what they carry."""
        for want in wants:
            if want.key.startswith(topics.LOGIN):
                self._login(want, now)
        for want in wants:
            if not want.key.startswith(topics.LOGIN):
                self._want(want)
        return self._outcome()

    def invalidate(self, user: str, kind: str, hanging: Collection[str] = ()) -> Outcome:
        """A user's credentials have changed: the worker connects anew, with fresh ones. Accounts
        that hang would never come to it, so others take their places."""
        self._commands.append({"t": "invalidate", "user": user, "kind": kind})
        for account in self.accounts.values():
            if account.identity.user == user and account.state != "leaving":
                account.state, account.tries = "connecting", _TRIES
                if account.name in hanging:
                    self._begin(account, anew=True)
        return self._outcome()

    def sweep(self, now: float) -> Outcome:
        """Accounts whose users have been away long enough leave."""
        for account in self.accounts.values():
            if account.leave_at <= now:
                account.leave_at, account.state = math.inf, "leaving"
                self._commands.append(_account(account, on=False))
                self._hand_over(account)
        return self._outcome()

    # What the worker tells.

    def began(self) -> Outcome:
        """A worker has started and knows nothing."""
        for account in list(self.accounts.values()):
            if account.state == "leaving":
                del self.accounts[account.name]
                continue
            account.state = "connecting"
            self._begin(account)
        return self._outcome()

    def stands(self, name: str, state: str, code: str, error: str) -> Outcome:
        """An account is up, has failed, or is down."""
        account = self.accounts.get(name)
        if account is None:
            return self._outcome()
        login = topics.login(*account.identity)
        if state == "down":
            if account.state == "leaving":
                del self.accounts[name]
        elif account.state != "leaving":
            account.state, account.code, account.error = state, code, error
            if account.here:
                self._answers.append(Result(login, 1, error, code=code))
            if state == "failed":
                self._hand_over(account, only_up=True)
        return self._outcome()

    def results(self, name: str, rows: Iterable[Row]) -> Outcome:
        """What an account's adapter said to what it was asked for."""
        for key, modes, error, levels in rows:
            entry = self._entries.get(key)
            if entry is None or entry.owner != name:
                continue
            if not error:
                entry.good = modes & entry.want.modes
                entry.refused.clear()
                self._answers.append(Result(key, modes, "", levels))
            elif not (entry.good and self.accounts[name].state != "up"):
                self._refused(key, entry, modes, error, full=levels == worker_wants.FULL)
        return self._outcome()

    def absent(self, problem: str) -> Outcome:
        """There is no worker, and there will be none for a while: nobody is to wait for it."""
        for account in self.accounts.values():
            if account.state in {"connecting", "up"}:
                account.state, account.code, account.error = "failed", "", problem
                if account.here:
                    self._answers.append(Result(topics.login(*account.identity), 1, problem))
                self._fail_new(account, problem)
        return self._outcome()

    def hangs(self, name: str, problem: str) -> Outcome:
        """An account's adapter does not return: who waits for it is told so."""
        account = self.accounts.get(name)
        if account is None:
            return self._outcome()
        if account.state == "connecting" and account.here:
            account.state, account.code, account.error = "failed", "", problem
            self._answers.append(Result(topics.login(*account.identity), 1, problem))
        self._fail_new(account, problem)
        return self._outcome()

    # Below: details.

    def _begin(self, account: Account, *, anew: bool = False) -> None:
        """Tell the worker of an account, and all that is wanted of it."""
        self._commands.append(_account(account, on=True, anew=anew))
        self._asked[account.name] += [self._entries[key].want for key in account.keys]

    def _outcome(self) -> Outcome:
        for name, wants in self._asked.items():
            if not wants:
                continue
            account = self.accounts[name]
            if not account.here and not account.keys and not any(want.modes for want in wants):
                self._commands.append({"t": "unsubscribe_all", "account": name})
            else:
                self._commands.append({"t": "want", "account": name, "wants": wants})
        outcome = Outcome(self._commands, self._answers)
        self._commands, self._answers = [], []
        self._asked.clear()
        return outcome

    def _login(self, want: Want, now: float) -> None:
        identity = Identity(want.symbol, want.exchange)
        name = f"{identity.broker}/{identity.user}"
        account = self.accounts.get(name)
        if not want.modes:
            if account is not None:
                account.here = False
                kept = identity.broker in KEPT and account.state == "up"
                account.leave_at = math.inf if kept else now + self._linger_s
            return
        if account is None:
            scope = topics.scope(self._isolation.origin(identity))
            account = self.accounts[name] = Account(name, identity, scope, tried_at=now)
            self._commands.append(_account(account, on=True))
            return
        account.here, account.leave_at = True, math.inf
        if account.state == "up":
            self._answers.append(Result(want.key, want.modes))
        elif account.state == "leaving" or (account.state == "failed" and account.may_try(now)):
            account.state = "connecting"
            self._commands.append(_account(account, on=True))
        elif account.state == "failed":
            self._answers.append(Result(want.key, want.modes, account.error, code=account.code))

    def _want(self, want: Want) -> None:
        entry = self._entries.get(want.key)
        if not want.modes:
            if entry is not None:
                del self._entries[want.key]
                self._disown(want.key, entry)
            return
        if entry is None:
            entry = self._entries[want.key] = _Entry(want)
        entry.want = want
        entry.refused.clear()
        owner = self.accounts.get(entry.owner)
        if owner is None:
            self._place(want.key, entry, "")
        elif owner.state == "failed":
            self._give_up(want.key, entry, want.modes, owner.error)
        else:
            self._asked[owner.name].append(want)

    def _place(self, key: bytes, entry: _Entry, problem: str) -> None:
        """Ask the next account of the scope; when there is none, the key is refused."""
        account = self._next(key, entry)
        if account is None:
            self._give_up(key, entry, entry.want.modes, problem or self._why_not(key))
            return
        entry.owner, entry.good = account.name, 0
        account.keys[key] = None
        self._asked[account.name].append(entry.want)

    def _next(self, key: bytes, entry: _Entry) -> Account | None:
        """The account to ask: of those that have not refused it one that is up, else one that
        may come up; the oldest first."""
        able = [
            account
            for account in self._of_scope(topics.scope_of(key))
            if account.name not in entry.refused and account.state in {"up", "connecting"}
        ]
        return min(able, key=lambda account: account.state != "up", default=None)

    def _of_scope(self, scope: bytes) -> list[Account]:
        return [account for account in self.accounts.values() if account.scope == scope]

    def _why_not(self, key: bytes) -> str:
        able = self._of_scope(topics.scope_of(key))
        failed = [account.error for account in able if account.state == "failed"]
        return failed[0] if failed else "no broker login is there for it"

    def _refused(self, key: bytes, entry: _Entry, modes: int, error: str, *, full: bool) -> None:
        """An account does not give a key, or not in all modes: another may."""
        entry.refused.add(entry.owner)
        if not entry.good and self._next(key, entry):
            self._disown(key, entry)
            self._place(key, entry, error)
        else:
            self._give_up(key, entry, modes, error, FULL if full else "")

    def _give_up(self, key: bytes, entry: _Entry, modes: int, problem: str, code: str = "") -> None:
        """Tell that a key cannot be had in these modes. What it was there in stays, unless all
        that is asked for was there: then it is lost."""
        self._answers.append(Result(key, modes, problem, code=code))
        left = entry.good if entry.want.modes & ~entry.good else 0
        if left:
            entry.want = entry.want._replace(modes=left)
            if entry.owner:
                self._asked[entry.owner].append(entry.want)
        else:
            del self._entries[key]
            self._disown(key, entry)

    def _fail_new(self, account: Account, problem: str) -> None:
        """Whoever waits for something of this account is told that it cannot be had."""
        for key in list(account.keys):
            entry = self._entries[key]
            if entry.want.modes & ~entry.good:
                self._give_up(key, entry, entry.want.modes, problem)

    def _disown(self, key: bytes, entry: _Entry) -> None:
        """The account that has a key is to have it no more."""
        account = self.accounts.get(entry.owner)
        entry.owner, entry.good = "", 0
        if account is not None:
            account.keys.pop(key, None)
            self._asked[account.name].append(entry.want._replace(modes=0))

    def _hand_over(self, account: Account, *, only_up: bool = False) -> None:
        """Ask others of the scope for what this account had; those that are up, or any."""
        others = [one for one in self._of_scope(account.scope) if one is not account]
        if only_up and not any(one.state == "up" for one in others):
            return
        for key in list(account.keys):
            entry = self._entries[key]
            entry.refused = {account.name}
            self._disown(key, entry)
            self._place(key, entry, "the broker login has ended")


def _account(account: Account, *, on: bool, anew: bool = False) -> Command:
    user, broker = account.identity
    return {
        "t": "account",
        "account": account.name,
        "user": user,
        "broker": broker,
        "prefix": account.scope,
        "on": on,
        "anew": anew,
    }
