"""The text side of a turn: templates, stops, what a request means. No HTTP, no torch."""
