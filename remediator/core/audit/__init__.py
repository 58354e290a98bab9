"""The audit: what is known of a database and its clients becomes a report with findings. Pure."""
