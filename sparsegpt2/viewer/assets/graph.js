// The drawing of a circuit, made with the library Cytoscape: the elements of the drawing, and operations on them.

const SIZES = [10, 28]; // diameters of the least and the most important node, in pixels at zoom 1; larger in wide drawings
const WIDTHS = [0.8, 5]; // widths in pixels of the edges with the smallest and the largest weight
const READABLE = 10.5; // height in pixels of a name that stays readable at any zoom
const NAMES = 24; // number of the most important nodes whose names stay readable at any zoom

function graphElements(circuit, layout) {
  const elements = [];
  const font = layout.font;
  const box = (id, classes, x1, y1, x2, y2, data) =>
    elements.push({
      data: { id, w: x2 - x1, h: y2 - y1, font, ...data },
      position: { x: (x1 + x2) / 2, y: (y1 + y2) / 2 },
      classes: `fixed ${classes}`,
      selectable: false,
    });
  for (const band of layout.bands) {
    const name = `layer ${band.layer} ${band.kind === "attn" ? "attention" : "MLP"}${band.nodes ? "" : " (no nodes)"}`;
    box(`band ${name}`, `band ${band.kind}`, layout.left, band.y1 + 3, layout.right, band.y2 - 3);
    elements.push({ data: { id: name, label: name, font }, position: { x: layout.left + 4, y: band.y1 + 4 }, classes: "fixed name", selectable: false });
  }
  box("embedding", "bar", -STEP, layout.ends.embedding - font * 0.7, layout.width + STEP, layout.ends.embedding + font * 0.7, { label: "tokens → embedding" });
  box("logits", "bar", -STEP, layout.ends.logits - font * 0.7, layout.width + STEP, layout.ends.logits + font * 0.7, { label: "unembedding → logits" });
  for (const { key, box: b } of layout.heads) box(`head ${key}`, "head", b.x1, b.y1, b.x2, b.y2, { label: `h${key.split(".")[1]}`, font: Math.min(0.75 * font, (b.x2 - b.x1) / 2) });
  layout.segments.forEach((segment, n) => {
    const x = layout.laneX.get(segment.channel);
    for (const end of ["from", "to"]) {
      elements.push({ data: { id: `lane ${n} ${end}` }, position: { x, y: segment[end] }, classes: "fixed anchor", selectable: false });
    }
    elements.push({
      data: { id: `lane ${n}`, source: `lane ${n} from`, target: `lane ${n} to`, channel: segment.channel },
      classes: segment.shared ? "lane shared" : "lane",
      selectable: false,
    });
  });
  const grown = Math.min(1.8, Math.max(1, (layout.right - layout.left) / 1500));
  const most = Math.max(1e-9, ...circuit.nodes.map((_, i) => circuit.importance(i)));
  circuit.nodes.forEach((node, i) => {
    const place = PLACES[placeOf(node)];
    const size = grown * (SIZES[0] + (SIZES[1] - SIZES[0]) * Math.sqrt(circuit.importance(i) / most));
    elements.push({
      data: { id: node.id, index: i, place: placeOf(node), label: circuit.shortName(i), size, font: layout.laneStep < STEP ? 9 * grown : 12, colour: place.colour, shape: place.shape },
      position: { ...layout.positions.get(i) },
      classes: "node",
    });
  });
  const heaviest = Math.max(1e-9, ...circuit.edges.map((edge) => Math.abs(edge.weight)));
  circuit.edges.toReversed().forEach((edge, n) => { // the edge with the largest weight is last, so that it is drawn on top
    const share = Math.abs(edge.weight) / heaviest;
    elements.push({
      data: {
        id: `edge ${circuit.edges.length - 1 - n}`,
        index: circuit.edges.length - 1 - n,
        source: circuit.nodes[edge.source].id,
        target: circuit.nodes[edge.target].id,
        weight: edge.weight,
        width: WIDTHS[0] + (WIDTHS[1] - WIDTHS[0]) * share,
      },
      classes: edge.weight < 0 ? "edge negative" : "edge positive",
    });
  });
  return elements;
}

