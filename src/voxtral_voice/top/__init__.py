"""A running server, live in a terminal: `voxtral-voice top`.

Knows: what the server tells any operator (/metrics, /readyz, /v1/sessions). Does not know: the server.
"""
