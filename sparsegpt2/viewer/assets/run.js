// The view of a run: its training curves, and the figures that compare models, with the circuits of each model.

const MEASURES = [
  ["loss", "training loss (nats per token)", { log: true }],
  ["held_out_loss", "held-out loss (nats per token)", { log: true }],
  ["density", "density", { log: true }],
  ["l0", "L0: nonzero weights and biases", { log: true }],
  ["dead_mlp_neurons", "dead MLP neurons", {}],
  ["dead_attention_channels", "dead attention channels", {}],
];

function runView(run, circuits, open) {
  const chosen = h("div", { id: "model-circuits", tabindex: -1 });
  const choose = (name) => {
    fill(chosen, modelCircuits(run, run.models.find((model) => model.name === name), open));
    chosen.scrollIntoView({ block: "nearest" });
  };
  const names = [...new Set([...run.models.map((model) => model.name), ...Object.keys(run.training), ...run.curves.map((curve) => curve.name)])];
  const place = (name) => names.indexOf(name); // a model looks the same in every figure
  const frontier = run.models.length ? frontierChart(run, place, choose) : null;
  const sizes = sizesChart(run.curves, place);
  const charts = MEASURES.map(([measure, label, options]) => trainingChart(run.training, measure, label, place, options)).filter((chart) => chart);
  const view = h(
    "div",
    { class: "page run" },
    h("h2", {}, run.name),
    run.models.length
      ? [
          h("h3", {}, "Capability against interpretability"),
          h("div", { class: "columns figures" },
            frontier ? h("figure", { id: "frontier" }, frontier, h("figcaption", {}, `Lower left is better. Circuit sizes are means over ${plural(run.shared.length, "task")} that every model has and for which its circuits meet the target loss, ${run.target} nats (${run.pruner} pruner).`)) : h("p", {}, "No models can be compared."),
            sizes ? h("figure", {}, sizes, seriesLegend(run.curves.map((curve) => curve.name), place), h("figcaption", {}, "Task loss against circuit size. Lines follow the pruner's ranking, and there is a marker for each target loss.")) : null),
          h("p", { class: "buttons", role: "group", "aria-label": "Models" }, "Circuits of ", run.models.map((model) => h("button", { onclick: () => choose(model.name) }, model.name))),
          chosen,
          run.not_shown ? h("p", { class: "notice" }, run.not_shown) : null,
        ]
      : null,
    charts.length ? [h("h3", {}, "Training"), seriesLegend(Object.keys(run.training), place), h("div", { class: "columns figures" }, charts.map((chart) => h("figure", {}, chart)))] : null,
  );
  if (run.models.length) choose((run.models.find((model) => model.shared_edges !== null) || run.models[0]).name);
  return view;
}

function modelCircuits(run, model, open) {
  const words = { "lacks the task": "the model lacks the task", unavailable: "unavailable in this tokenizer" };
  return [
    h("h4", {}, model.name, h("span", { class: "soft" }, ` width ${model.d_model}, L0 ${count(model.l0)}, held-out loss ${number(model.held_out_loss)}`)),
    table(
      ["task", "edges", "loss", "whole model", "circuit"],
      model.cells.map((cell) => [
        h("span", {}, cell.task, run.shared.includes(cell.task) ? h("span", { class: "soft" }, " shared") : null),
        cell.edges === null ? "–" : count(Math.round(cell.edges)),
        number(cell.loss),
        number(cell.loss_full),
        cell.circuits.length
          ? cell.circuits.map((place) => h("button", { class: "link", onclick: () => open(place) }, "open "))
          : cell.files.length ? h("code", { class: "soft" }, cell.files.join(", ")) : h("span", { class: "soft" }, words[cell.status] || ""),
      ]),
      { class: "wide" },
    ),
  ];
}
