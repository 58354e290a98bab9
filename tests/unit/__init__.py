"""Fast tests of single parts, without a server."""
