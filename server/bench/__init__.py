"""Measurements: the engine's speed and memory, conversations over HTTP, and what formats cost."""
