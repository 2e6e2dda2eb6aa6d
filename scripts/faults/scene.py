"""All that a run of faults is played with: the hub, its clients, the lines to them, the ledger."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from hub.feeds.sim.names import STOCKS
from scripts.faults.account import Account
from scripts.faults.clients import Client
from scripts.faults.connection import Connection
from scripts.faults.hub import Hub
from scripts.faults.ledger import Ledger, Window
from scripts.faults.proxy import Proxy
from scripts.faults.publisher import Source, name

USERS = {"anita": "zerodha", "bela": "angel", "chandra": "dhan", "simon": "sim"}
"""The users of the hub and their brokers; ticks of the bus are everybody's but the simulator's."""

SIM_SYMBOLS = 40
_FEW, _SOME = 100, 200
_LINES = 12
WIDE_LINES = 6
"""The first so many lines lead to clients that hold all symbols: those alone fall behind in the
seconds that a fault lasts."""
_LOOK_S = 0.1
_HELD_UP_S = 1.5
_SMALL_BUFFER = 1 << 16
_MOMENT_NS = 3 * 10**9
_clock_ns = time.monotonic_ns


class Scene:
    """See the module."""

    def __init__(self, hub: Hub, source: Source, seed: int) -> None:
        self.hub = hub
        self.ledger = Ledger()
        self.clients: list[Client] = []
        self.stopped: set[int] = set()
        self.gone: dict[str, int] = {}  # when a shard was last killed, or told to leave
        self.excused_names: set[str] = set()
        self.ending = False
        self.disconnected = 0
        self.retries: dict[str, int] = {}
        self.peak: dict[str, int] = {}
        self.first_memory: dict[str, int] = {}
        self.held_up_s = 0.0
        self._source = source
        self._seed = seed
        self._proxies: list[Proxy] = []
        self._proxied: list[Client] = []
        self._delays: deque[tuple[int, int, str]] = deque(maxlen=200_000)
        self._tasks: set[asyncio.Task[Any]] = set()

    def __repr__(self) -> str:
        return f"<Scene {len(self.clients)} clients, {self.ledger!r}>"

    # Beginning and end.

    def populate(self) -> None:
        """Bring all clients on."""
        rng = random.Random(f"{self._seed} clients")
        symbols = [name(number) for number in range(self._source.symbols)]
        users = [user for user in USERS if user != "simon"]
        both = {"batch": True, "encoding": "msgpack"}

        def some(count: int) -> list[str]:
            return rng.sample(symbols, min(count, len(symbols)))

        def add(kind: str, number: int, wants: Sequence[str], **more: Any) -> Client:
            client = self._client(f"{kind}-{number}", users[number % 3], wants, **more)
            self.clients.append(client)
            return client

        add("all", 0, symbols, orders=True)
        add("all-both", 0, symbols, orders=True, form=both)
        for number in range(10):
            add("steady", number, some(_FEW), orders=number % 2 == 0)
        for number in range(4):
            add("both", number, some(_SOME), form=both, orders=True)
        for number in range(2):
            add("batch", number, some(_FEW), form={"batch": True})
        for number in range(6):
            add("restless", number, some(_FEW), restless=True)
        stocks = STOCKS.split()[::2][:SIM_SYMBOLS]
        for number in range(4):
            self.clients.append(self._client(f"sim-{number}", "simon", stocks))
        for number in range(_LINES):
            proxy = Proxy(self.hub.port, buffer_bytes=_SMALL_BUFFER)
            self._proxies.append(proxy)
            wants = symbols if number < WIDE_LINES else some(_SOME)
            form = both if number % 2 else None
            client = add("line", number, wants, loose=True, orders=True, proxy=proxy, form=form)
            self._proxied.append(client)
        for client in self.clients:
            self.background(client.live())
        self.background(self._watch())
        self.background(self._place())
        self.background(self._weigh())

    async def close(self) -> None:
        """All clients leave."""
        self.ending = True
        for client in self.clients:
            client.leave()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for proxy in self._proxies:
            await proxy.close()

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something until the scene closes; when it fails, that is told."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    # Who is there.

    def steady(self) -> list[Client]:
        """The clients that have all they want and keep up."""
        return [client for client in self.clients if client.steady]

    def proxied(self, number: int) -> Client:
        """The client of a line."""
        return self._proxied[number % len(self._proxied)]

    def proxy(self, number: int) -> Proxy:
        """A line."""
        return self._proxies[number % len(self._proxies)]

    @property
    def lines(self) -> int:
        """How many lines there are."""
        return len(self._proxies)

    def thaw(self) -> None:
        """All lines are well again."""
        for proxy in self._proxies:
            proxy.clear()

    def shard_of(self, client: Client) -> str:
        """Which shard serves it; empty when that is not known."""
        return client.account.shard if client.account else ""

    def placed(self) -> bool:
        """Whether it is known of all clients that are served."""
        return all(not client.ready_ns or self.shard_of(client) for client in self.clients)

    def guest(self, called: str, rng: random.Random) -> Client:
        """A client that comes for a while, with a few symbols of the bus."""
        symbols = [name(rng.randrange(self._source.symbols)) for _ in range(5)]
        return self._client(called, "anita", list(dict.fromkeys(symbols)))

    # What is well.

    def ticked_since(self, since_ns: int) -> Callable[[Client], bool]:
        """Whether a client has a tick that was published after this."""
        return lambda client: bool(client.account and client.account.first_ns() >= since_ns)

    def all_current(self, since_ns: int, user: str = "") -> bool:
        """Whether all steady clients have a tick of each of their topics that was published after
        this; those of the bus, or of the simulator's `user`."""
        sim = user == "sim"
        steady = [one for one in self.steady() if (one.user == "simon") == sim]
        return bool(steady) and all(
            one.account is None or one.account.oldest_ns() >= since_ns for one in steady
        )

    def p99_ms(self, begin_ns: int, end_ns: int, *, without: str) -> float:
        """How long the slowest hundredth of the ticks took that clients of other shards read in
        this time."""
        delays = sorted(
            delay
            for at_ns, delay, shard in self._delays
            if begin_ns <= at_ns < end_ns and shard != without
        )
        return delays[len(delays) * 99 // 100] / 1e6 if delays else 0.0

    def fail(self, promise: str, who: str, what: str) -> None:
        """A promise was broken that no client's sequence shows."""
        self.ledger.fail(promise, who, what, _clock_ns())

    # Below: details.

    def _client(
        self,
        called: str,
        user: str,
        wants: Sequence[str],
        *,
        proxy: Proxy | None = None,
        **more: Any,
    ) -> Client:
        client = Client(
            called,
            port=lambda: proxy.port if proxy else self.hub.port,
            user=user,
            key=self.hub.keys[user],
            symbols=wants,
            period_ns=self._source.period_ns,
            seed=self._seed,
            **more,
        )
        client.on_connect = self.ledger.accounts.append
        client.on_close = self._closed
        client.on_error = self._erred
        if client.loose:
            return client
        client.delays = lambda sent_ns, now_ns: self._delays.append(
            (now_ns, now_ns - sent_ns, self.shard_of(client))
        )
        return client

    def _closed(self, client: Client, connection: Connection) -> None:
        """A connection has ended: whether it might."""
        account = connection.account
        self.disconnected += 1
        excused = (
            self.ending
            or not client.wanted
            or client.name in self.excused_names
            or self._went(account)
            or (client.loose and connection.code == 1013)
        )
        if not excused:
            how = (
                f"{connection.code} {connection.reason!r}" if connection.code else "without a word"
            )
            how = connection.refused or how
            self.fail(
                "nobody is disconnected", f"{account.who} on {account.shard}", f"closed {how}"
            )
        if account in self.ledger.accounts:
            self.ledger.drop(account)

    def _went(self, account: Account) -> bool:
        """Whether the shard that served a connection has gone since; when it is not known which
        one that was, any that has gone, even a moment before."""
        if account.shard:
            return account.begun_ns < self.gone.get(account.shard, 0)
        return account.begun_ns < max(self.gone.values(), default=0) + _MOMENT_NS

    def _erred(self, what: str) -> None:
        """A request was refused, or not answered."""
        self.retries[what] = self.retries.get(what, 0) + 1

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail("the harness itself", "a task", repr(error))

    async def _place(self) -> None:
        """Find out who serves whom, soon after somebody has connected."""
        while True:
            await asyncio.sleep(_LOOK_S)
            unknown = [one for one in self.clients if one.ready_ns and not self.shard_of(one)]
            if not unknown:
                continue
            shards = await asyncio.to_thread(self.hub.shards_by_port)
            ports = {self._proxied[n].name: p.ports() for n, p in enumerate(self._proxies)}
            for client in unknown:
                if client.connection is not None:
                    for port in ports.get(client.name, [client.connection.port]):
                        client.connection.account.shard = shards.get(port, "")

    async def _watch(self) -> None:
        """While this process stands still its clients are the slow ones, and not to be judged."""
        while True:
            before_ns = _clock_ns()
            await asyncio.sleep(_LOOK_S)
            late_s = (_clock_ns() - before_ns) / 1e9 - _LOOK_S
            self.held_up_s = max(self.held_up_s, late_s)
            if late_s > _HELD_UP_S:
                own = Window("the harness stood still", "", before_ns - 10**9)
                own.end_ns = _clock_ns() + 2 * 10**9
                self.ledger.open(own)
                self.ledger.event(before_ns, f"the harness stood still for {late_s:.1f} s")

    async def _weigh(self) -> None:
        while True:
            for process, size in (await asyncio.to_thread(self.hub.memory)).items():
                self.first_memory.setdefault(process, size)
                self.peak[process] = max(size, self.peak.get(process, 0))
            await asyncio.sleep(1)
