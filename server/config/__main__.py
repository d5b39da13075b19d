"""`python -m server.config DIRECTORY` rewrites config.toml and docs/config.md there."""

import sys
from pathlib import Path

from server.config import render


def main(directory: Path) -> None:
    """Makes both files anew from the schema."""
    (directory / "config.toml").write_text(render.reference(), encoding="utf-8")
    page = directory / "docs" / "config.md"
    page.write_text(render.document(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
