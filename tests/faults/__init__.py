"""What must hold when things break: each fault injected for real, one scenario each, with what was measured."""
