"""Addresses, names, peers, connection events, the warning about silence, and diagnostics."""
