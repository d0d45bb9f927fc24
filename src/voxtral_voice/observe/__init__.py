"""What an operator sees of a running server.

Knows: logs. Does not know: what was said; no log ever holds it.
"""
