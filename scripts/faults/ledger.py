"""All that clients got, held against all that was done to the hub. Pure; times in ns of one clock.

1. A gap is judged by when its ticks were published: each must lie in the window of a fault that
   stood on that client's way. Then it is counted, else a promise is broken.
2. An order update that was published before the reply to its subscribe is not owed, though older
   ones may have come that were under way for another follower on that shard.
3. What is broken is told with the fault that began last before it.
"""

from __future__ import annotations

from scripts.faults.account import ORDERS, Account, Broken, Gap


class Window:
    """From a fault to its recovery and a margin: what was published then may be missing for those
    whose shard is `scope`, or for all when it is empty. Order updates only if `orders`."""

    def __init__(self, name: str, scope: str, begin_ns: int, *, orders: bool = False) -> None:
        self.name = name
        self.scope = scope
        self.begin_ns = begin_ns
        self.end_ns = 0
        self.orders = orders
        self.missing = 0

    def __repr__(self) -> str:
        return f"<Window {self.name} {self.scope or 'all'} {self.missing} missing>"

    def covers(self, gap: Gap, at_ns: int) -> bool:
        """Whether a tick published then may be missing."""
        if gap.topic.startswith(ORDERS) and not self.orders:
            return False
        if self.scope and gap.account.shard not in {"", self.scope}:
            return False
        return self.begin_ns <= at_ns and (not self.end_ns or at_ns <= self.end_ns)


class Ledger:
    """All accounts, and the faults that were done meanwhile."""

    def __init__(self) -> None:
        self.accounts: list[Account] = []
        self.windows: list[Window] = []
        self.events: list[tuple[int, str]] = []  # when which fault began
        self.broken: list[Broken] = []
        self.excused = 0
        self.before_reply = 0
        self.received = 0
        self.skipped = 0

    def __repr__(self) -> str:
        return f"<Ledger {len(self.accounts)} accounts, {len(self.broken)} promises broken>"

    def account(self, account: Account) -> Account:
        """Keep it to be judged."""
        self.accounts.append(account)
        return account

    def open(self, window: Window) -> Window:
        """A fault begins that may cost ticks."""
        self.windows.append(window)
        return window

    def event(self, at_ns: int, name: str) -> None:
        """A fault begins."""
        self.events.append((at_ns, name))

    def fail(self, promise: str, who: str, what: str, at_ns: int) -> None:
        """Something else than a client's sequence was not as promised."""
        self.broken.append(self._near(Broken(promise, who, what, at_ns)))

    def judge(self) -> None:
        """Judge what has come so far. Windows that may still cover it must have been opened."""
        for account in self.accounts:
            self.broken += [self._near(one) for one in account.broken]
            account.broken.clear()
            for gap in account.gaps:
                self._judge(gap)
            account.gaps.clear()

    def drop(self, account: Account) -> None:
        """A connection has ended: judge it, count it, forget it."""
        self.judge()
        self.received += account.received
        self.skipped += account.skipped
        self.accounts.remove(account)

    def _judge(self, gap: Gap) -> None:
        orders = gap.topic.startswith(ORDERS)
        for at_ns in gap.times():
            if orders and at_ns < gap.since_ns:
                self.before_reply += 1
                continue
            window = next((one for one in self.windows if one.covers(gap, at_ns)), None)
            if window is None:
                kind = "order updates" if orders else "gap"
                since = gap.after if gap.after >= 0 else "the subscribe reply"
                after_s = (at_ns - gap.since_ns) / 1e9
                what = (
                    f"{gap.topic}: {gap.missing} missing between {since} and {gap.before}, the "
                    f"first published {after_s:.2f} s after the subscribe reply"
                )
                who = f"{gap.account.who} on {gap.account.shard or 'a shard'}"
                self.broken.append(self._near(Broken(kind, who, what, at_ns)))
                return
            window.missing += 1
            self.excused += 1

    def _near(self, broken: Broken) -> Broken:
        """Name the fault that began last before it."""
        before = [(at_ns, name) for at_ns, name in self.events if at_ns <= broken.at_ns]
        if not before:
            return broken
        at_ns, name = max(before)
        return broken._replace(nearby=f"{(broken.at_ns - at_ns) / 1e9:.2f} s after {name}")
