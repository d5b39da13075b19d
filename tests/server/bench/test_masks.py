"""`rwkv-server bench constraints`."""

import json

from typer.testing import CliRunner

from server.cli import app


def test_every_kind_of_constraint_has_positive_figures_in_order() -> None:
    done = CliRunner().invoke(app, ["bench", "constraints", "--tokens", "100", "--json"])
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    assert len({row["name"] for row in rows}) == len(rows) > 5
    for row in rows:
        assert row["tokens"] == 100
        assert 0 < row["median_us"] <= row["p99_us"]
        assert row["prepare_ms"] > 0


def test_the_table_has_a_row_for_each() -> None:
    done = CliRunner().invoke(app, ["bench", "constraints", "--tokens", "100"])
    assert done.exit_code == 0, done.output
    assert "an object after thoughts" in done.stdout
