"""Engines: the models behind small Protocols (`base`), one file per engine, and the thread worker that runs them."""
