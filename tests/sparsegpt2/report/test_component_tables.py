"""Tables of component circuits, worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sparsegpt2.report.component_tables import costs_table, ratios_table, size_ratios, sizes_table


@pytest.fixture
def rows(row):
    """Two methods on one model and task: ours with 4 and 10 edges, theirs with 6 and 12."""

    def found(method, edges, kl, seconds, megabytes):
        components = {"edges": edges, "edge_sparsity": 1 - edges / 46, "kl": kl, "megabytes": megabytes}
        return row(
            status="discovered",
            pruner=method,
            settings={"edges": edges},
            seconds=seconds,
            components={**components, "circuits_of_run": 2},
        )

    return [
        found("edge_pruning", 4, 0.04, 20.0, 9.6),
        found("edge_pruning", 10, 0.01, 20.0, 9.6),
        found("eap", 6, 0.2, 1.0, None),
        found("eap", 12, 0.03, 1.0, None),
    ]


def test_sizes_at_equal_faithfulness(rows):
    assert sizes_table(rows, 0.05).splitlines() == [
        "| model | task | edge_pruning | eap |",
        "| --- | --- | --- | --- |",
        "| sparse | for_while | 4 | 12 |",
    ]
    assert sizes_table(rows, 0.02).endswith("| 10 | – |")
    assert sizes_table([*rows[:2], replace(rows[2], task="var_if")], 0.05).endswith("| sparse | var_if | not run | – |")


def test_ratios_are_to_circuits_at_least_as_faithful(rows):
    ours, theirs = [row.components for row in rows[:2]], [row.components for row in rows[2:]]
    assert size_ratios(ours, theirs) == [4 / 12]  # none of theirs is as faithful as ours of 10 edges
    assert size_ratios(theirs, ours) == [6 / 4, 12 / 10]
    assert ratios_table(rows, "edge_pruning").splitlines()[2:] == ["| sparse | eap | 0.33 | 1 | 1 |"]
    assert ratios_table(rows, "eap").splitlines()[2:] == ["| sparse | edge_pruning | 1.34 | 0 | 2 |"]


def test_costs(rows):
    assert costs_table(rows).splitlines() == [
        "| method | sparse: s | sparse: circuits | sparse: MB |",
        "| --- | --- | --- | --- |",
        "| edge_pruning | 20.0 | 2 | 10 |",
        "| eap | 1.0 | 2 | – |",
    ]
