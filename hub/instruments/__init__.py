"""The brokers' lists of instruments: downloaded, kept, and looked up."""
