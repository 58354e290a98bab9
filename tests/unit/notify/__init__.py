"""Notifications: what is said, to whom, when, and what waits."""
