"""Several verifiers that answer as one.

1. They are asked in their order, and the first that knows the key gives the grant.
2. Whether a grant stands is for whoever gave it.
3. One that is in trouble hides no grant of another. When none gives one, the trouble is told: the
   key may be its.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from hub.auth.verifier import Grant
from hub.core.errors import KeyStoreError


class AnyVerifier(Protocol):
    """What a shard asks; verifier.py says what each answer means."""

    async def grant(self, api_key: str) -> Grant | None:
        """What this key gives."""

    def stands(self, grant: Grant) -> bool:
        """Whether its key is still good."""
        ...

    def changed(self) -> bool:
        """Whether grants may have ended since this was last asked."""
        ...

    def forget(self) -> None:
        """Look anew at the next question."""

    def close(self) -> None:
        """Give back what is held."""


class _Given(NamedTuple):
    by: AnyVerifier
    grant: Grant


class Several:
    """These verifiers as one: the fast ones first."""

    def __init__(self, *verifiers: AnyVerifier) -> None:
        self._verifiers = verifiers

    def __repr__(self) -> str:
        return f"<Several {' '.join(map(repr, self._verifiers))}>"

    async def grant(self, api_key: str) -> Grant | None:
        """What this key gives, by rules 1 and 3; KeyStoreError as in Verifier."""
        troubles: list[str] = []
        for verifier in self._verifiers:
            try:
                grant = await verifier.grant(api_key)
            except KeyStoreError as error:
                troubles.append(str(error))
                continue
            if grant is not None:
                return Grant(grant.identity, grant.key_id, _Given(verifier, grant))
        if troubles:
            raise KeyStoreError("; ".join(troubles))
        return None

    def stands(self, grant: Grant) -> bool:
        """Rule 2; False for a grant of somebody else."""
        given = grant.proof
        return isinstance(given, _Given) and given.by.stands(given.grant)

    def changed(self) -> bool:
        """Whether any of them changed; all are asked, for one looks only when it is."""
        answers = [verifier.changed() for verifier in self._verifiers]
        return any(answers)

    def forget(self) -> None:
        """Have each look anew at the next question."""
        for verifier in self._verifiers:
            verifier.forget()

    def close(self) -> None:
        """Close each."""
        for verifier in self._verifiers:
            verifier.close()
