"""libzmq's sockets as the hub opens them: bounds, errors in words, nothing lost at the end."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import zmq

from hub.core.errors import StartError
from hub.core.window import Window
from hub.runtime import links
from hub.runtime.links import PULL, PUSH, Pairs, bind, connect, ipc
from hub.runtime.pump import BATCH, Pump
from tests.hub.runtime.kit import run, until


def receive(sock: zmq.Socket[bytes]) -> list[bytes]:
    assert sock.poll(10_000), "nothing came"
    return sock.recv_multipart()


def test_a_switchs_socket_tells_of_nobody_and_hands_a_name_to_its_newest_bearer(
    directory: Path,
) -> None:
    """Who was killed and started anew must not wait for its old line to be found dead."""
    switch = bind(zmq.ROUTER, ipc(directory, "x"))
    with pytest.raises(zmq.ZMQError):
        switch.send_multipart([b"nobody", b""])
    bearers = []
    for number in range(2):
        bearers.append(connect(zmq.DEALER, ipc(directory, "x"), identity="name"))
        bearers[-1].send(b"%d" % number)
        assert receive(switch) == [b"name", b"%d" % number]
    switch.send_multipart([b"name", b"hello"])
    assert receive(bearers[1]) == [b"hello"]
    for sock in (switch, *bearers):
        sock.close(linger=0)


def test_a_socket_of_which_nothing_is_said_has_a_bound_all_the_same(directory: Path) -> None:
    socks = bind(PULL, ipc(directory, "x")), connect(PUSH, ipc(directory, "x"))
    for sock in socks:
        assert (sock.getsockopt(zmq.RCVHWM), sock.getsockopt(zmq.SNDHWM)) == (1000, 1000)
        sock.close()


def test_an_address_that_is_taken_is_a_start_error_that_says_who_and_where() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        address = f"tcp://127.0.0.1:{sock.getsockname()[1]}"
        with pytest.raises(StartError) as caught:
            bind(zmq.SUB, address, what="the bus")
    assert str(caught.value).startswith(f"the bus cannot listen on {address}: Address already in")


def test_a_directory_that_is_gone_is_a_start_error(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="the router cannot listen on ipc://"):
        bind(PULL, ipc(tmp_path / "gone", "x"), what="the router")


def test_what_was_sent_before_a_socket_was_closed_still_arrives(directory: Path) -> None:
    """A goodbye, or the last ticks of a drain, is sent and the socket closed in one breath."""
    pull = bind(PULL, ipc(directory, "x"))
    push = connect(PUSH, ipc(directory, "x"))
    sent = [b"%d" % number * 50_000 for number in range(100)]  # more than any buffer on the way
    for message in sent:
        push.send(message)
    push.close()
    assert [receive(pull) for _ in sent] == [[message] for message in sent]
    pull.close()


def test_a_reader_that_does_not_read_holds_no_more_than_its_queue(directory: Path) -> None:
    """Else a stopped shard would take in all memory: the queue is bounded at both ends."""
    pull = bind(PULL, ipc(directory, "x"), queue=5)
    push = connect(PUSH, ipc(directory, "x"), queue=5)
    sent = 0
    while sent < 5000 and push.poll(300, zmq.POLLOUT):
        push.send(b"x" * 10_000, zmq.NOBLOCK)
        sent += 1
    assert 10 <= sent < 5000, "it took in all there was"
    push.close(linger=0)
    pull.close()


def test_an_outlet_says_whether_there_was_room(directory: Path) -> None:
    outlet = links.Push(bind(PUSH, ipc(directory, "x"), queue=5))
    assert not outlet.send([b"nobody"])
    pull = connect(PULL, ipc(directory, "x"))
    while not outlet.send([b"a", b"b"]):
        pull.poll(10)
    assert receive(pull) == [b"a", b"b"]
    outlet.close()
    pull.close()


def test_whoever_sends_far_too_much_is_cut_off_and_may_come_back(directory: Path) -> None:
    pull = bind(PULL, ipc(directory, "x"), most_bytes=1000)
    push = connect(PUSH, ipc(directory, "x"))
    push.send(b"x" * 1001)
    got: list[bytes] = []
    while not got:
        push.send(b"small")
        if pull.poll(20):
            got = pull.recv_multipart()
    assert got == [b"small"]
    push.close(linger=0)
    pull.close()


def test_pairs_are_read_a_batch_at_a_time(directory: Path) -> None:
    async def test() -> None:
        sizes: list[int] = []
        pull = bind(PULL, ipc(directory, "x"), queue=0)
        push = connect(PUSH, ipc(directory, "x"), queue=0)
        for _ in range(2 * BATCH + 5):
            push.send_multipart([b"NSE_A_LTP", b"{}"])
        pump = Pump(lambda: None, Window(0))
        pump.add(Pairs(pull, 100, lambda pairs, bad: sizes.append(len(pairs) // 2)))
        await until(lambda: sum(sizes) == 2 * BATCH + 5)
        assert max(sizes) <= BATCH
        pump.close()
        push.close()

    run(test())
