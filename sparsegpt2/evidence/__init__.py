"""Checks of whether a circuit is faithful, collected in one report. docs/faithfulness.md defines each check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparsegpt2.lazy import lazily

if TYPE_CHECKING:
    from sparsegpt2.evidence.collect import collect_evidence, report_path
    from sparsegpt2.evidence.config import EvidenceConfig
    from sparsegpt2.evidence.estimate import Estimate
    from sparsegpt2.evidence.registry import Check, check_names, get_check
    from sparsegpt2.evidence.report import Finding, Report, load_report

__all__ = [
    "Check",
    "Estimate",
    "EvidenceConfig",
    "Finding",
    "Report",
    "check_names",
    "collect_evidence",
    "get_check",
    "load_report",
    "report_path",
]

__getattr__ = lazily(__name__)
