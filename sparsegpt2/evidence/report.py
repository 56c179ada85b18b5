"""The report on one circuit: the finding of each check, a summary line, and the file that holds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sparsegpt2.errors import UserError
from sparsegpt2.evidence.estimate import Estimate, Verdict
from sparsegpt2.files import read_json, write_json
from sparsegpt2.plain import check, check_record, reading
from sparsegpt2.results.markup import table

FORMAT, KIND = 1, "sparsegpt2 evidence"
CONTROLS = "controls"
"""The check that alone makes a circuit `not believable` if it fails."""
Records = dict[str, dict[str, Any]]
SAID = ("task", "nodes", "edges", "pruner", "seed", "target_loss")
"""Facts about the circuit that are shown above the table of findings."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of one check."""

    verdict: Verdict
    says: str
    """One sentence: the deciding numbers and the threshold, or why the check could not run."""
    numbers: dict[str, Estimate] = field(default_factory=dict)
    """Every measured number with its sampling error; losses and gaps in nats."""
    details: dict[str, Any] = field(default_factory=dict)
    """Plain values that are not estimates: counts, thresholds, settings."""
    seconds: float = 0.0
    """Wall-clock time the check took."""

    def __repr__(self) -> str:
        return f"Finding({self.verdict}: {self.says})"


@dataclass(kw_only=True)
class Report:
    """The findings of the checks of one circuit. The report's file is saved after each check."""

    identity: str
    """Hash of everything that the numbers in the findings depend on: model, circuit, test pairs, text and settings."""
    about: dict[str, Any]
    """Facts about the circuit (task, pruner, seed, target_loss, nodes, edges, ...), number of pairs, source of text."""
    findings: dict[str, Finding] = field(default_factory=dict)
    """Name of the check -> its finding."""
    memo: dict[str, Any] = field(default_factory=dict)
    """Finished parts of unfinished checks, such as the circuit of one pruning seed. A key is `check/part`."""
    path: Path | None = None
    """The report's file; None if it is not saved."""

    def __repr__(self) -> str:
        about = self.about
        head = " ".join(str(about[name]) for name in ("task", "circuit") if about.get(name))
        return f"Report({head}{': ' if head else ''}{self.summary()})"

    def _repr_html_(self) -> str:
        rows = [(name, finding.verdict, finding.says) for name, finding in self.findings.items()]
        about = ", ".join(f"{name} {self.about[name]}" for name in SAID if self.about.get(name) not in (None, ""))
        return table(("check", "verdict", "what it found"), rows, f"{self.verdict}: {about}")

    def add(self, check: str, finding: Finding) -> None:
        """Add a finished check and save the file."""
        self.findings[check] = finding
        self.memo = {key: value for key, value in self.memo.items() if not key.startswith(f"{check}/")}
        self.save()

    def remember(self, key: str, make: Callable[[], Any]) -> Any:
        """The value of `make()`, which is computed once and saved in the file.

        key: `check/part`. The value must be one that JSON can store.
        """
        if key not in self.memo:
            self.memo[key] = make()
            self.save()
        return self.memo[key]

    def save(self) -> None:
        """Write the report to its file, if it has one. An interrupted write leaves the earlier file unchanged."""
        if self.path is not None:
            values = {"format": FORMAT, "kind": KIND, "identity": self.identity, **self.to_dict(), "memo": self.memo}
            write_json(self.path, values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a file or a row of results: about, verdict, summary, findings."""
        findings = {name: asdict(finding) for name, finding in self.findings.items()}
        return {"about": self.about, "verdict": self.verdict, "summary": self.summary(), "findings": findings}

    def with_verdict(self, verdict: Verdict) -> list[str]:
        """Names of the checks with the given verdict."""
        return [name for name, finding in self.findings.items() if finding.verdict == verdict]

    @property
    def verdict(self) -> str:
        """`believable`, `not believable` (the controls fail), `doubtful` (another check fails or is unclear), or
        `undecided` (the controls were not run)."""
        controls = self.findings.get(CONTROLS)
        if controls is not None and controls.verdict == "fails":
            return "not believable"
        if self.with_verdict("fails"):
            return "doubtful"
        if controls is None or controls.verdict == "not run":
            return "undecided"
        return "doubtful" if self.with_verdict("unclear") else "believable"

    def summary(self) -> str:
        """One line: the verdict, then which checks hold, fail, are unclear or were not run."""
        parts = [
            f"{word} {', '.join(names)}"
            for word, names in (
                ("holds:", self.with_verdict("holds")),
                ("fails:", self.with_verdict("fails")),
                ("unclear:", self.with_verdict("unclear")),
                ("not run:", self.with_verdict("not run")),
            )
            if names
        ]
        return "; ".join([self.verdict, *parts])


def load_report(path: str | Path) -> Report:
    """Read a report. `UserError`, with the path, if the file is missing, is damaged or does not contain a report."""
    values = read_json(path, "evidence file")
    if not isinstance(values, dict) or values.get("kind") != KIND or values.get("format") != FORMAT:
        raise UserError(f"{path} is not an evidence file of format {FORMAT}: write one with `sparsegpt2 evaluate`")
    with reading(f"evidence file {path}", "delete it"):
        findings = {name: _finding(entry) for name, entry in check(values["findings"], Records, "findings").items()}
        about = check(values["about"], dict[str, Any], "about")
        check(about.get("check_sources", {}), dict[str, str], "check_sources")
        return Report(
            identity=check(values["identity"], str, "identity"),
            about=about,
            findings=findings,
            memo=check(values["memo"], dict[str, Any], "memo"),
            path=Path(path),
        )


def _finding(entry: dict[str, Any]) -> Finding:
    numbers = {
        name: Estimate(**check_record(Estimate, number, name))
        for name, number in check(entry["numbers"], Records, "numbers").items()
    }
    return Finding(**check_record(Finding, {**entry, "numbers": numbers}, "a finding"))
