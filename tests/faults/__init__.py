"""What must hold when things break: each fault injected for real, with what was measured."""
