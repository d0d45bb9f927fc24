"""Voxtral in this process, through transformers. torch is imported when a model is loaded, not before."""
