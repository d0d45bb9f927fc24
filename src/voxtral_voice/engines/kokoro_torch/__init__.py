"""Kokoro-82M in PyTorch, for a GPU: phrases of several sessions in one run. torch is imported when the speaker starts,
not before."""
