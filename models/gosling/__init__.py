"""Gosling: the bundled demo model, its synthetic dialogues, its training and its evaluation."""

from pathlib import Path

PATH = Path(__file__).parent
"""The folder of the weights and the tokenizer, as `models.loader` takes it."""
