// The layout of the drawing. Layers go from bottom to top. The residual channels are vertical lines in the middle, called
// lanes. Attention heads are to the left of the lanes, MLP neurons to the right. A node that reads or writes a residual
// channel is on the channel's lane. A band is the horizontal strip of a sublayer. Coordinates are pixels at zoom 1; y
// grows downwards.

const STEP = 30; // horizontal distance between neighbouring nodes or lanes
const ROW = 42; // smallest vertical distance between rows of nodes in one sublayer
const GAP = 90; // distance between the lanes and the heads or neurons next to them
const SWEEPS = 6; // number of rounds in which lanes, heads and neurons are sorted by the places of their neighbours
const SHAPE = 0.66; // preferred ratio of the height of the drawing to its width
const WIDEST = 3; // largest factor by which the drawing of a deep circuit is stretched sideways
const MARGIN = 9; // room at the left for the names of bands, in text heights; used only in a stretched drawing
const LETTERS = 62; // width of the drawing divided by the height of its large text; the text is readable when the whole graph is visible

// The layout is computed again when its size is known. A large drawing gets larger text. A wide drawing gets more height,
// so that edges are not too flat, and a tall one gets more width.
function layoutCircuit(circuit) {
  const order = orderNodes(circuit);
  const width = (layout) => layout.right - layout.left;
  const height = (layout) => layout.ends.embedding - layout.ends.logits;
  const first = placeAll(circuit, order, ROW, 0);
  const font = Math.max(13, width(first) / LETTERS, height(first) / SHAPE / LETTERS);
  const close = placeAll(circuit, order, ROW, font);
  const room = SHAPE * width(close) - height(close);
  const gaps = 2 * close.bands.filter((band) => band.nodes).length || 1;
  const placed = room > 0 ? placeAll(circuit, order, ROW + room / gaps, font) : close;
  const times = height(placed) / SHAPE / width(placed);
  if (times <= 1) return { ...placed, font };
  const wide = stretched(placed, Math.min(WIDEST, times));
  return { ...wide, left: wide.left - MARGIN * font, font };
}

function stretched(layout, times) {
  const wider = (at) => ({ ...at, x: at.x * times });
  return {
    ...layout,
    positions: new Map([...layout.positions].map(([i, at]) => [i, wider(at)])),
    heads: layout.heads.map(({ key, box }) => ({ key, box: { ...box, x1: box.x1 * times, x2: box.x2 * times } })),
    laneX: new Map([...layout.laneX].map(([channel, x]) => [channel, x * times])),
    laneStep: layout.laneStep * times,
    left: layout.left * times,
    right: layout.right * times,
    width: layout.width * times,
  };
}

// Place everything. `spread`: vertical distance between the nodes that read (act_in) and the heads or neurons of a
// sublayer, and between these and the nodes that write (resid_delta). `font`: height of large text.
function placeAll(circuit, order, spread, font) {
  const lanes = order.lanes;
  const laneStep = lanes.length > 120 ? 16 : lanes.length > 50 ? 21 : STEP;
  const row = ROW * Math.min(2.5, Math.max(1, spread / ROW / 2));
  const laneX = new Map(lanes.map((lane, i) => [lane.channel, i * laneStep]));
  const width = Math.max(6, lanes.length - 1) * laneStep;
  const positions = new Map();
  const heads = [];
  const bands = [];
  const layers = circuit.data.config.n_layer;
  let y = 0; // starts at the embedding; each band is above the previous one
  let left = -GAP;
  let right = width + GAP;
  for (let layer = 0; layer < layers; layer++) {
    for (const kind of ["attn", "mlp"]) {
      const nodes = circuit.nodes.filter((node) => node.site.startsWith(`${layer}.${kind}.`)).length;
      if (!nodes) {
        const height = Math.max(ROW, 1.7 * font);
        bands.push({ layer, kind, nodes, y1: y - height, y2: y });
        y -= height;
        continue;
      }
      const of = (place) => circuit.nodes.map((_, i) => i).filter((i) => circuit.nodes[i].site === `${layer}.${kind}.${place}`);
      const bottom = y - ROW;
      const onLane = (i, at) => positions.set(i, { x: laneX.get(circuit.nodes[i].channel), y: at });
      of("act_in").forEach((i) => onLane(i, bottom));
      const start = bottom - spread;
      let top;
      if (kind === "attn") {
        const placed = placeHeads(order.heads.filter((head) => head.layer === layer), circuit, start, width, row);
        placed.forEach((head) => {
          heads.push(head);
          head.nodes.forEach(([i, at]) => positions.set(i, at));
          left = Math.min(left, head.box.x1);
        });
        top = Math.min(start, ...placed.map((head) => head.box.y1)) - spread;
      } else {
        const neurons = order.neurons.get(layer) || [];
        const columns = Math.max(6, Math.ceil(Math.sqrt(neurons.length * 5)));
        const rows = Math.ceil(neurons.length / columns);
        const step = rows > 2 ? STEP : 1.5 * STEP; // if there are few neurons, there is room for their names
        neurons.forEach((i, n) => {
          const column = Math.floor(n / Math.max(1, rows)); // one column is filled after the other, so neurons are ordered from left to right
          const at = { x: width + GAP + column * step, y: start - (n % Math.max(1, rows)) * row };
          positions.set(i, at);
          right = Math.max(right, at.x);
        });
        top = start - Math.max(0, rows - 1) * row - spread;
      }
      of("resid_delta").forEach((i) => onLane(i, top));
      bands.push({ layer, kind, nodes, y1: top - ROW / 2, y2: bottom + ROW / 2 });
      y = top - ROW / 2;
    }
  }
  const lift = ROW / 2 + 0.8 * font; // the bars for embedding and logits are as high as their text
  const ends = { embedding: lift, logits: y - lift };
  return { positions, heads, bands, ends, laneX, laneStep, left: left - STEP, right: right + STEP, width, segments: laneSegments(circuit, positions, ends) };
}

