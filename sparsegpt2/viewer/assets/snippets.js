// Pieces of text in which each token is shaded by the activation of one node.

const KINDS = { top: "strongest", bottom: "weakest", random: "random" };
const SOURCES = { corpus: "Corpus", task: "Task" };

function snippetLine(data, source, snippet, share, value) {
  const tokens = data.rows[source][snippet.row];
  return h(
    "p",
    { class: "snippet" },
    snippet.start > 0 ? h("span", { class: "cut" }, "…") : null,
    snippet.values.map((hundredths, k) => {
      const position = snippet.start + k;
      return h(
        "span",
        {
          class: position === snippet.peak ? "token peak" : "token",
          style: hundredths ? { background: shade(share(hundredths)) } : null,
          title: `${number(value(hundredths))} at token ${position} of row ${snippet.row}`,
        },
        visible(data.texts[tokens[position]]),
      );
    }),
    snippet.start + snippet.values.length < tokens.length ? h("span", { class: "cut" }, "…") : null,
  );
}

// The activations on the corpus and on the task side by side, each with a histogram and snippets. Both are shaded on the
// same scale.
function activationColumns(data, node) {
  const sources = Object.keys(SOURCES).filter((source) => node.activations[source]);
  if (!sources.length) return h("p", { class: "soft" }, "This page was made without activations; run `sparsegpt2 view` on the circuit file to include them.");
  const scale = Math.max(1e-9, ...sources.map((source) => node.activations[source].scale));
  return h(
    "div",
    { class: "columns" },
    sources.map((source) => {
      const found = node.activations[source];
      const value = (hundredths) => (hundredths / 100) * found.scale;
      const share = (hundredths) => value(hundredths) / scale;
      return h(
        "div",
        {},
        h("h4", {}, SOURCES[source]),
        h("p", { class: "soft" }, data.sources[source]),
        histogramChart(found, SOURCES[source]),
        h("p", { class: "soft" }, `mean ${number(found.mean)}, from ${number(found.low)} to ${number(found.high)}; exactly 0 at ${percent(found.zeros)} of positions, which the histogram leaves out`),
        Object.entries(KINDS).map(([kind, name]) => [
          h("h5", {}, name),
          found[kind].map((snippet) => snippetLine(data, source, snippet, share, value)),
        ]),
      );
    }),
  );
}
