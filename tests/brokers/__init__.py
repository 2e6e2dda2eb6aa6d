"""Fake brokers: servers on loopback, one per wire format."""
