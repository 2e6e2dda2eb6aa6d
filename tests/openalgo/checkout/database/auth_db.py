"""Tokens, with OpenAlgo's trap: a row that is cached is not read again by the same thread."""

import os
import sqlite3
import threading
from weakref import WeakValueDictionary

import mischief

if len(os.environ.get("API_KEY_PEPPER", "")) < 32:
    raise RuntimeError("API_KEY_PEPPER must have 32 characters")
PATH = os.environ["DATABASE_URL"].removeprefix("sqlite:///")

auth_cache = {}
feed_token_cache = {}
broker_cache = {}
verified_api_key_cache = {}
invalid_api_key_cache = {}


class Auth:
    """A row as it was when it was read."""

    def __init__(self, auth, feed_token):
        self.auth = auth
        self.feed_token = feed_token


class _Session(threading.local):
    """One for each thread; a row somebody still holds is given again, not read again."""

    def __init__(self):
        self.rows = WeakValueDictionary()

    def read(self, name):
        connection = sqlite3.connect(PATH)
        query = "SELECT auth, feed_token FROM auth WHERE name = ? AND NOT is_revoked"
        found = connection.execute(query, (name,)).fetchone()
        connection.close()
        if found is None:
            return None
        row = self.rows.get(name)
        if row is None:
            row = self.rows[name] = Auth(*found)
        return row

    def remove(self):
        self.rows = WeakValueDictionary()


db_session = _Session()


def get_auth_token(name, bypass_cache=False):
    key = f"auth-{name}"
    if bypass_cache or key not in auth_cache:
        auth_cache.pop(key, None)
        row = db_session.read(name)
        if row is None:
            return None
        mischief.meet(name, "token")
        auth_cache[key] = row
    return auth_cache[key].auth


def get_feed_token(name):
    key = f"feed-{name}"
    if key not in feed_token_cache:
        row = db_session.read(name)
        if row is None:
            return None
        feed_token_cache[key] = row
    return feed_token_cache[key].feed_token
