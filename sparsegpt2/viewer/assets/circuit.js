// The view of one circuit. Its tabs are the graph with tools and a side panel, the table of nodes, the task, the evidence
// and the facts.

const TABS = { graph: "Graph", nodes: "Nodes", task: "Task", evidence: "Evidence", about: "About" };

class CircuitView {
  constructor(data, notes, navigate) {
    this.circuit = new CircuitModel(data);
    this.data = data;
    this.notes = notes;
    this.navigate = navigate; // navigate(tab, what), where `what` is a node's id, "lane N" or ""
    this.trail = []; // earlier values of `what`, to which the button "Back" returns
    this.what = "";
    this.go = (i) => this.show("graph", i === null ? "" : this.circuit.nodes[i].id);
    this.panel = h("aside", { class: "panel", "aria-live": "polite", tabindex: 0, "aria-label": "Details" });
    this.canvas = h("div", { class: "canvas", id: "graph", tabindex: 0, role: "application", "aria-label": "Circuit graph. Arrow keys move along edges, Shift and arrow keys pan, Escape shows everything, Backspace goes back, plus and minus zoom, f fits the graph to the window, slash searches." });
    this.tip = h("div", { class: "tip", hidden: true });
    this.state = h("span", { class: "state", id: "state", role: "status" });
    this.printed = h("img", { class: "printed", alt: `Graph of ${data.name}` });
    this.sections = {
      graph: h("div", { class: "tab graph-tab" }, this.tools(), this.printed, h("div", { class: "split" }, h("div", { class: "stage" }, h("div", { class: "frame" }, this.canvas, this.tip), this.legend()), this.panel)),
      nodes: h("div", { class: "tab page" }),
      task: h("div", { class: "tab page" }, taskSection(data)),
      about: h("div", { class: "tab page" }, this.about()),
    };
    if (Object.keys(data.evidence).length) this.sections.evidence = h("div", { class: "tab page" }, evidenceSection(data));
    this.tabs = h(
      "nav",
      { class: "tabs", "aria-label": "Views of the circuit" },
      Object.keys(TABS).filter((tab) => this.sections[tab]).map((tab) => h("button", { "data-tab": tab, onclick: () => this.show(tab, this.what) }, TABS[tab])),
    );
    this.element = h("div", { class: "circuit" }, this.tabs, this.hiddenNotice(), Object.keys(TABS).map((tab) => this.sections[tab]));
    notes.listeners.push(() => this.graph && this.renewLabels());
    this.canvas.addEventListener("keydown", (event) => this.key(event));
  }

  // Show a tab and select what `what` names. Call this only when the element is in the document, because the graph needs
  // its size.
  open(tab, what) {
    for (const [name, element] of Object.entries(this.sections)) element.hidden = name !== tab;
    for (const button of this.tabs.children) button.setAttribute("aria-current", button.dataset.tab === tab ? "page" : "false");
    const first = !this.graph && tab === "graph";
    if (first) this.draw();
    if (tab === "graph") this.graph.cy.resize(); // the size may have changed since the tab was last shown
    if (tab === "nodes") fill(this.sections.nodes, this.nodeTable());
    this.select(what);
    if (first) this.graph.fit(); // after everything else, because the size of the graph is final only now
  }

  // Draw the graph. Its tab must be visible.
  draw() {
    this.graph = new Graph(this.circuit, this.canvas, {
      choose: (i) => this.go(i),
      lane: (channel) => this.show("graph", `lane ${channel}`),
      hover: (target, at) => this.hover(target, at),
    });
    this.renewLabels();
    this.filter();
  }

  show(tab, what) {
    if (what !== this.what) this.trail.push(this.what);
    this.navigate(tab, what);
  }

  stepBack() {
    if (this.trail.length) this.navigate("graph", this.trail.pop());
  }

