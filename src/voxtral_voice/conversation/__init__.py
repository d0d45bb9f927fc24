"""The conversation core: whose turn is it, what is said next, what was heard.

Pure: no sockets, threads, asyncio, clocks, randomness or logging. `Session.receive(event, now)` returns commands.
"""
