"""All speed measurements in one run: `python -m benchmarks [SECTION ...] [--threads 1] [--repeats 5] [--quick]`.

A section is a module of `benchmarks/sections` with a function `run(bench)`, which prints results and returns them as
plain values. Everything runs on the CPU and, if there is one, on the GPU. Results are written to `benchmarks/results`.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import pkgutil
import re
from pathlib import Path
from typing import Any

import torch

from benchmarks import sections
from benchmarks.measure import Bench, environment
from sparsegpt2.files import write_json

RESULTS = Path(__file__).parent / "results"
QUICKSTART = Path("runs/quickstart")


def main() -> None:
    known = sorted(module.name for module in pkgutil.iter_modules(sections.__path__))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"any of {', '.join(known)}; by default all")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: as torch chooses")
    parser.add_argument("--repeats", type=int, default=5, help="rounds; the median over them is reported")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller shapes")
    parser.add_argument("--device", help="cpu or cuda; by default both")
    parser.add_argument("--models", nargs="*", help="trained models to prune; by default those of the quickstart")
    options = parser.parse_args()
    unknown = sorted(set(options.sections) - set(known))
    if unknown:
        parser.error(f"unknown section {unknown[0]}; known are {', '.join(known)}")
    if options.threads:
        torch.set_num_threads(options.threads)
    names = [options.device] if options.device else ["cpu"] + ["cuda"] * torch.cuda.is_available()
    models = tuple(sorted(map(str, QUICKSTART.glob("*/best"))) if options.models is None else options.models)
    for name in names:
        bench = Bench(device=torch.device(name), repeats=options.repeats, quick=options.quick, models=models)
        measure(bench, options.sections or known)


def measure(bench: Bench, names: list[str]) -> None:
    """Run the sections on one device and write their results."""
    about = environment(bench)
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    found: dict[str, Any] = {}
    for name in names:
        print(f"\n== {name}", flush=True)
        found[name] = importlib.import_module(f"benchmarks.sections.{name}").run(bench)
    day = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    machine = re.sub(r"[^a-z0-9]+", "-", about["machine"].lower()).strip("-")
    path = RESULTS / f"{machine}-{day}-{'all' if len(names) > 2 else '-'.join(names)}{'-quick' * bench.quick}.json"
    RESULTS.mkdir(exist_ok=True)
    write_json(path, {"environment": about} | found)
    print(f"\nwritten to {path}")


if __name__ == "__main__":
    main()
