"""Comparisons with other programs; run by hand, since they have to be built first."""
