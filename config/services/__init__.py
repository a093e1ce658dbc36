"""The local service runner: PostgreSQL, Redis and every part of Go/No-Go on one machine, without anything installed.

Nothing in this package needs Django's settings, so that it can start the servers which the settings point to.
"""
