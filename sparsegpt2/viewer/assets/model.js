// A circuit with the lookups that the page needs: the neighbours of a node, the residual channel that it reads or writes,
// and the nodes that it can reach. A lane is a residual channel, drawn as a vertical line.

// The eight places of nodes in a layer, in forward order. Colours are from the palette of Okabe and Ito, which works for
// the colour-blind. Places also differ in shape or letter.
const PLACES = {
  "attn.act_in": { name: "attention reads", letter: "r", colour: "#ffffff", shape: "rectangle" },
  "attn.q": { name: "query", letter: "q", colour: "#E69F00", shape: "triangle" },
  "attn.k": { name: "key", letter: "k", colour: "#CC79A7", shape: "diamond" },
  "attn.v": { name: "value", letter: "v", colour: "#009E73", shape: "ellipse" },
  "attn.resid_delta": { name: "attention writes", letter: "w", colour: "#4a4a4a", shape: "rectangle" },
  "mlp.act_in": { name: "MLP reads", letter: "r", colour: "#ffffff", shape: "round-rectangle" },
  "mlp.post_act": { name: "neuron", letter: "n", colour: "#56B4E9", shape: "hexagon" },
  "mlp.resid_delta": { name: "MLP writes", letter: "w", colour: "#4a4a4a", shape: "round-rectangle" },
};
const layerOf = (node) => Number(node.site.split(".")[0]);
const placeOf = (node) => node.site.slice(node.site.indexOf(".") + 1);
const reads = (node) => node.site.endsWith("act_in");
const writes = (node) => node.site.endsWith("resid_delta");

class CircuitModel {
  constructor(data) {
    this.data = data;
    this.nodes = data.nodes;
    this.index = new Map(data.nodes.map((node, i) => [node.id, i]));
    this.edges = data.edges.weight.map((weight, k) => ({ source: data.edges.source[k], target: data.edges.target[k], weight }));
    this.into = data.nodes.map(() => []); // for each node, its in-edges, largest magnitude first (the order of the data)
    this.out = data.nodes.map(() => []);
    for (const edge of this.edges) {
      this.out[edge.source].push(edge);
      this.into[edge.target].push(edge);
    }
    this.laneOf = new Map();
    for (const lane of data.lanes) for (const i of lane.nodes) this.laneOf.set(i, lane);
    this.heads = new Map(); // "layer.head" -> its q, k and v nodes
    data.nodes.forEach((node, i) => {
      if (node.head === null) return;
      const key = this.headOf(i);
      if (!this.heads.has(key)) this.heads.set(key, []);
      this.heads.get(key).push(i);
    });
  }

  headOf(i) {
    return `${layerOf(this.nodes[i])}.${this.nodes[i].head}`;
  }

  // The nodes that node `i` is connected to through its residual channel: for a node that writes, the later ones that read
  // (forward); for a node that reads, the earlier ones that write.
  alongLane(i, forward) {
    const lane = this.laneOf.get(i);
    if (!lane || (forward ? !writes(this.nodes[i]) : !reads(this.nodes[i]))) return [];
    const wanted = forward ? reads : writes;
    return lane.nodes.filter((j) => wanted(this.nodes[j]) && (forward ? j > i : j < i));
  }

  // The q and k nodes of a head determine its attention pattern, so they affect every v node of the head.
  throughPattern(i, forward) {
    const node = this.nodes[i];
    if (node.head === null || node.site.endsWith(".v") === forward) return [];
    return this.heads.get(this.headOf(i)).filter((j) => this.nodes[j].site.endsWith(".v") === forward);
  }

  neighbours(i, forward) {
    const edges = forward ? this.out[i].map((edge) => edge.target) : this.into[i].map((edge) => edge.source);
    return [...edges, ...this.alongLane(i, forward), ...this.throughPattern(i, forward)];
  }

  // The set of nodes that can be reached from `i` (forward), or from which `i` can be reached; it includes `i`.
  reach(i, forward) {
    const found = new Set([i]);
    const queue = [i];
    while (queue.length) {
      for (const j of this.neighbours(queue.pop(), forward)) {
        if (!found.has(j)) {
          found.add(j);
          queue.push(j);
        }
      }
    }
    return found;
  }

  // The importance of a node, which its drawn size shows: how much the task loss rises when the node is ablated. Without a
  // task, the sum of the magnitudes of the weights of its edges.
  importance(i) {
    const effect = this.nodes[i].effect;
    if (effect !== null) return Math.max(0, effect);
    return [...this.into[i], ...this.out[i]].reduce((sum, edge) => sum + Math.abs(edge.weight), 0);
  }

  byImportance() {
    return this.nodes.map((_, i) => i).sort((a, b) => this.importance(b) - this.importance(a) || a - b);
  }

  shortName(i) {
    const node = this.nodes[i];
    return PLACES[placeOf(node)].letter + node.channel;
  }
}