  select(what) {
    const lane = /^lane (\d+)$/.exec(what);
    const channel = lane && this.data.lanes.some((one) => one.channel === Number(lane[1])) ? Number(lane[1]) : null;
    const i = this.circuit.index.get(what) ?? null;
    this.what = i !== null || channel !== null ? what : "";
    this.back.disabled = !this.trail.length;
    this.clear.disabled = !this.what;
    if (channel !== null) {
      this.graph?.isolateLane(channel);
      fill(this.panel, lanePage(this.circuit, this.notes, channel, this.go));
    } else {
      this.graph?.isolate(i);
      if (i !== null) this.graph?.reveal(i);
      fill(this.panel, i === null ? this.overview() : nodePage(this.circuit, this.notes, i, this.go));
    }
    this.panel.scrollTop = 0;
  }

  // --- Tools ---------------------------------------------------------------------------------------------------

  tools() {
    this.results = h("div", { class: "results", hidden: true });
    this.search = h("input", {
      type: "search", id: "search", placeholder: "Search: attn.q, head 1.3, a token", "aria-label": "Search nodes",
      oninput: () => this.find(),
      onkeydown: (event) => {
        if (event.key === "Enter") this.results.querySelector("button")?.click();
        if (event.key === "Escape") this.closeSearch();
      },
    });
    this.weight = h("input", { type: "range", id: "weight", min: 0, max: 100, value: 0, "aria-label": "Hide edges lighter than", oninput: () => this.filter() });
    this.weightText = h("output", { for: "weight" });
    this.back = h("button", { id: "back", onclick: () => this.stepBack(), title: "Backspace" }, "Back");
    this.clear = h("button", { id: "clear", onclick: () => this.go(null), title: "Escape" }, "Show all");
    const places = Object.keys(PLACES).filter((place) => this.circuit.nodes.some((node) => placeOf(node) === place));
    return h(
      "div",
      { class: "tools" },
      h("div", { class: "search" }, this.search, this.results),
      h("label", {}, "|weight| ≥ ", this.weightText, this.weight),
      ["attn", "mlp"].map((kind) =>
        h("fieldset", {}, h("legend", {}, kind), places.filter((place) => place.startsWith(kind)).map((place) =>
          h("label", {}, h("input", { type: "checkbox", checked: true, value: place, onchange: (event) => this.togglePlace(place, event.target.checked) }), place.slice(kind.length + 1))))),
      h("div", { class: "buttons" }, this.back, this.clear, h("button", { onclick: () => this.graph.fit(), title: "f" }, "Fit"),
        h("button", { onclick: () => this.graph.zoom(1.3), "aria-label": "Zoom in" }, "+"), h("button", { onclick: () => this.graph.zoom(1 / 1.3), "aria-label": "Zoom out" }, "−"),
        h("button", { onclick: () => print() }, "Print")),
      this.state,
    );
  }

  togglePlace(place, on) {
    if (on) this.graph.hiddenPlaces.delete(place);
    else this.graph.hiddenPlaces.add(place);
    this.filter();
  }

  // The slider moves through the edges in the order of their magnitudes. So in its middle position it hides half of them.
  filter() {
    const sizes = this.circuit.edges.map((edge) => Math.abs(edge.weight)).reverse();
    const skipped = Math.floor((Number(this.weight.value) / 100) * (sizes.length - 1));
    const threshold = skipped > 0 ? sizes[skipped] : 0;
    this.graph.threshold = threshold;
    this.graph.filter();
    this.weightText.textContent = number(threshold);
    const shown = this.graph.shown();
    this.state.textContent = `${count(shown.nodes)} of ${plural(this.circuit.nodes.length, "node")}, ${count(shown.edges)} of ${plural(this.circuit.edges.length, "edge")} shown`;
  }

  matches(text) {
    const wanted = text.trim().toLowerCase();
    if (!wanted) return [];
    return this.circuit.byImportance().filter((i) => {
      const node = this.circuit.nodes[i];
      const entry = this.notes.of(this.data.name, node.id);
      const tokens = [...node.excited_by, ...node.raises].filter(([, weight]) => weight > 0).map(([token]) => token);
      const head = node.head === null ? "" : `head ${this.circuit.headOf(i)}`;
      return [node.id, this.circuit.shortName(i), head, entry.label, entry.note].some((field) => field.toLowerCase().includes(wanted)) || tokens.some((token) => token.trim().toLowerCase() === wanted);
    });
  }

