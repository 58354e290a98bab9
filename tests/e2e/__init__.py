"""The whole program against the real world."""
