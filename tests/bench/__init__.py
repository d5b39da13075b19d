"""Measurements of speed and memory: `make bench`. Figures, not tests: nothing here can fail."""
