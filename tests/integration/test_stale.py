"""What is stale is seen: in `hub status`, by clients that ask, and only while its market is open."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.integration.conftest import MakeHub
from tests.integration.harness import ROOT, Client, Hub, Message, Publisher, fresh, until

SESSIONS = ["NSE always", "BSE sun 00:00-00:01"]
"""One market that is always open, and one that is hardly ever."""

ASKS = {"stale_info": True}


@pytest.fixture(scope="module")
def stale_flags() -> dict[str, Any]:
    return {
        "hub.feeds": ["bus"],
        "hub.shards": 2,
        "upstream.stale_s": 1.0,
        "market.sessions": SESSIONS,
        "market.calendar": "",
    }
