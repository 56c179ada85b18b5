// The start of the page. It reads the data, then shows what the end of the address says: #run or #circuit/INDEX/TAB/NODE.

const PAGE_FORMAT = 1;

function start() {
  const page = JSON.parse(document.getElementById("data").textContent);
  const top = document.getElementById("top");
  const main = document.getElementById("main");
  if (page.format !== PAGE_FORMAT) {
    main.append(h("p", { class: "notice" }, `The data of this page has format ${page.format}, but its script reads format ${PAGE_FORMAT}.`));
    return null;
  }
  const notes = new Notes(page.notes);
  const views = new Map();
  const status = h("span", { class: "soft", role: "status", id: "message" });
  const address = (place, tab, what) => `#circuit/${place}/${tab}/${encodeURIComponent(what)}`;
  let current = null;

  const viewOf = (place) => {
    if (!views.has(place)) views.set(place, new CircuitView(page.circuits[place], notes, (tab, what) => { location.hash = address(place, tab, what); }));
    return views.get(place);
  };
  const open = (place) => { location.hash = address(place, "graph", ""); };
  const picker = h("select", { "aria-label": "Circuit", id: "picker", onchange: () => (picker.value === "run" ? (location.hash = "#run") : open(Number(picker.value))) },
    page.run ? h("option", { value: "run" }, `run ${page.run.name}`) : null,
    page.circuits.map((circuit, i) => h("option", { value: i }, circuit.name)));
  fill(top, h("h1", {}, page.title), page.circuits.length + (page.run ? 1 : 0) > 1 ? picker : null,
    h("span", { class: "buttons" }, notes.controls((text) => { status.textContent = text; })), status, h("span", { class: "soft version" }, `sparsegpt2 ${page.version}`));
  const runElement = page.run ? runView(page.run, page.circuits, open) : null;

  const route = () => {
    const [kind, place, tab, what] = location.hash.slice(1).split("/");
    const wanted = Number(place);
    if (runElement && (kind !== "circuit" || !page.circuits[wanted])) {
      current = null;
      picker.value = "run";
      if (runElement.parentNode !== main) fill(main, runElement);
      return;
    }
    const index = kind === "circuit" && page.circuits[wanted] ? wanted : 0;
    const view = viewOf(index);
    picker.value = String(index);
    if (view.element.parentNode !== main) fill(main, view.element);
    current = view;
    view.open(view.sections[tab] ? tab : "graph", decodeURIComponent(what || ""));
  };
  addEventListener("hashchange", route);
  addEventListener("resize", () => current?.graph?.cy.resize());
  addEventListener("beforeprint", () => current?.preparePrint());
  notes.listeners.push((imported) => imported && current?.select(current.what));
  route();
  return { page, notes, get view() { return current; } };
}

window.sparsegpt2 = start(); // for the console, and for tests
