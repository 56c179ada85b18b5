"""The pictures of docs/viewer.md and the README, from pages that `sparsegpt2 view` makes of a quickstart run.

    python studies/viewer_images.py runs/quickstart --circuit sparse-128/bracket_brace --out docs/images

Writes viewer-circuit.png (the most important value channel isolated, with its head's attention), viewer-node.png (the
same channel's activations) and viewer-run.png (the run's figures). Needs chromium, chromedriver and selenium.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sparsegpt2.cli import view
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
    """Make both pages, then look at them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--circuit", default="sparse-128/bracket_brace")
    parser.add_argument("--out", default="docs/images")
    arguments = parser.parse_args()
    run, out = Path(arguments.run), Path(arguments.out)
    file = next((run / "circuits" / arguments.circuit).glob("node-*.json"))
    with tempfile.TemporaryDirectory() as folder:
        circuit_page, run_page = Path(folder) / "circuit.html", Path(folder) / "run.html"
        view([str(file), "--out", str(circuit_page)])
        view([str(run), "--out", str(run_page)])
        browser = chromium()
        try:
            browser.get(circuit_page.as_uri())
            browser.execute_script(CHOOSE)
            for name, heading in (("circuit", "Attention"), ("node", "Activations")):
                time.sleep(1)  # a page that has just changed is drawn a little later
                browser.execute_script(SCROLL, heading)
                take(browser, out / f"viewer-{name}.png")
            browser.get(run_page.as_uri())
            take(browser, out / "viewer-run.png")
        finally:
            browser.quit()


def chromium() -> Chrome:
    """A headless browser as large as a laptop's, with sharp pixels."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": SCALE, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    return browser


def take(browser: Chrome, path: Path) -> None:
    """Write what the browser shows, in 256 colours spread over all there are, so that none turns into another."""
    from PIL import Image

    time.sleep(1)
    shown = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    few = shown.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=4, dither=Image.Dither.NONE)
    with replacing(path) as file:
        few.save(file, "PNG", optimize=True)
    print(f"{path}  {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
