"""The whole control loop in a seeded random world, under virtual time, watched by an observer of that world.

`python -m tests.simulation --help` says how to run it. What runs is the real cycle with the real core and
settings read from real YAML; databases, runtimes, ledger and clock are the shipped fakes.
"""
