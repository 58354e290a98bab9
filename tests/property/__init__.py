"""Properties of the pure core, searched with Hypothesis."""
