"""Sample maths: PCM codecs, resampling, frames, levels, the playout ledger.

Pure and synchronous, numpy only. Knows nothing of sockets, sessions or models.
"""
