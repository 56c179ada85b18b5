"""The page in a real browser: what is drawn, what clicks and keys do, and that nothing is asked of the network."""

from __future__ import annotations

import json
import time
from itertools import combinations, pairwise

import pytest

from sparsegpt2.viewer import page_data, read_notes, write_page

REACHED = {
    "0.attn.act_in.1",
    "0.attn.act_in.2",
    "0.attn.act_in.3",
    "0.attn.q.0",
    "0.attn.k.0",
    "0.attn.v.0",
    "0.attn.resid_delta.4",
    "0.mlp.act_in.4",
    "0.mlp.post_act.5",
    "0.mlp.resid_delta.6",
}
"""The nodes that reach neuron 5 or are reached by it: along edges, residual channel 4 and the head's pattern."""


@pytest.fixture(scope="module")
def page(planted_data, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "planted.html"
    write_page(path, page_data([planted_data]))
    return path


@pytest.fixture
def opened(browser, page):
    """The planted circuit's page, freshly loaded."""
    return open_page(browser, page)


def open_page(browser, path, address: str = ""):
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # what earlier pages said is not this page's
    browser.get("about:blank")
    browser.get(path.as_uri() + address)
    return browser


def run(browser, code: str, *arguments):
    return browser.execute_script(f"const {{cy}} = sparsegpt2.view.graph; return {code}", *arguments)


def ids(browser, selector: str) -> list[str]:
    return run(browser, f"cy.nodes({selector!r}).map((node) => node.id())")


def lit(browser) -> set[str]:
    return set(ids(browser, ".node")) - set(ids(browser, ".node.dim"))


def click_node(browser, node: str) -> None:
    """A real click where the node is drawn."""
    from selenium.webdriver import ActionChains

    at = run(
        browser,
        "(() => { const p = cy.getElementById(arguments[0]).renderedPosition();"
        " const b = cy.container().getBoundingClientRect(); return [p.x - b.width / 2, p.y - b.height / 2]; })()",
        node,
    )
    canvas = browser.find_element("id", "graph")
    ActionChains(browser, duration=50).move_to_element_with_offset(canvas, round(at[0]), round(at[1])).click().perform()


def wait_for(condition, seconds: float = 5.0):
    """The first true value of `condition()`; fails when there is none in time."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "the page did not get there in time"
        time.sleep(0.02)
    return value


def heading(browser) -> str:
    return browser.execute_script("return document.querySelector('.panel h2').textContent")


def requests(browser) -> list[str]:
    """Addresses that the page asked for, itself and inline data left out (the browser's own start page asks too)."""
    page = browser.current_url.split("#")[0]
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert any(one["request"]["url"] == page for one in sent), "requests are seen at all"
    asked = [one["request"]["url"] for one in sent if one["documentURL"] == page]
    return [url for url in asked if url != page and not url.startswith(("data:", "blob:"))]


def test_the_page_opens_without_error_and_without_request(opened):
    for tab in ("nodes", "task", "evidence", "about", "graph"):
        opened.find_element("css selector", f"[data-tab={tab}]").click()
        assert opened.find_elements("css selector", ".tab:not([hidden]) h2")
    click_node(opened, "0.attn.q.0")
    wait_for(lambda: heading(opened) == "0.attn.q.0")
    assert opened.get_log("browser") == []
    assert requests(opened) == []


def test_snippets_that_hold_markup_are_text(opened, planted):
    click_node(opened, "0.attn.act_in.1")
    wait_for(lambda: heading(opened) == "0.attn.act_in.1")
    assert planted.hostile in opened.find_element("css selector", ".tokens").text.replace("␣", " ")
    assert any(planted.hostile in one.text for one in opened.find_elements("css selector", ".snippet"))
    for tab in ("task", "evidence"):
        opened.find_element("css selector", f"[data-tab={tab}]").click()
        assert planted.hostile in opened.find_element("css selector", ".tab:not([hidden])").text
    assert opened.execute_script("return window.harmed") is None


def test_a_planted_circuit_shows_exactly_its_nodes_and_edges(opened, planted):
    assert sorted(ids(opened, ".node")) == planted.nodes
    edges = run(opened, "cy.edges('.edge').map((e) => [e.data('source'), e.data('target'), e.data('weight')])")
    assert {(source, target): weight for source, target, weight in edges} == pytest.approx(planted.edges)
    assert len(edges) == len(planted.edges)
    positive = run(opened, "cy.edges('.positive').map((e) => e.data('weight'))")
    assert all(weight > 0 for weight in positive) and len(positive) == 6


def test_layers_go_up_and_what_is_written_is_read_further_up_its_lane(opened):
    order = ["0.attn.act_in.1", "0.attn.q.0", "0.attn.resid_delta.4", "0.mlp.act_in.4", "0.mlp.post_act.5"]
    places = {
        node: run(opened, "cy.getElementById(arguments[0]).position()", node)
        for node in [*order, "0.mlp.resid_delta.6", "embedding", "logits"]
    }
    upwards = ["embedding", *order, "0.mlp.resid_delta.6", "logits"]
    assert all(places[low]["y"] > places[high]["y"] for low, high in pairwise(upwards))
    assert places["0.attn.resid_delta.4"]["x"] == places["0.mlp.act_in.4"]["x"], "one channel, one lane"
    assert places["0.attn.q.0"]["x"] < places["0.attn.act_in.1"]["x"] < places["0.mlp.post_act.5"]["x"]
    lanes = run(opened, "cy.edges('.lane.shared').map((lane) => lane.data('channel'))")
    assert set(lanes) == {4}, "only channel 4 joins two sublayers"


NAMES_ON_SCREEN = """(() => cy.nodes('.named').map((node) => {
  const {x, y} = node.renderedPosition(), font = node.data('large') * cy.zoom();
  const half = 0.3 * font * node.data('label').length, foot = y - node.renderedWidth() / 2;
  return {font, x1: x - half, x2: x + half, y1: foot - font, y2: foot};
}))()"""
"""Where the names that are always readable are drawn, in pixels."""


@pytest.mark.parametrize("which", ["planted", "large"])
def test_nodes_that_matter_are_named_readably_at_any_zoom(browser, page, large_data, which, tmp_path):
    if which == "large":
        page = tmp_path / "large.html"
        write_page(page, page_data([large_data]))
    open_page(browser, page)
    for factor in (1, 0.5, 4):
        browser.execute_script("sparsegpt2.view.graph.zoom(arguments[0])", factor)
        names = run(browser, NAMES_ON_SCREEN)
        assert len(names) >= 5 and min(name["font"] for name in names) > 10
        for a, b in combinations(names, 2):
            assert a["x2"] < b["x1"] or b["x2"] < a["x1"] or a["y2"] < b["y1"] or b["y2"] < a["y1"], "names overlap"
    browser.execute_script("sparsegpt2.view.go(3)")
    chosen = browser.execute_script("return sparsegpt2.view.circuit.nodes[3].id")
    wait_for(lambda: heading(browser) == chosen)
    assert chosen in ids(browser, ".named") and not set(ids(browser, ".named")) & set(ids(browser, ".dim"))


def test_a_click_isolates_what_reaches_a_node_and_what_it_reaches(opened):
    click_node(opened, "0.mlp.post_act.5")
    wait_for(lambda: heading(opened) == "0.mlp.post_act.5")
    assert lit(opened) == REACHED
    shown = run(opened, "cy.edges('.edge').filter((e) => !e.hasClass('dim')).map((e) => e.data('target'))")
    assert sorted(shown) == sorted(REACHED - {n for n in REACHED if "act_in" in n})
    click_node(opened, "0.mlp.post_act.7")
    wait_for(lambda: heading(opened) == "0.mlp.post_act.7")
    assert lit(opened) == {"0.mlp.act_in.0", "0.mlp.post_act.7", "0.mlp.resid_delta.7"}
    opened.find_element("id", "back").click()
    wait_for(lambda: heading(opened) == "0.mlp.post_act.5")
    assert lit(opened) == REACHED
    opened.find_element("id", "clear").click()
    wait_for(lambda: heading(opened) == "Overview")
    assert len(lit(opened)) == len(ids(opened, ".node"))


def test_everything_can_be_reached_by_keys(opened):
    from selenium.webdriver import Keys

    canvas = opened.find_element("id", "graph")
    opened.execute_script("arguments[0].focus()", canvas)
    canvas.send_keys("/")
    search = opened.switch_to.active_element
    assert search.get_attribute("id") == "search"
    search.send_keys("attn.v" + Keys.ENTER)
    wait_for(lambda: heading(opened) == "0.attn.v.0")
    canvas.send_keys(Keys.ARROW_UP)
    wait_for(lambda: heading(opened) == "0.attn.resid_delta.4")
    canvas.send_keys(Keys.ARROW_DOWN)
    wait_for(lambda: heading(opened) == "0.attn.v.0")
    canvas.send_keys(Keys.BACKSPACE)
    wait_for(lambda: heading(opened) == "0.attn.resid_delta.4")
    canvas.send_keys(Keys.ESCAPE)
    wait_for(lambda: heading(opened) == "Overview")
    pan, zoom = run(opened, "cy.pan()"), run(opened, "cy.zoom()")
    canvas.send_keys(Keys.SHIFT + Keys.ARROW_LEFT + Keys.NULL)
    assert run(opened, "cy.pan().x") > pan["x"] and heading(opened) == "Overview"
    canvas.send_keys("-")
    assert run(opened, "cy.zoom()") < zoom


def test_tab_reaches_tools_graph_details_and_nodes(opened):
    from selenium.webdriver import ActionChains, Keys

    reached = set()
    for _ in range(40):
        ActionChains(opened, duration=0).send_keys(Keys.TAB).perform()
        element = opened.switch_to.active_element
        reached.add(element.get_attribute("id") or element.get_attribute("class") or element.get_attribute("value"))
        assert element.tag_name == "body" or element.value_of_css_property("outline-style") != "none", "focus shows"
    assert {"notes-export", "notes-import", "search", "weight", "mlp.post_act", "graph", "panel", "link"} <= reached


def test_search_finds_names_and_tokens(opened, planted):
    search = opened.find_element("id", "search")
    search.send_keys("post_act")
    found = [button.text for button in opened.find_elements("css selector", ".results button")]
    assert sorted(found) == ["0.mlp.post_act.5", "0.mlp.post_act.7"]
    assert sorted(ids(opened, ".found")) == sorted(found)
    opened.execute_script("sparsegpt2.view.select('0.attn.q.0')")
    assert "0.mlp.post_act.7" in ids(opened, ".dim.found")
    assert run(opened, "cy.getElementById('0.mlp.post_act.7').effectiveOpacity()") == 1, "what is found is seen"
    search.clear()
    search.send_keys(planted.hostile)
    found = [button.text for button in opened.find_elements("css selector", ".results button")]
    assert "0.attn.act_in.1" in found and "0.mlp.post_act.5" not in found


def test_filters_hide_light_edges_and_sites_and_say_how_many(opened):
    slider = opened.find_element("id", "weight")
    opened.execute_script(
        "arguments[0].value = 50; arguments[0].dispatchEvent(new Event('input'))",
        slider,
    )
    weights = run(opened, "cy.edges('.edge').filter((e) => !e.hasClass('off')).map((e) => Math.abs(e.data('weight')))")
    assert sorted(weights) == [1.0, 1.5, 2.0, 2.0, 3.0]
    assert "5 of 8 edges" in opened.find_element("id", "state").text
    opened.find_element("css selector", 'input[value="mlp.post_act"]').click()
    assert sorted(ids(opened, ".off")) == ["0.mlp.post_act.5", "0.mlp.post_act.7"]
    assert "3 of 8 edges" in opened.find_element("id", "state").text


def test_a_node_s_page_shows_its_edges_activations_and_attention(opened):
    click_node(opened, "0.attn.q.0")
    wait_for(lambda: heading(opened) == "0.attn.q.0")
    text = opened.find_element("css selector", ".panel").text
    assert "1 in-edge" in text and "0.attn.act_in.1" in text and "+2" in text
    assert "Corpus" in text and "Task" in text and "strongest" in text and "sink" in text
    assert len(opened.find_elements("css selector", ".panel .prompt svg")) == 4, "two prompts, whole model and circuit"


def test_labels_and_notes_go_out_and_come_back(opened, page, planted_data, tmp_path):
    name = planted_data["name"]
    folder = tmp_path / "downloads"
    folder.mkdir()
    opened.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})
    click_node(opened, "0.attn.v.0")
    wait_for(lambda: heading(opened) == "0.attn.v.0")
    opened.find_element("id", "label").send_keys("quote <b>carrier</b>")
    opened.find_element("id", "note").send_keys("seen in </script> only")
    opened.find_element("id", "notes-export").click()
    file = wait_for(lambda: next(folder.glob("*.json"), None))
    notes = read_notes(file, [name])
    assert notes[name]["0.attn.v.0"] == {"label": "quote <b>carrier</b>", "note": "seen in </script> only"}

    open_page(opened, page)
    opened.find_element("css selector", "input[type=file]").send_keys(str(file))
    drawn = "cy.getElementById('0.attn.v.0').data('label')"
    wait_for(lambda: run(opened, drawn) == "quote <b>carrier</b>")

    with_notes = tmp_path / "with_notes.html"
    write_page(with_notes, page_data([planted_data], notes=notes))
    open_page(opened, with_notes)
    assert run(opened, drawn) == "quote <b>carrier</b>"
    click_node(opened, "0.attn.v.0")
    wait_for(lambda: heading(opened) == "0.attn.v.0")
    assert opened.find_element("id", "note").get_attribute("value") == "seen in </script> only"


