"""An auditor: attacks a server over its port, and says of each attack what was sent, expected, and what came.

    python -m benchmarks.audit                       servers of its own, and what they wrote to their log
    python -m benchmarks.audit URL --api-key KEY     yours

Knows: HTTP, WebSocket and the server's promises, from outside. Does not know: the server's code.
"""
