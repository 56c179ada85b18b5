"""The summary page stands alone and says what came out; so do the closing lines on the console."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from sparsegpt2 import UserError
from sparsegpt2.report.summary import SummaryFacts, closing_text, write_summary
from sparsegpt2.report.training import read_metrics, training_curve


class Page(HTMLParser):
    """Text of a page by tag, and whatever it would load from elsewhere."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open, self.text, self.outside = [], {}, []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "br", "img", "link"):
            self.open.append(tag)
        self.outside += [
            value for name, value in attributes if name in ("src", "href", "xlink:href") or "url(" in (value or "")
        ]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.text.setdefault(self.open[-1], []).append(data)


@pytest.fixture
def results(tmp_path, fakes, row, written):
    rows = fakes("dense", d_model=128, l0=655_000, density=1.0, loss=2.239, edges=6000, tasks=6, seeds=2)
    rows += fakes("wide & <sparse>", d_model=512, l0=210_000, density=0.1, loss=2.21, edges=500, seeds=2)
    rows.append(row(model="dense", model_path="runs/dense", fingerprint=rows[0].fingerprint, density=1.0, task="odd",
                    status="unavailable", reason="'x' is 2 tokens", has_task=False, held_out_loss=2.239))  # fmt: skip
    return written(tmp_path / "results", rows)


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "dense"
    folder.mkdir()
    steps = [{"step": i, "tokens": 100 * i, "loss": 7.0 - i, "density": 1.0} for i in range(1, 5)]
    steps[1] |= {"held_out_loss": 5.1, "l0": 655_000}
    steps[3] |= {"held_out_loss": 3.1, "l0": 600_000}
    (folder / "metrics.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps) + '{"tok')
    return folder


def test_the_page_stands_alone_and_says_the_headline(tmp_path, results, run):
    facts = SummaryFacts(title="Try", command="sparsegpt2 quickstart --out 'a<b>'", seed=3, minutes=12.34)
    found = write_summary(tmp_path / "summary.html", [results], runs=[run], facts=facts)
    html = (tmp_path / "summary.html").read_text()
    page = Page(html)
    assert page.open == []
    assert all(link.startswith(("#", "url(#")) for link in page.outside)
    assert html.count("<svg") == 3
    text = " ".join(" ".join(part) for part in page.text.values())
    ratio = re.search(r"The circuits of wide & <sparse> are (\d+\.\d) times smaller than those of dense", text)
    dense, sparse = found.points
    assert float(ratio[1]) == pytest.approx(dense.size.value / sparse.size.value, abs=0.06)
    assert "geometric mean over 6 tasks that count for both" in text
    assert "over 2 pruning seeds" in text
    assert "2.210 nats per token (wide & <sparse>) against 2.239 (dense)" in text
    for fact in (facts.command, "12.3 minutes", "2 cores", "655,000", "6 of 8", "lacks the task (0.600)"):
        assert fact in text
    assert "Unavailable: odd ('x' is 2 tokens)." in text


def test_the_closing_text_says_where_and_what(tmp_path, results):
    found = write_summary(tmp_path / "summary.html", [results])
    lines = closing_text(found, "runs/summary.html").splitlines()
    assert lines[0] == "Summary: runs/summary.html"
    assert re.match(
        r"  dense +held-out loss 2\.239  L0  655k  has 6 of 8 tasks  [\d,]+ edges \(mean over 6 shared\)", lines[2]
    )
    assert "times smaller than those of dense" in lines[-1]


def test_a_sparse_model_that_is_worse_is_said_to_be(tmp_path, fakes, written):
    rows = fakes("dense", d_model=128, l0=655_000, density=1.0, loss=2.2, edges=100)
    rows += fakes("near", d_model=128, l0=65_000, density=0.1, loss=2.25, edges=1000)
    rows += fakes("far", d_model=128, l0=6_500, density=0.01, loss=2.9, edges=10)
    found = write_summary(tmp_path / "s.html", [written(tmp_path / "r", rows)])
    text = closing_text(found, "s.html")
    assert "No sparse model reaches the held-out loss of a dense model. The nearest: 2.250 nats per token" in text
    assert "times larger than those of dense" in text


def test_without_a_dense_model_the_smallest_circuits_are_named(tmp_path, fakes, written):
    rows = fakes("only", d_model=128, l0=65_000, density=0.1, loss=2.25, edges=1000)
    found = write_summary(tmp_path / "s.html", [written(tmp_path / "r", rows)])
    assert "only has the smallest circuits: " in closing_text(found, "s.html")


def test_when_no_task_counts_the_page_says_so_without_figures(tmp_path, fakes, written):
    rows = fakes("only", d_model=128, l0=65_000, density=0.1, loss=2.25, edges=1000, tasks=0)
    found = write_summary(tmp_path / "s.html", [written(tmp_path / "r", rows)])
    html = (tmp_path / "s.html").read_text()
    assert "No model has any of the 7 tasks" in html
    assert "<svg" not in html
    assert "not compared" in closing_text(found, "s.html")


def test_a_training_curve_is_what_was_logged(run):
    curve = training_curve(run)
    assert curve.name == "dense"
    assert curve.tokens == [100, 200, 300, 400]
    assert curve.loss == [6.0, 5.0, 4.0, 3.0]
    assert curve.held_out == [(200, 5.1), (400, 3.1)]
    assert curve.l0 == [(200, 655_000), (400, 600_000)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "does not exist"),
        ('{"tokens": 1}\n', r"metrics.jsonl line 1 lacks the field 'loss'"),
        ('{"step": 1, "tokens": 1, "loss": 2}\n{"tok\n', r"metrics.jsonl line 2 is not valid JSON"),
        ("3\n", r"line 1 is not a JSON object"),
    ],
)
def test_metrics_that_cannot_be_read_are_named(tmp_path, text, sentence):
    if text is not None:
        (tmp_path / "metrics.jsonl").write_text(text)
    with pytest.raises(UserError, match=sentence):
        read_metrics(tmp_path)