def test_a_foreign_notes_file_is_refused_with_a_sentence(opened, tmp_path):
    file = tmp_path / "foreign.json"
    file.write_text('{"kind": "something else"}')
    opened.find_element("css selector", "input[type=file]").send_keys(str(file))
    wait_for(lambda: "Notes not read" in opened.find_element("id", "message").text)


@pytest.mark.parametrize("tab", ["graph", "task"])
def test_on_paper_there_is_a_picture_of_the_graph_and_every_tab(browser, page, tab):
    opened = open_page(browser, page, f"#circuit/0/{tab}/")
    opened.execute_script("dispatchEvent(new Event('beforeprint'))")
    picture = opened.find_element("css selector", "img.printed").get_attribute("src")
    assert picture.startswith("data:image/png;base64,") and len(picture) > 5000
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    tabs = opened.find_elements("css selector", ".tab")
    assert len(tabs) == 5 and all(tab.is_displayed() for tab in tabs)
    for hidden in (".tools", ".tip", ".canvas"):
        assert not opened.find_element("css selector", hidden).is_displayed()
    assert "0.attn.q.0" in opened.find_element("css selector", "table.wide").text
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_500_nodes_stay_interactive_and_the_page_says_what_it_hides(browser, large_data, tmp_path):
    path = tmp_path / "large.html"
    assert write_page(path, page_data([large_data])) < 10e6
    open_page(browser, path)
    assert len(ids(browser, ".node")) == 500
    assert "117 nodes" in browser.find_element("id", "hidden").text
    overlapping = run(
        browser,
        "(() => { const seen = new Set(); return cy.nodes('.node').filter((n) => {"
        " const p = n.position(); const key = `${p.x} ${p.y}`;"
        " const had = seen.has(key); seen.add(key); return had; }).length; })()",
    )
    assert overlapping == 0, "no two nodes stand on one spot"
    # From choosing a node to the frame that shows it; seconds would be a broken page, not a slow machine.
    milliseconds = browser.execute_async_script(
        "const done = arguments[0], start = performance.now(); sparsegpt2.view.go(40);"
        "sparsegpt2.view.graph.cy.one('render', () => done(performance.now() - start));"
    )
    assert milliseconds < 3000
    assert heading(browser) == browser.execute_script("return sparsegpt2.page.circuits[0].nodes[40].id")
    assert 0 < len(lit(browser)) < 500


def test_a_run_s_page_leads_from_its_figures_to_circuits(browser, run_page, tmp_path):
    from selenium.webdriver import ActionChains

    path = tmp_path / "run.html"
    write_page(path, run_page)
    open_page(browser, path)
    assert len(browser.find_elements("css selector", "figure > svg, figure svg[aria-label]")) >= 7
    points = browser.find_elements("css selector", "#frontier [aria-label=dot] path, #frontier [aria-label=dot] circle")
    assert len(points) == 2
    ActionChains(browser, duration=50).move_to_element(points[1]).perform()
    tip = "#frontier [aria-label=tip]"
    wait_for(lambda: "sparse <i>" in browser.find_element("css selector", tip).text)
    ActionChains(browser, duration=50).click().perform()
    chosen = browser.find_element("id", "model-circuits")
    wait_for(lambda: "sparse <i>" in chosen.text)
    chosen.find_element("css selector", "button.link").click()
    wait_for(lambda: browser.find_elements("id", "graph"))
    assert len(ids(browser, ".node")) == 13
    assert browser.get_log("browser") == [] and requests(browser) == []
