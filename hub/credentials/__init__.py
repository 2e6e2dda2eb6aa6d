"""The credentials of broker accounts: where they come from, and the sessions that logins bring."""
