"""What every implementation of a port promises, real and in-memory alike."""
