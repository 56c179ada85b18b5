// Charts, made with the library Observable Plot. Series differ both in colour and in the dashes of a line or the marker.

const SERIES = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8C6D31", "#56B4E9", "#000000", "#E69F00"];
const DASHES = ["none", "7 3", "2 2", "8 3 2 3", "4 2 1 2", "12 3"];
const SYMBOLS = ["circle", "square", "triangle", "diamond", "star", "cross", "wye", "plus"];
const CHART_STYLE = { fontFamily: "system-ui, sans-serif", fontSize: "12px", overflow: "visible" };
const HALO = { stroke: "#fff", strokeWidth: 4, paintOrder: "stroke" }; // a white outline, which keeps text readable on top of lines
const lookOf = (place) => ({ stroke: SERIES[place % SERIES.length], strokeDasharray: DASHES[place % DASHES.length] });
const tip = (points, options) => Plot.tip(points, Plot.pointer({ lineWidth: 30, lineHeight: 1.25, ...options }));
const compact = (value) => d3.format(Math.abs(value) >= 1000 ? ".3~s" : ".3~g")(value);

// The ticks of a logarithmic axis: 1, 2 and 5 times powers of ten, fewer if the range is wide, or evenly spaced numbers
// if it is narrow.
function logTicks(low, high) {
  const steps = high / low > 1000 ? [1] : high / low > 60 ? [1, 3] : [1, 2, 5];
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    for (const step of steps) ticks.push(step * 10 ** power);
  }
  const within = ticks.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
  return within.length > 2 ? within : d3.ticks(low, high, 5);
}

function logAxis(values, label, slack = 1.15) {
  const low = Math.min(...values) / slack;
  const high = Math.max(...values) * slack;
  return { type: "log", domain: [low, high], ticks: logTicks(low, high), tickFormat: compact, label, labelAnchor: "center" };
}

function curveChart(data) {
  const points = data.curve.map(([nodes, edges, loss]) => ({ nodes, edges: Math.max(1, edges), loss: Math.max(1e-4, loss) }));
  const chosen = data.chosen && { nodes: data.chosen[0], edges: Math.max(1, data.chosen[1]), loss: Math.max(1e-4, data.chosen[2]) };
  if (!points.length) return null;
  const title = (d) => `${count(d.nodes)} nodes, ${count(d.edges)} edges\nloss ${number(d.loss)} nats`;
  const all = chosen ? [...points, chosen] : points;
  return Plot.plot({
    width: 460, height: 260, marginLeft: 52, marginBottom: 40, marginRight: 24, style: CHART_STYLE,
    ariaLabel: "Task loss against circuit size",
    x: logAxis(all.map((d) => d.edges), "edges"),
    y: { ...logAxis(all.map((d) => d.loss), "task loss on validation pairs (nats)"), labelAnchor: "top" },
    marks: [
      data.target ? Plot.ruleY([data.target], { stroke: "#888", strokeDasharray: "4 3" }) : null,
      Plot.line(points, { x: "edges", y: "loss", stroke: SERIES[0] }),
      Plot.dot(points, { x: "edges", y: "loss", r: 2.5, fill: SERIES[0] }),
      chosen ? Plot.dot([chosen], { x: "edges", y: "loss", r: 7, stroke: SERIES[1], strokeWidth: 2.5, symbol: "square" }) : null,
      chosen ? Plot.text([chosen], { x: "edges", y: "loss", text: () => "this circuit", dx: 12, textAnchor: "start", ...HALO, fill: SERIES[1], fontWeight: "bold" }) : null,
      tip(all, { x: "edges", y: "loss", title }),
    ],
  });
}

