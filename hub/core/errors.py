"""Every error the hub raises on purpose, in one tree.

    HubError                    exit code 1
    ├── ConfigError        78   settings that cannot be used; carries every problem found
    ├── StartError         73   a port, a directory or a lock that cannot be had
    ├── NotRunning         69   no hub answers at this runtime directory
    ├── NotTrusted              a hub's certificate is of nobody who is trusted
    ├── NoAnswer           69   a process did not answer in time; says which
    │   └── NobodyListens  69   nobody is there who could
    ├── BrokerError             a broker refuses us, or is not reached; carries the kind of it
    ├── NoBucket                what NATS keeps for us cannot be had just now; says why
    ├── KeyStoreError      74   the file of API keys cannot be read or written
    ├── Malformed               bytes from outside that do not follow their format
    ├── RequestError            a client's request that gets an error reply; carries its code
    └── SubscribeError          symbols that a client was refused; carries each with its sentence

Exit codes are those of sysexits(3); FAULT is that of an exception nobody meant.
Across a process boundary travel codes, never exceptions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hub.core.model import Fault

FAULT = 70


class HubError(Exception):
    """Base of all errors below. The text is meant for the person at the terminal."""

    exit_code = 1


class ConfigError(HubError):
    """Settings that cannot be used. `problems` holds one sentence for each."""

    exit_code = 78

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class StartError(HubError):
    """Something the hub needs to start is not to be had; the text says what to do."""

    exit_code = 73


class NotRunning(HubError):
    """No hub runs at this runtime directory."""

    exit_code = 69


class NotTrusted(HubError):
    """The certificate of a hub is of nobody who is trusted."""


class NoAnswer(HubError):
    """`who` did not answer within `waited_s` seconds."""

    exit_code = 69

    def __init__(self, who: str, waited_s: float) -> None:
        super().__init__(f"{who} did not answer within {waited_s:g} s")
        self.who = who
        self.waited_s = waited_s


class NobodyListens(NoAnswer):
    """Nobody is there who could answer, at the moment."""


class BrokerError(HubError):
    """A broker refuses us, or is not reached: the kind of it, and a sentence that holds nothing
    secret."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(text)
        self.fault = fault


class NoBucket(HubError):
    """What NATS keeps for us (JetStream) cannot be read or written just now."""


class KeyStoreError(HubError):
    """The file of API keys cannot be read or written."""

    exit_code = 74


class Malformed(HubError):
    """Bytes from outside that do not follow their format."""


class RequestError(HubError):
    """A client's request that is answered with `{"status": "error", "code": code, ...}`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class SubscribeError(HubError):
    """Some symbols of a subscribe were refused: `failed` has the hub's sentence for each."""

    def __init__(self, failed: Mapping[str, str]) -> None:
        told = [f"{name}: {sentence}" for name, sentence in failed.items()]
        more = [f"and {len(told) - 5} more"] if len(told) > 5 else []
        super().__init__("; ".join(["cannot be subscribed: " + told[0], *told[1:5], *more]))
        self.failed = dict(failed)
