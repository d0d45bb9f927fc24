"""The event log of a session: written while it goes on, replayed through the core afterwards.

Knows: the core, its events and commands, files. Does not know: sockets, engines, the wire.

    codec       events and commands <-> JSON
    redact      what was said is taken out, in a way that keeps every decision
    recording   the file: its lines, written and read
    recorder    sessions that are recorded, and the thread that writes
    compare     the core once more, beside what it said then
    listing     a replayed session for a person to read
    command     `voxtral-voice replay`
"""