function histogramChart(activations, label) {
  const step = (activations.high - activations.low) / activations.counts.length || 1e-9;
  const bins = activations.counts.map((n, i) => ({ n, x1: activations.low + i * step, x2: activations.low + (i + 1) * step }));
  return Plot.plot({
    width: 290, height: 110, marginLeft: 42, marginBottom: 30, marginTop: 8, marginRight: 8, style: CHART_STYLE,
    ariaLabel: `Histogram of activations, ${label}`,
    x: { label: "activation", ticks: 4, labelAnchor: "center" },
    y: { label: null, type: "sqrt", ticks: 3, tickFormat: compact },
    marks: [
      Plot.rectY(bins, { x1: "x1", x2: "x2", y: "n", fill: (d) => (d.x1 + d.x2 >= 0 ? `rgb(${BLUE})` : `rgb(${VERMILLION})`), insetRight: 0.5 }),
      Plot.ruleY([0]),
      Plot.ruleX([activations.mean], { stroke: "#000", strokeDasharray: "3 2" }),
    ],
  });
}

// A chart of one measure of several runs against training steps; null if no run logged the measure. `place` is a function
// from the name of a run to the index of its colour and dashes.
function trainingChart(runs, measure, label, place, options = {}) {
  const series = Object.entries(runs)
    .map(([run, measures]) => ({ run, points: (measures[measure] || []).map(([step, value]) => ({ run, step, value })) }))
    .filter((one) => one.points.length);
  const points = series.flatMap((one) => one.points);
  if (!points.length) return null;
  const values = points.map((d) => d.value);
  const log = options.log && Math.min(...values) > 0;
  return Plot.plot({
    width: 460, height: 230, marginLeft: 52, marginBottom: 38, marginRight: 16, style: CHART_STYLE,
    ariaLabel: label,
    x: { label: "step", labelAnchor: "center", ticks: 6, tickFormat: compact },
    y: log ? { ...logAxis(values, label, 1.05), labelAnchor: "top" } : { label, ticks: 5, tickFormat: compact, domain: [0, Math.max(1, ...values)], nice: true },
    marks: [
      ...series.map((one) =>
        Plot.line(one.points, { x: "step", y: "value", strokeWidth: 1.6, ...lookOf(place(one.run)) }),
      ),
      tip(points, { x: "step", y: "value", title: (d) => `${d.run}\nstep ${count(d.step)}\n${label}: ${number(d.value)}` }),
    ],
  });
}

function seriesLegend(names, place) {
  return h(
    "p",
    { class: "legend" },
    names.map((name) =>
      h("span", {}, Plot.plot({ width: 34, height: 10, axis: null, margin: 0, x: { domain: [0, 1] }, y: { domain: [0, 1] }, marks: [
        Plot.line([[0, 0.5], [1, 0.5]], { strokeWidth: 2, ...lookOf(place(name)) }),
      ] }), ` ${name}`),
    ),
  );
}

// The figure of held-out loss against circuit size, with one point for each model. A click on a point calls `choose` with
// the model's name.
function frontierChart(run, place, choose) {
  const points = run.models
    .map((model) => ({ ...model, i: place(model.name) }))
    .filter((model) => model.shared_edges !== null && model.held_out_loss !== null)
    .map((model) => ({ ...model, edges: Math.max(1, model.shared_edges) }));
  if (!points.length) return null;
  const losses = points.map((d) => d.held_out_loss);
  const room = Math.max(0.03, (Math.max(...losses) - Math.min(...losses)) * 0.25);
  const title = (d) =>
    [`${d.name}: ${number(d.edges)} edges, geometric mean`, `held-out loss ${d.held_out_loss.toFixed(3)}, L0 ${compact(d.l0)}, has ${plural(d.had, "task")}`, "",
      ...d.cells.filter((cell) => run.shared.includes(cell.task)).map((cell) => `${cell.task}: ${number(cell.edges)} edges`), "", "click to list its circuits"].join("\n");
  const colour = (d) => SERIES[d.i % SERIES.length];
  const chart = Plot.plot({
    width: 560, height: 380, marginLeft: 60, marginBottom: 42, marginRight: 60, style: CHART_STYLE,
    ariaLabel: "Held-out loss against circuit size",
    x: logAxis(points.map((d) => d.edges), `edges, geometric mean over ${plural(run.shared.length, "shared task")}`, 1.4),
    y: { domain: [Math.min(...losses) - room, Math.max(...losses) + room], label: "held-out loss (nats per token)", tickFormat: ".2f", ticks: 6, grid: true },
    marks: [
      Plot.dot(points, { x: "edges", y: "held_out_loss", r: 7, fill: colour, symbol: (d) => SYMBOLS[d.i % SYMBOLS.length], stroke: "#fff" }),
      Plot.text(points, { x: "edges", y: "held_out_loss", text: "name", dy: -15, fontWeight: "bold", fill: colour }),
      tip(points, { x: "edges", y: "held_out_loss", title, maxRadius: 60 }),
    ],
  });
  chart.style.cursor = "pointer";
  chart.addEventListener("click", () => chart.value && choose(chart.value.name));
  return chart;
}

