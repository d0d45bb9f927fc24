"""Stock clients, unmodified, against our server in its own process."""
