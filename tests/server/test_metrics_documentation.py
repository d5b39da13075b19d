"""docs/metrics.md and the dashboard against what is counted."""

import json
import re
from pathlib import Path
from typing import Any, get_args

from prometheus_client.parser import text_string_to_metric_families

from server.engine.messages import FinishReason
from server.metrics import (
    ArchiveReading,
    DocumentsReading,
    EngineReading,
    Metrics,
    ModelReading,
    Reading,
    StoreReading,
)
from server.metrics.observers import REASONS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
DASHBOARD = json.loads((ROOT / "docker" / "grafana-dashboard.json").read_text(encoding="utf-8"))
ROW = re.compile(r"^\| (`.*?`) \| (\w+) \|(.*?)\| ", re.M)
OURS = "rwkv_server_"
SUFFIX = re.compile(r"_(bucket|sum|count)$")


def families() -> dict[str, Any]:
    """By name as it is asked for, with a sample of everything."""
    metrics = Metrics()
    metrics.read = lambda: Reading(
        [ModelReading("m", "7", "float32")],
        [EngineReading("m", 1, 1, 1, 1)],
        [StoreReading("disk", 1, 1, 1, 1, ArchiveReading(1, 1, 1, 1))],
        {"in_progress": 1},
        DocumentsReading(1, 1, 1, (1, 1)),
    )
    metrics.request("/", 200, 1.0)
    metrics.error("server_error", None)
    metrics.answers("m")
    metrics.steps("m")
    found = text_string_to_metric_families(metrics.exposition()[0].decode())
    return {f.name + "_total" * (f.type == "counter"): f for f in found}


FAMILIES = families()


def documented() -> dict[str, tuple[str, set[str]]]:
    """Type and labels by name."""
    rows = [
        (names, kind, re.findall(r"`(\w+)`", labels)) for names, kind, labels in ROW.findall(TEXT)
    ]
    return {
        name: (kind, set(labels))
        for names, kind, labels in rows
        for name in re.findall(r"`(\w+)`", names)
    }


def labels_of(family: Any) -> set[str]:
    return {label for sample in family.samples for label in sample.labels} - {"le"}


def test_every_metric_is_documented() -> None:
    assert set(FAMILIES) - set(documented()) == set()


def test_no_metric_of_ours_is_documented_that_is_not_there() -> None:
    assert {name for name in documented() if name.startswith(OURS)} - set(FAMILIES) == set()


def test_types_and_labels_are_the_documented_ones() -> None:
    found = {name: (family.type, labels_of(family)) for name, family in FAMILIES.items()}
    assert found == {name: row for name, row in documented().items() if name in found}


def test_every_reason_for_which_an_answer_ends_is_counted() -> None:
    assert set(REASONS) == {*get_args(FinishReason), "failed"}
    assert {f"`{reason}`" for reason in REASONS} - set(re.findall(r"`\w+`", TEXT)) == set()


def test_the_bounds_of_every_histogram_rise_to_infinity() -> None:
    histograms = [family for family in FAMILIES.values() if family.type == "histogram"]
    assert len(histograms) == 7
    for family in histograms:
        bounds = [s.labels["le"] for s in family.samples if s.name.endswith("_bucket")]
        assert bounds[-1] == "+Inf"
        assert bounds[:-1] == sorted(bounds[:-1], key=float)


def expressions() -> list[str]:
    targets = [target for panel in DASHBOARD["panels"] for target in panel["targets"]]
    return [
        *(target["expr"] for target in targets),
        *(variable["definition"] for variable in DASHBOARD["templating"]["list"][1:]),
    ]


def test_the_dashboard_asks_only_for_metrics_that_are_there() -> None:
    asked = {
        name
        for expression in expressions()
        for name in re.findall(r"\b(?:rwkv_server|process|python)_\w+", expression)
    }
    assert len(asked) > 15
    assert {SUFFIX.sub("", name) for name in asked} - set(FAMILIES) == set()


def test_the_dashboard_takes_parts_of_histograms_only() -> None:
    parts = {
        name
        for expression in expressions()
        for name in re.findall(r"\brwkv_server_\w+", expression)
        if SUFFIX.search(name)
    }
    assert parts
    assert {FAMILIES[SUFFIX.sub("", name)].type for name in parts} == {"histogram"}


def test_the_dashboard_has_no_place_taken_twice() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)
