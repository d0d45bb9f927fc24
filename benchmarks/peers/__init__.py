"""The same conversation loop with the alternatives, each in an environment and a process of its own."""