// The figure of task loss against circuit size. Lines follow the pruner's ranking, and there is a marker for each target
// loss.
function sizesChart(curves, place) {
  const pointsOf = (kind) => curves.flatMap((curve) => curve[kind].map(([edges, loss]) => ({ i: place(curve.name), name: curve.name, edges: Math.max(1, edges), loss: Math.max(1e-4, loss) })));
  const lines = pointsOf("line");
  const marks = pointsOf("marks");
  const all = [...lines, ...marks];
  if (!all.length) return null;
  const colour = (d) => SERIES[d.i % SERIES.length];
  return Plot.plot({
    width: 560, height: 380, marginLeft: 60, marginBottom: 42, marginRight: 24, style: CHART_STYLE,
    ariaLabel: "Task loss against circuit size",
    x: logAxis(all.map((d) => d.edges), "edges, geometric mean"),
    y: { ...logAxis(all.map((d) => d.loss), "task loss (nats)"), labelAnchor: "top", grid: true },
    marks: [
      ...curves.map((curve) => Plot.line(lines.filter((d) => d.name === curve.name), { x: "edges", y: "loss", ...lookOf(place(curve.name)) })),
      Plot.dot(marks, { x: "edges", y: "loss", r: 5, fill: colour, symbol: (d) => SYMBOLS[d.i % SYMBOLS.length], stroke: "#fff" }),
      tip(all, { x: "edges", y: "loss", title: (d) => `${d.name}\n${number(d.edges)} edges, loss ${number(d.loss)}` }),
    ],
  });
}

// An attention pattern as an image with a row for each query. `pattern[query]` has the weights of the keys, then of the
// sink. The image shows the sink as its first column.
function patternChart(pattern, label) {
  const queries = pattern.length;
  const keys = Math.max(...pattern.map((row) => row.length)) - 1;
  const grid = Array.from({ length: queries * (keys + 1) }, (_, k) => {
    const row = pattern[Math.floor(k / (keys + 1))];
    const column = k % (keys + 1);
    return column === 0 ? row[row.length - 1] : column - 1 < row.length - 1 ? row[column - 1] : NaN;
  });
  return Plot.plot({
    width: 270, height: 250, marginLeft: 30, marginBottom: 30, marginTop: 6, marginRight: 4, style: CHART_STYLE, ariaLabel: label,
    x: { domain: [0, keys + 1], label: "key →", ticks: [0.5, ...d3.ticks(0, keys - 1, 5).map((key) => key + 1.5)], tickFormat: (x) => (x === 0.5 ? "sink" : String(x - 1.5)), labelAnchor: "right" },
    y: { domain: [queries, 0], label: null, ticks: d3.ticks(0, queries - 1, 5).map((query) => query + 0.5), tickFormat: (y) => String(y - 0.5) },
    color: { type: "linear", domain: [0, 1], range: ["#ffffff", `rgb(${BLUE})`], unknown: "#eeeeee" },
    marks: [
      Plot.raster(grid, { width: keys + 1, height: queries, x1: 0, x2: keys + 1, y1: 0, y2: queries, imageRendering: "pixelated" }),
      Plot.ruleX([1], { stroke: "#999" }),
      Plot.frame({ stroke: "#999" }),
    ],
  });
}
