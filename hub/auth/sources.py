"""Where API keys come from: the hub's own file, the database of OpenAlgo's checkout, and the
monitor, which is a client for its page."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from hub.auth.database import Database
from hub.auth.keystore import default_path
from hub.auth.openalgo import OpenAlgoVerifier
from hub.auth.verifier import Verifier
from hub.auth.verifiers import AnyVerifier, Several
from hub.core.errors import ConfigError, KeyStoreError
from hub.core.names import PAGE_KEYS
from hub.core.settings import Settings
from hub.openalgo.checkout import Checkout
from hub.runtime.paths import runtime_dir


def keys_of(settings: Settings, environ: Mapping[str, str] = os.environ) -> AnyVerifier:
    """Who answers for the API keys of this hub. Raises ConfigError when a checkout cannot say."""
    own_file = Path(settings.keys.file) if settings.keys.file else default_path(environ)
    own: AnyVerifier = Verifier(own_file, settings.keys.cache_s)
    if settings.page.enabled:
        page = Verifier(runtime_dir(settings, environ) / PAGE_KEYS, settings.keys.cache_s)
        own = Several(own, page)
    if not settings.openalgo.path:
        return own
    checkout = Checkout.read(Path(settings.openalgo.path))
    database = Database(checkout.database_url, checkout.root)
    try:
        return Several(own, OpenAlgoVerifier(database, checkout.pepper, settings.keys.cache_s))
    except KeyStoreError as error:
        raise ConfigError([f"{checkout.root / '.env'}: {error}"]) from None
