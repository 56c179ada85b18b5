"""Makes the pictures of docs/viewer.md and the README, from pages that `sparsegpt2 view` writes.

    sparsegpt2 prune zoo:memory-768 --task single_double_quote --out quote.json
    python -m studies.viewer_images quote.json docs/results/main --out docs/images

Writes viewer-circuit.png (the most important value channel selected, with the attention of its head), viewer-node.png
(the activations of the same channel) and viewer-run.png (the figures of a results folder). Needs chromium, chromedriver
and selenium.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sparsegpt2.commands.view import view
from sparsegpt2.files import replacing

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

WIDTH, HEIGHT, SCALE = 1280, 760, 2
CHOOSE = """
const { circuit, go } = sparsegpt2.view;
go(circuit.byImportance().find((i) => circuit.nodes[i].site.endsWith("attn.v")));
"""
SCROLL = """
const wanted = [...document.querySelectorAll(".panel h3")].find((h) => h.textContent.startsWith(arguments[0]));
wanted.scrollIntoView();
"""


def main() -> None:
    """Write both pages, open them in a browser and save the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("circuit", help="file of a circuit")
    parser.add_argument("results", help="results folder or run")
    parser.add_argument("--out", default="docs/images")
    arguments = parser.parse_args()
    out = Path(arguments.out)
    with tempfile.TemporaryDirectory() as folder:
        circuit_page, run_page = Path(folder) / "circuit.html", Path(folder) / "run.html"
        view([arguments.circuit, "--out", str(circuit_page)])
        view([arguments.results, "--out", str(run_page)])
        browser = chromium()
        try:
            browser.get(circuit_page.as_uri())
            browser.execute_script(CHOOSE)
            for name, heading in (("circuit", "Attention"), ("node", "Activations")):
                time.sleep(1)  # the browser draws changes a little later
                browser.execute_script(SCROLL, heading)
                take(browser, out / f"viewer-{name}.png")
            browser.get(run_page.as_uri())
            take(browser, out / "viewer-run.png")
        finally:
            browser.quit()


def chromium() -> Chrome:
    """A headless browser with a window of `WIDTH` x `HEIGHT` pixels and `SCALE` device pixels per pixel."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": SCALE, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    return browser


def take(browser: Chrome, path: Path) -> None:
    """Save a screenshot as PNG with 256 colours, chosen to cover the whole range so that rare colours survive."""
    from PIL import Image

    time.sleep(1)
    shown = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    few = shown.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=4, dither=Image.Dither.NONE)
    with replacing(path) as file:
        few.save(file, "PNG", optimize=True)
    print(f"{path}  {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
