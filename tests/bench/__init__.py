"""Comparisons that are run by hand, of this server with its parts and with other programs."""
