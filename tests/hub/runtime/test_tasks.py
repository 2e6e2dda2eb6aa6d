"""The end of tasks."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from hub.runtime.tasks import end


def test_a_task_that_forgets_that_it_was_cancelled_ends_all_the_same() -> None:
    forgotten = []

    async def forgets() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        forgotten.append(True)
        await asyncio.sleep(3600)

    async def test() -> None:
        async with asyncio.timeout(20):
            tasks = [asyncio.create_task(forgets()) for _ in range(2)]
            await asyncio.sleep(0)
            await end(tasks)
            assert all(task.cancelled() for task in tasks)
            await end(tasks)
            await end([])

    asyncio.run(test())
    assert forgotten == [True, True]