const GRAPH_STYLE = [
  { selector: "node", style: { "font-family": "system-ui, sans-serif", "min-zoomed-font-size": 7 } },
  { selector: "node, edge", style: { "z-index-compare": "manual" } }, // otherwise the bands would cover the edges
  {
    selector: ".node",
    style: {
      width: "data(size)", height: "data(size)", shape: "data(shape)", "background-color": "data(colour)",
      "border-width": 1.2, "border-color": "#333", label: "data(label)", "font-size": "data(font)", color: "#111",
      "text-valign": "top", "text-margin-y": -1, "text-background-color": "#fff", "text-background-opacity": 0.75,
      "text-background-padding": 1, "z-index": 30,
    },
  },
  { selector: ".fixed", style: { events: "no" } },
  {
    selector: ".band, .bar, .head",
    style: { width: "data(w)", height: "data(h)", shape: "rectangle", "border-width": 0 },
  },
  { selector: ".band", style: { "background-color": "#f4f4f1", "z-index": 0 } },
  { selector: ".band.mlp", style: { "background-color": "#ececE8" } },
  { selector: ".bar, .head, .name", style: { label: "data(label)", "font-size": "data(font)", "min-zoomed-font-size": 4, color: "#555" } },
  { selector: ".bar", style: { "background-color": "#d8d8d2", "z-index": 12, "text-valign": "center", color: "#222" } },
  { selector: ".name", style: { width: 1, height: 1, "background-opacity": 0, "z-index": 2, "text-valign": "bottom", "text-halign": "right" } },
  {
    selector: ".head",
    style: { "background-color": "#fff", "border-width": 1, "border-color": "#bbb", "z-index": 3, "text-valign": "bottom", "text-margin-y": 2 },
  },
  { selector: ".anchor", style: { width: 1, height: 1, opacity: 0 } },
  { selector: "edge", style: { "curve-style": "straight" } },
  { selector: ".lane", style: { width: 1.6, "line-color": "#c3c3bd", "z-index": 5 } },
  { selector: ".lane.shared", style: { width: 5, "line-color": "#b3b9c4" } },
  { selector: ".edge", style: { width: "data(width)", "z-index": 20, "line-opacity": 0.6 } },
  { selector: ".edge.positive", style: { "line-color": `rgb(${BLUE})` } },
  { selector: ".edge.negative", style: { "line-color": `rgb(${VERMILLION})`, "line-style": "dashed", "line-dash-pattern": [6, 3] } },
  { selector: ".named", style: { "font-size": "data(large)", "min-zoomed-font-size": 4, "text-background-opacity": 0.9, "z-index": 35 } },
  { selector: ".near", style: { "line-opacity": 1, "z-index": 25 } },
  { selector: ".noted", style: { "font-weight": "bold", "text-background-color": "#fff3c4", "text-background-opacity": 1 } },
  { selector: ".found", style: { "border-width": 4, "border-color": "#8a00c2" } },
  { selector: ".lane.lit", style: { "line-color": "#5b6b86" } },
  { selector: ".dim", style: { opacity: 0.07, "text-opacity": 0, events: "yes" } },
  { selector: ".lane.dim", style: { opacity: 0.35 } },
  { selector: ".dim.found", style: { opacity: 1, "text-opacity": 1 } },
  { selector: ".chosen", style: { "border-width": 4, "border-color": "#000", "z-index": 40, "font-weight": "bold" } },
  { selector: ".off", style: { display: "none" } },
];

class Graph {
  constructor(circuit, container, handlers) {
    this.circuit = circuit;
    this.layout = layoutCircuit(circuit);
    this.hiddenPlaces = new Set();
    this.threshold = 0;
    this.cy = cytoscape({
      container,
      elements: graphElements(circuit, this.layout),
      style: GRAPH_STYLE,
      layout: { name: "preset" },
      autoungrabify: true,
      boxSelectionEnabled: false,
      minZoom: 0.02,
      maxZoom: 6,
      textureOnViewport: circuit.edges.length > 1500,
      hideEdgesOnViewport: circuit.edges.length > 4000,
      pixelRatio: "auto",
    });
    this.nodes = this.cy.nodes(".node");
    this.edges = this.cy.edges(".edge");
    this.lanes = this.cy.edges(".lane");
    this.first = []; // nodes in the order in which they get readable names
    this.cy.on("zoom", () => this.renewNames());
    this.cy.on("tap", ".node", (event) => handlers.choose(event.target.data("index")));
    this.cy.on("tap", ".lane", (event) => handlers.lane(event.target.data("channel")));
    this.cy.on("tap", (event) => event.target === this.cy && handlers.choose(null));
    this.cy.on("mouseover", ".node, .edge, .lane", (event) => handlers.hover(event.target, event.renderedPosition));
    this.cy.on("mouseout", ".node, .edge, .lane", () => handlers.hover(null));
  }

  fit() {
    this.cy.resize();
    this.cy.fit(undefined, 14);
  }

  pan(x, y) {
    this.cy.panBy({ x, y });
  }

