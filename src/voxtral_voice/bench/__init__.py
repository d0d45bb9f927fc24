"""Measuring a voice server from outside: what a caller says, what comes back, when, and the figures made of it.

Knows: recorded speech, a microphone's schedule, a loudspeaker, the wire of several kinds of server. Does not know: our
server's insides.
"""
