"""Real servers and engines for tests: started on demand, always removed."""
