"""Voxtral Voice AI: talk to a machine you own."""

__version__ = "0.1.0"
