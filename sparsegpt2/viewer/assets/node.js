// The content of the side panel, for one node or for one residual channel.

function nodeLink(circuit, notes, i, go) {
  const node = circuit.nodes[i];
  const label = notes.of(circuit.data.name, node.id).label;
  return h("button", { class: "link", onclick: () => go(i) }, node.id, label ? h("b", {}, ` ${label}`) : null);
}

function tokenList(weights) {
  const most = Math.max(...weights.map(([, weight]) => Math.abs(weight)));
  return h(
    "ul",
    { class: "tokens" },
    [1, -1].map((sign) => weights.filter(([, weight]) => weight * sign > 0)).flat().map(([text, weight]) =>
      h("li", {}, h("span", { class: "swatch", style: { background: shade(weight / most) } }), tokenChip(text), h("span", { class: "soft" }, ` ${signed(weight)}`)),
    ),
  );
}

function edgeTable(circuit, notes, edges, end, go) {
  if (!edges.length) return h("p", { class: "soft" }, "none");
  const most = Math.abs(edges[0].weight);
  return table(
    [end === "source" ? "from" : "to", "weight", ""],
    edges.map((edge) => [
      nodeLink(circuit, notes, edge[end], go),
      signed(edge.weight),
      h("span", { class: "bar", style: { width: `${(80 * Math.abs(edge.weight)) / most}px`, background: shade(edge.weight > 0 ? 1 : -1) } }),
    ]),
    { class: "edges" },
  );
}

function residualLinks(circuit, notes, i, go) {
  const node = circuit.nodes[i];
  const lane = circuit.laneOf.get(i);
  if (!lane) return null;
  const links = circuit.alongLane(i, writes(node)).map((j) => [nodeLink(circuit, notes, j, go), " "]);
  const end = reads(node) ? lane.embedded && "the embedding" : lane.unembedded && "the unembedding";
  return section(
    `Residual channel ${lane.channel}`,
    h("p", {}, reads(node) ? "This node reads the channel. Earlier writers: " : "This node writes to the channel. Later readers: ", links, end ? (links.length ? `and ${end}` : end) : links.length ? "" : "no kept node", "."),
  );
}

function noteFields(circuit, notes, node) {
  const entry = notes.of(circuit.data.name, node.id);
  const save = () => notes.set(circuit.data.name, node.id, { label: label.value.trim(), note: note.value.trim() });
  const label = h("input", { type: "text", id: "label", placeholder: "what is it?", value: entry.label, maxlength: 80, onchange: save });
  const note = h("textarea", { id: "note", rows: 2, placeholder: "notes", value: entry.note, onchange: save });
  return h("div", { class: "notes" }, h("label", {}, "Label ", label), h("label", {}, "Note ", note));
}

function nodePage(circuit, notes, i, go) {
  const node = circuit.nodes[i];
  const place = PLACES[placeOf(node)];
  const facts = [
    ["Loss rise when ablated in the circuit", node.effect === null ? null : `${signed(node.effect)} nats`],
    ["Loss rise when ablated in the whole model", node.effect_full === null ? null : `${signed(node.effect_full)} nats`],
    ["Mean (value when ablated)", node.mean === null ? null : number(node.mean)],
    ["Bias", node.bias === null ? null : number(node.bias)],
    ["Head", node.head === null ? null : circuit.headOf(i)],
  ].filter(([, value]) => value !== null);
  return h(
    "article",
    { class: "node-page" },
    h("h2", {}, h("span", { class: `key ${place.shape}`, style: { background: place.colour } }), node.id),
    h("p", { class: "soft" }, `${place.name}, layer ${layerOf(node)}, channel ${node.channel}`),
    noteFields(circuit, notes, node),
    h("dl", {}, facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    node.excited_by.length ? section("Embedding: tokens that excite or inhibit the node most", tokenList(node.excited_by)) : null,
    node.raises.length ? section("Unembedding: tokens whose logits the node raises or lowers most", tokenList(node.raises)) : null,
    residualLinks(circuit, notes, i, go),
    h(
      "div",
      { class: "columns roomy" },
      section(plural(circuit.into[i].length, "in-edge"), edgeTable(circuit, notes, circuit.into[i], "source", go)),
      section(plural(circuit.out[i].length, "out-edge"), edgeTable(circuit, notes, circuit.out[i], "target", go)),
    ),
    attentionSection(circuit, node),
    section("Activations in the whole model", activationColumns(circuit.data, node)),
  );
}

function lanePage(circuit, notes, channel, go) {
  const lane = circuit.data.lanes.find((one) => one.channel === channel);
  const rows = lane.nodes.map((i) => [nodeLink(circuit, notes, i, go), reads(circuit.nodes[i]) ? "reads" : "writes", number(circuit.nodes[i].effect)]);
  return h(
    "article",
    { class: "node-page" },
    h("h2", {}, `Residual channel ${channel}`),
    h("p", {}, `The embedding ${lane.embedded ? "writes" : "does not write"} to this channel. The unembedding ${lane.unembedded ? "reads" : "does not read"} it.`),
    table(["node", "", "loss rise when ablated"], rows),
  );
}
