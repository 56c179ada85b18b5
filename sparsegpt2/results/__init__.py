"""Benchmark rows on disk: reading, writing, choosing, averaging, and where each row came from.

`rows.py` is the record and its identity, `lines.py` a row as JSON, `store.py` the file of rows in a folder, `packed.py`
the same file compressed, `choose.py` selects rows, `aggregate.py` takes means over tasks and seeds, `provenance.py`
says which code and machine made a row. `listing.py` and `markup.py` show rows in a notebook, `tables.py` as CSV and in
a terminal.
"""

from sparsegpt2.results.aggregate import (
    DENSE_FROM,
    ModelResult,
    Ratio,
    Size,
    Spread,
    TaskResult,
    all_ratios,
    comparable,
    geometric_mean,
    headline_ratio,
    model_results,
    ratio_mean,
    shared_tasks,
    size_ratio,
)
from sparsegpt2.results.choose import (
    USUAL_TARGET,
    choose_pruner,
    choose_target,
    component_rows,
    current_rows,
    display_names,
    load_results,
)
from sparsegpt2.results.lines import parse_row
from sparsegpt2.results.listing import Results
from sparsegpt2.results.packed import PACKED
from sparsegpt2.results.provenance import commit, provenance
from sparsegpt2.results.rows import Row, row_identity
from sparsegpt2.results.store import RESULTS, append_row, has_rows, merge_results, pack_rows, read_rows, repair
from sparsegpt2.results.tables import Table, aligned, write_cells, write_table

__all__ = [
    "DENSE_FROM",
    "PACKED",
    "RESULTS",
    "USUAL_TARGET",
    "ModelResult",
    "Ratio",
    "Results",
    "Row",
    "Size",
    "Spread",
    "Table",
    "TaskResult",
    "aligned",
    "all_ratios",
    "append_row",
    "choose_pruner",
    "choose_target",
    "commit",
    "comparable",
    "component_rows",
    "current_rows",
    "display_names",
    "geometric_mean",
    "has_rows",
    "headline_ratio",
    "load_results",
    "merge_results",
    "model_results",
    "pack_rows",
    "parse_row",
    "provenance",
    "ratio_mean",
    "read_rows",
    "repair",
    "row_identity",
    "shared_tasks",
    "size_ratio",
    "write_cells",
    "write_table",
]
