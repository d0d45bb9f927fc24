"""One driver per wire: it translates between a caller and a kind of server.

Knows: messages. Does not know: sockets, clocks (the time of each message is given), figures.
"""
