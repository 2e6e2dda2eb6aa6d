"""Upstox: what is known of it. Pure."""
