"""The HTTP surface, and the only place that knows HTTP."""