  find() {
    const found = this.matches(this.search.value);
    this.graph?.mark(found);
    this.results.hidden = !this.search.value.trim();
    fill(
      this.results,
      h("p", { class: "soft" }, plural(found.length, "node")),
      found.slice(0, 30).map((i) => nodeLink(this.circuit, this.notes, i, (chosen) => { this.closeSearch(); this.go(chosen); })),
    );
  }

  closeSearch() {
    this.search.value = "";
    this.find();
    this.canvas.focus();
  }

  key(event) {
    const i = this.circuit.index.get(this.what) ?? null;
    const best = (forward) => {
      const edges = forward ? this.circuit.out[i].map((edge) => edge.target) : this.circuit.into[i].map((edge) => edge.source);
      return edges[0] ?? this.circuit.neighbours(i, forward)[0] ?? null;
    };
    const beside = (step) => {
      const row = this.circuit.nodes.map((_, j) => j).filter((j) => this.circuit.nodes[j].site === this.circuit.nodes[i].site);
      row.sort((a, b) => this.graph.layout.positions.get(a).x - this.graph.layout.positions.get(b).x);
      return row[(row.indexOf(i) + step + row.length) % row.length];
    };
    const moves = { ArrowUp: () => best(true), ArrowDown: () => best(false), ArrowLeft: () => beside(-1), ArrowRight: () => beside(1) };
    const acts = {
      Escape: () => this.go(null),
      Backspace: () => this.stepBack(),
      "+": () => this.graph.zoom(1.3),
      "-": () => this.graph.zoom(1 / 1.3),
      f: () => this.graph.fit(),
      "/": () => this.search.focus(),
      Enter: () => this.panel.focus(),
    };
    const pans = { ArrowUp: [0, 60], ArrowDown: [0, -60], ArrowLeft: [60, 0], ArrowRight: [-60, 0] };
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in moves || event.key in acts)) return;
    event.preventDefault();
    if (event.key in acts) return acts[event.key]();
    if (event.shiftKey) return this.graph.pan(...pans[event.key]);
    const next = i === null ? this.circuit.byImportance()[0] : moves[event.key]();
    if (next !== null && next !== undefined) this.go(next);
  }

  hover(target, at) {
    this.tip.hidden = target === null;
    if (target === null) return;
    const shown = [];
    if (target.hasClass("node")) {
      const node = this.circuit.nodes[target.data("index")];
      const entry = this.notes.of(this.data.name, node.id);
      shown.push(h("b", {}, node.id), ` ${entry.label}`, h("br", {}), `${PLACES[placeOf(node)].name}; loss rise when ablated ${node.effect === null ? "–" : signed(node.effect)}`);
    } else if (target.hasClass("lane")) shown.push(`residual channel ${target.data("channel")}`);
    else shown.push(`${target.data("source")} → ${target.data("target")}: ${signed(target.data("weight"))}`);
    fill(this.tip, shown);
    const box = this.canvas.getBoundingClientRect();
    const where = at || { x: box.width / 2, y: box.height / 2 };
    Object.assign(this.tip.style, { left: `${Math.min(where.x + 14, box.width - 240)}px`, top: `${Math.min(where.y + 14, box.height - 50)}px` });
  }

  renewLabels() {
    this.circuit.nodes.forEach((node, i) => this.graph.label(i, this.notes.of(this.data.name, node.id).label));
    this.graph.renewNames();
  }

  // --- Parts of the page -----------------------------------------------------------------------------------------

  legend() {
    const places = Object.keys(PLACES).filter((place) => this.circuit.nodes.some((node) => placeOf(node) === place));
    return h(
      "div",
      { class: "key-box" },
      places.map((place) => h("span", {}, h("span", { class: `key ${PLACES[place].shape}`, style: { background: PLACES[place].colour } }), `${PLACES[place].letter} ${PLACES[place].name}`)),
      h("span", {}, h("span", { class: "key-line positive" }), "positive weight"),
      h("span", {}, h("span", { class: "key-line negative" }), "negative"),
      h("span", {}, h("span", { class: "key-line lane" }), "residual channel (bold: used by several sublayers)"),
      h("span", { class: "soft" }, this.circuit.nodes.some((node) => node.effect !== null) ? "size of a node: rise of the loss when it is ablated" : "size of a node: sum of the magnitudes of its weights"),
    );
  }

  hiddenNotice() {
    const hidden = this.data.hidden;
    if (!hidden.nodes && !hidden.edges) return null;
    return h("p", { class: "notice", id: "hidden" }, `Not shown: ${plural(hidden.nodes, "node")} and ${plural(hidden.edges, "edge")} of this circuit; ${hidden.rule}.`);
  }

  overview() {
    const top = this.circuit.byImportance().slice(0, 12);
    return h(
      "article",
      {},
      h("h2", {}, "Overview"),
      h("p", { class: "soft" }, "Select a node to show only the nodes that affect it and those that it affects. A vertical line is a residual channel. Nodes lower on the line write to it, and nodes higher up read it."),
      this.data.task ? scoreTable(this.data.task.scores) : null,
      Object.values(this.data.evidence).map((report) => (report?.summary ? h("p", {}, "Evidence: ", String(report.summary)) : null)),
      h("h3", {}, "Most important nodes"),
      table(["node", "loss rise when ablated", ""], top.map((i) => {
        const node = this.circuit.nodes[i];
        const tokens = [...node.excited_by, ...node.raises].filter(([, weight]) => weight > 0).slice(0, 3);
        return [nodeLink(this.circuit, this.notes, i, this.go), number(node.effect), tokens.map(([text]) => [tokenChip(text), " "])];
      })),
      this.data.curve.length ? [h("h3", {}, "Loss against size"), curveChart(this.data)] : null,
      h("h3", {}, "Facts"),
      this.facts(),
    );
  }

  facts() {
    return h("dl", {}, this.data.facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]), this.data.file ? [h("dt", {}, "File"), h("dd", {}, h("code", {}, this.data.file))] : null);
  }

  about() {
    return h("section", {}, h("h2", {}, "About this circuit"), this.facts(), h("h3", {}, "The model's settings"),
      h("dl", {}, Object.entries(this.data.config).map(([name, value]) => [h("dt", {}, name), h("dd", {}, Array.isArray(value) ? value.join(", ") : String(value))])));
  }

  nodeTable() {
    const rows = this.circuit.byImportance().map((i) => {
      const node = this.circuit.nodes[i];
      const entry = this.notes.of(this.data.name, node.id);
      const tokens = [...node.excited_by, ...node.raises].filter(([, weight]) => weight > 0).slice(0, 4).map(([text]) => [tokenChip(text), " "]);
      return [nodeLink(this.circuit, this.notes, i, this.go), number(node.effect), number(node.effect_full), count(this.circuit.into[i].length), count(this.circuit.out[i].length), tokens, entry.note];
    });
    return h("section", {}, h("h2", {}, plural(rows.length, "node")),
      h("p", { class: "soft" }, "The columns circuit and model show how much the task loss rises, in nats, when the node is ablated in the circuit or in the whole model. Nodes are sorted by the first. The columns in and out are numbers of edges. Tokens: for a node that reads the residual stream, those whose embeddings excite it most; for a node that writes to it, those whose logits it raises most."),
      table(["node", "circuit", "model", "in", "out", "tokens", "note"], rows, { class: "wide" }));
  }

  // A printed page contains every tab, including those that were never opened. So all of them must be filled, and the
  // graph must be drawn.
  preparePrint() {
    const { hidden } = this.sections.graph;
    this.sections.graph.hidden = false;
    if (!this.graph) {
      this.draw();
      this.select(this.what);
      this.graph.fit();
    }
    this.printed.src = this.graph.picture();
    this.sections.graph.hidden = hidden;
    fill(this.sections.nodes, this.nodeTable());
  }
}
