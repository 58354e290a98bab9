"""The decisions, pure: frozen values in, frozen values out; no I/O, no clock, no logging."""
