"""Sample maths: PCM codecs, resampling, frames, levels, the playout ledger.

Pure and synchronous but for `wav`, which reads and writes files; numpy, soxr, soundfile. Knows nothing of
sockets, sessions or models.
"""
