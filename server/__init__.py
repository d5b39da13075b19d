"""rwkv-server: a local, private chat server for RWKV models."""

__version__ = "0.1.0"