  zoom(factor) {
    this.cy.zoom({ level: this.cy.zoom() * factor, renderedPosition: { x: this.cy.width() / 2, y: this.cy.height() / 2 } });
  }

  // Show node `i` with every node that affects it or that it affects, and dim the others. null: show everything.
  isolate(i) {
    if (i === null) return this.emphasise(null, null, null, this.circuit.byImportance().slice(0, NAMES));
    const up = this.circuit.reach(i, false);
    const down = this.circuit.reach(i, true);
    const within = (set, edge) => set.has(edge.source) && set.has(edge.target);
    const kept = new Set([...up, ...down]);
    const others = this.circuit.byImportance().filter((j) => kept.has(j)).slice(0, NAMES);
    const first = new Set([i, ...this.circuit.neighbours(i, false), ...this.circuit.neighbours(i, true), ...others]);
    this.emphasise(kept, (edge) => within(up, edge) || within(down, edge), i, [...first]);
  }

  isolateLane(channel) {
    const lane = this.circuit.data.lanes.find((one) => one.channel === channel);
    this.emphasise(new Set(lane.nodes), () => false, null, lane.nodes);
    this.cy.batch(() => this.lanes.filter((one) => one.data("channel") === channel).addClass("lit"));
  }

  emphasise(kept, keepsEdge, chosen, first) {
    this.first = first;
    this.renewNames();
    this.cy.batch(() => {
      this.cy.elements().removeClass("dim chosen lit near");
      if (kept === null) return;
      this.nodes.filter((node) => !kept.has(node.data("index"))).addClass("dim");
      this.edges.filter((edge) => !keepsEdge(this.circuit.edges[edge.data("index")])).addClass("dim");
      const channels = new Set([...kept].map((i) => this.circuit.laneOf.get(i)?.channel));
      this.lanes.filter((lane) => !channels.has(lane.data("channel"))).addClass("dim");
      if (chosen !== null) this.node(chosen).addClass("chosen").connectedEdges(".edge").addClass("near");
    });
  }

  node(i) {
    return this.cy.getElementById(this.circuit.nodes[i].id);
  }

  // Bring a node into view; do nothing if it is already visible.
  reveal(i) {
    const at = this.node(i).renderedPosition();
    const margin = 12;
    if (at.x < margin || at.y < margin || at.x > this.cy.width() - margin || at.y > this.cy.height() - margin) this.cy.center(this.node(i));
  }

  mark(found) {
    const wanted = new Set(found);
    this.cy.batch(() => this.nodes.forEach((node) => node.toggleClass("found", wanted.has(node.data("index")))));
  }

  label(i, text) {
    this.node(i).data("label", text || this.circuit.shortName(i)).toggleClass("noted", Boolean(text));
  }

  // Choose the nodes whose names are readable at any zoom: first those with labels typed by the user, then those in
  // `this.first`. A name that would overlap an earlier one is skipped.
  renewNames() {
    const apart = (a, b) => a.x2 < b.x1 || b.x2 < a.x1 || a.y2 < b.y1 || b.y2 < a.y1;
    const noted = this.nodes.filter(".noted").map((node) => node.data("index"));
    const taken = [];
    this.cy.batch(() => {
      this.nodes.removeClass("named");
      for (const node of [...noted, ...this.first].map((i) => this.node(i))) {
        const font = Math.max(node.data("font"), READABLE / this.cy.zoom());
        const half = 0.32 * font * node.data("label").length; // a letter is about two thirds as wide as high
        const { x, y } = node.position();
        const foot = y - node.data("size") / 2;
        const box = { x1: x - half, x2: x + half, y1: foot - 1.3 * font, y2: foot };
        if (node.hasClass("off") || !taken.every((other) => apart(box, other))) continue;
        taken.push(box);
        node.data("large", font).addClass("named");
      }
    });
  }

  // Hide edges with weights below the threshold, and the nodes of hidden places together with their edges.
  filter() {
    this.cy.batch(() => {
      this.nodes.forEach((node) => node.toggleClass("off", this.hiddenPlaces.has(node.data("place"))));
      this.edges.forEach((edge) => edge.toggleClass("off", Math.abs(edge.data("weight")) < this.threshold));
    });
    this.renewNames();
  }

  shown() {
    return {
      nodes: this.nodes.filter((node) => !node.hasClass("off")).length,
      edges: this.edges.filter((edge) => !edge.hasClass("off") && !edge.source().hasClass("off") && !edge.target().hasClass("off")).length,
    };
  }

  picture() {
    return this.cy.png({ full: true, scale: 2, maxWidth: 3600, maxHeight: 3600, bg: "#ffffff" });
  }
}
