"""One adapter per technology, unaware of each other; only they touch the world."""
