"""Adapters against the real PostgreSQL, Docker Engine and systemd."""
