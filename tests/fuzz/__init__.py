"""Any bytes at all for everything that reads bytes from outside."""
