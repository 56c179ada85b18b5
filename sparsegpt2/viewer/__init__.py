"""The circuit viewer, which writes a page: one HTML file that needs no other files.

`schema.py` describes the data in the page, and docs/viewer.md explains how to read the page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparsegpt2.lazy import lazily

if TYPE_CHECKING:
    from sparsegpt2.viewer.config import ViewConfig
    from sparsegpt2.viewer.gather import Viewed, circuit_data, evidence_beside
    from sparsegpt2.viewer.notes import read_notes
    from sparsegpt2.viewer.page import page_data, write_page
    from sparsegpt2.viewer.run import circuit_files, is_run, run_data, run_results
    from sparsegpt2.viewer.schema import CircuitData, PageData, RunData

__all__ = [
    "CircuitData",
    "PageData",
    "RunData",
    "ViewConfig",
    "Viewed",
    "circuit_data",
    "circuit_files",
    "evidence_beside",
    "is_run",
    "page_data",
    "read_notes",
    "run_data",
    "run_results",
    "write_page",
]

__getattr__ = lazily(__name__)