// Place the heads of a layer. A head is a box with three rows of nodes: q at the bottom, then k, then v. The boxes are in
// lines, which start at the lanes and grow to the left.
function placeHeads(heads, circuit, start, width, gap) {
  const widest = Math.max(420, width * 0.7);
  const placed = [];
  let edge = -GAP;
  let base = start;
  for (const head of heads) {
    const rows = ["q", "k", "v"].map((part) => head.nodes.filter((i) => circuit.nodes[i].site.endsWith(`.${part}`)));
    const across = Math.max(...rows.map((row) => row.length)) * STEP;
    if (edge - across < -GAP - widest && edge < -GAP) {
      edge = -GAP;
      base -= 3 * gap + STEP;
    }
    const nodes = rows.flatMap((row, level) =>
      row.map((i, n) => [i, { x: edge - across / 2 + (n - (row.length - 1) / 2) * STEP, y: base - level * gap }]),
    );
    const box = { x1: edge - across - 4, x2: edge + 4, y1: base - 2 * gap - 20, y2: base + 20 };
    placed.push({ key: `${head.layer}.${head.head}`, nodes, box });
    edge -= across + 18;
  }
  return placed;
}

// Order lanes, heads and neurons so that edges are short. In each round, the three are sorted one after the other, by the
// mean place of their neighbours.
function orderNodes(circuit) {
  const side = (lane) => {
    const kinds = new Set(lane.nodes.map((i) => circuit.nodes[i].site.split(".")[1]));
    return kinds.size === 2 ? 1 : kinds.has("attn") ? 0 : 2;
  };
  const lanes = [...circuit.data.lanes].sort((a, b) => side(a) - side(b) || a.channel - b.channel);
  const heads = [...circuit.heads].map(([key, nodes]) => ({ layer: Number(key.split(".")[0]), head: Number(key.split(".")[1]), nodes }));
  const neurons = new Map();
  circuit.nodes.forEach((node, i) => {
    if (!node.site.endsWith("post_act")) return;
    if (!neurons.has(layerOf(node))) neurons.set(layerOf(node), []);
    neurons.get(layerOf(node)).push(i);
  });
  const place = new Map();
  const around = (list) => list.flatMap((i) => [...circuit.out[i].map((edge) => edge.target), ...circuit.into[i].map((edge) => edge.source)]);
  const mean = (list) => {
    const known = list.filter((j) => place.has(j)).map((j) => place.get(j));
    return known.length ? known.reduce((a, b) => a + b, 0) / known.length : lanes.length / 2;
  };
  const sortBy = (list, key) => {
    const keys = new Map(list.map((item) => [item, key(item)]));
    list.sort((a, b) => keys.get(a) - keys.get(b));
  };
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    lanes.forEach((lane, n) => lane.nodes.forEach((i) => place.set(i, n)));
    sortBy(heads, (head) => -mean(around(head.nodes))); // the first head in the list is placed nearest to the lanes
    heads.forEach((head) => {
      head.nodes.sort((a, b) => mean(around([a])) - mean(around([b])));
      head.nodes.forEach((i) => place.set(i, mean(around(head.nodes)) - 0.3 * lanes.length));
    });
    for (const list of neurons.values()) {
      sortBy(list, (i) => mean(around([i])));
      list.forEach((i) => place.set(i, mean(around([i])) + 0.3 * lanes.length));
    }
    if (sweep < SWEEPS - 1) sortBy(lanes, (lane) => mean(around(lane.nodes)) + (side(lane) - 1) * lanes.length * 0.2);
  }
  return { lanes, heads, neurons };
}

// The parts of each lane that are drawn, as [{channel, from, to, shared}]. A part goes from a write (y = from) to the last
// read of what was written (y = to). Overlapping parts are merged. `shared`: several sublayers read or write the channel.
function laneSegments(circuit, positions, ends) {
  const segments = [];
  for (const lane of circuit.data.lanes) {
    const stops = lane.nodes.map((i) => ({ y: positions.get(i).y, node: circuit.nodes[i] }));
    const readers = stops.filter((stop) => reads(stop.node)).map((stop) => stop.y);
    const writers = stops.filter((stop) => writes(stop.node)).map((stop) => stop.y);
    const stretches = [];
    const add = (from, to) => to < from && stretches.push([from, to]);
    if (lane.embedded && readers.length) add(ends.embedding, Math.min(...readers));
    for (const y of writers) {
      if (lane.unembedded) add(y, ends.logits);
      else add(y, Math.min(...readers, y));
    }
    stretches.sort((a, b) => b[0] - a[0]);
    const merged = [];
    for (const [from, to] of stretches) {
      const last = merged[merged.length - 1];
      if (last && from >= last[1]) last[1] = Math.min(last[1], to);
      else merged.push([from, to]);
    }
    const shared = new Set(lane.nodes.map((i) => circuit.nodes[i].site.replace(/\.[^.]*$/, ""))).size > 1;
    for (const [from, to] of merged) segments.push({ channel: lane.channel, from, to, shared });
  }
  return segments;
}
