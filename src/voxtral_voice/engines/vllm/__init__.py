"""Voxtral behind vLLM: its three endpoints as engines, and the process that serves them."""
