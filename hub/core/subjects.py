"""NATS subjects. Pure. (A stand-in until the real one is here.)"""

from __future__ import annotations


def escape(name: str) -> str:
    return (
        "".join(c if (c.isalnum() and c.isascii()) or c in "-_" else f"={ord(c):x}=" for c in name)
        or "="
    )


def beat(prefix: str) -> str:
    return f"{prefix}.beat"


def ask(prefix: str, machine: str) -> str:
    return f"{prefix}.ask.{escape(machine)}"


def edge(prefix: str, machine: str) -> str:
    return f"{prefix}.edge.{escape(machine)}"


def audience(prefix: str, stay: str, edges: tuple[int, ...]) -> list[str]:
    banks: dict[int, set[int]] = {}
    for one in edges:
        banks.setdefault(one // 8, set()).add(one % 8)
    return [
        f"{prefix}.t.{stay}.{bank}." + ".".join("1" if at in found else "0" for at in range(8))
        for bank, found in banks.items()
    ]


def mine(prefix: str, stay: str, number: int) -> str:
    at = number % 8
    return f"{prefix}.t.{stay}.{number // 8}." + ".".join(
        "1" if one == at else "*" for one in range(8)
    )
