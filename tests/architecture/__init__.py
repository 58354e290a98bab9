"""Rules about the code and the project's own files."""
