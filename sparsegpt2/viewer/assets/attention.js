// The attention of one head on a prompt pair, including the sink, in the whole model and in the circuit side by side.

// Decode a pattern in base64 to a row of attention weights in [0, 1] for each query: first the keys that the query can
// attend to, then the sink.
function unpackPattern(text, length, causal) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const rows = [];
  for (let query = 0, at = 0; query < length; query++) {
    const width = (causal ? query + 1 : length) + 1;
    rows.push(Array.from(bytes.subarray(at, at + width), (byte) => byte / 255));
    at += width;
  }
  return rows;
}

function attentionSection(circuit, node) {
  const task = circuit.data.task;
  if (node.head === null || !task) return null;
  const key = `${layerOf(node)}.${node.head}`;
  const rows = task.patterns.heads[key];
  const heading = `Attention of head ${key}`;
  if (!rows) {
    return section(heading, h("p", { class: "soft" }, task.patterns.left_out.includes(key) ? "The patterns of this head are left out, because the page would be too large." : "This page was made without attention patterns."));
  }
  const body = h("div", {});
  const pairs = Array.from({ length: task.patterns.pairs }, (_, i) => h("option", { value: i }, `pair ${i + 1}`));
  const choice = h("select", { "aria-label": "Prompt pair", onchange: () => draw() }, pairs);
  const draw = () => {
    const pair = Number(choice.value);
    fill(body, [0, 1].map((side) => attentionOfPrompt(circuit, task.pairs[pair][side], rows[2 * pair + side])));
  };
  draw();
  return section(heading, h("p", {}, "Prompts of ", choice, h("span", { class: "soft" }, " – choose the query token with the slider or by clicking it")), body);
}

function attentionOfPrompt(circuit, side, packed) {
  const length = side.tokens.length;
  const variants = { full: "whole model", circuit: "circuit" };
  const patterns = Object.fromEntries(Object.keys(variants).map((name) => [name, unpackPattern(packed[name], length, circuit.data.config.causal)]));
  const strips = Object.fromEntries(Object.keys(variants).map((name) => [name, h("p", { class: "snippet" })]));
  const said = h("span", { class: "soft" });
  const slider = h("input", { type: "range", min: 0, max: length - 1, value: length - 1, "aria-label": "Query token", oninput: () => draw() });
  const draw = () => {
    const query = Number(slider.value);
    said.textContent = ` query ${query} `;
    for (const name of Object.keys(variants)) {
      const shares = patterns[name][query];
      const sink = shares[shares.length - 1];
      fill(
        strips[name],
        h("span", { class: "token sink", style: { background: shade(sink) }, title: `sink ${percent(sink)}` }, `sink ${percent(sink)}`),
        side.tokens.map((id, key) =>
          h(
            "span",
            {
              class: key === query ? "token peak" : "token",
              style: key < shares.length - 1 ? { background: shade(shares[key]) } : { color: "#aaa" },
              title: key < shares.length - 1 ? `key ${key}: ${percent(shares[key])}` : `key ${key}: after the query, so it gets no attention`,
              onclick: () => {
                slider.value = key;
                draw();
              },
            },
            visible(circuit.data.texts[id]),
          ),
        ),
      );
    }
  };
  draw();
  return h(
    "div",
    { class: "prompt" },
    h("p", {}, "answer ", side.answer === null ? h("em", {}, "anything else") : tokenChip(side.answer), said, slider),
    h("div", { class: "columns" }, Object.entries(variants).map(([name, words]) => h("div", {}, h("h5", {}, words), strips[name], patternChart(patterns[name], `Attention pattern, ${words}`)))),
  );
}
