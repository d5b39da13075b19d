"""`python -m server` is the command rwkv-server."""

from server.cli import main

if __name__ == "__main__":
    main()
