// The tab about the task: losses of the whole model, the circuit and its complement (everything except the circuit), and
// what each of the three predicts after example prompts.

const VARIANTS = { full: "whole model", circuit: "circuit", complement: "complement" };

function scoreTable(scores) {
  return table(
    ["", "task loss (nats)", "accuracy"],
    Object.entries(VARIANTS).map(([name, words]) => [words, number(scores.loss[name]), percent(scores.accuracy[name])]),
    { class: "scores" },
  );
}

function promptText(data, side) {
  return h("pre", { class: "prompt-text" }, side.tokens.map((id) => data.texts[id]).join(""), side.answer === null ? h("em", {}, " anything else") : h("mark", {}, visible(side.answer)));
}

function chanceBar(share) {
  return h("span", { class: "chance" }, h("span", { style: { width: `${100 * share}%` } }), h("b", {}, percent(share)));
}

function sideBlock(data, side) {
  return h(
    "div",
    {},
    promptText(data, side),
    table(
      ["", "right", side.answer === null ? "p(answer)" : ["p", tokenChip(side.answer)], side.alternative === null ? "p(other)" : ["p", tokenChip(side.alternative)], "most probable tokens"],
      Object.entries(VARIANTS).map(([name, words]) => {
        const choice = side[name];
        const top = choice.top.map(([text, share]) => [tokenChip(text), h("span", { class: "soft" }, ` ${percent(share)} `)]);
        return [words, chanceBar(choice.right), percent(choice.answer), percent(choice.alternative), top];
      }),
      { class: "choices" },
    ),
  );
}

function taskSection(data) {
  const task = data.task;
  if (!task) return h("section", {}, h("p", { class: "soft" }, "This page was made without its task."));
  return h(
    "section",
    {},
    h("h2", {}, `Task ${task.name}`),
    h("div", { class: "columns" },
      h("div", {},
        scoreTable(task.scores),
        h("p", { class: "soft" }, `${count(task.scores.pairs)} ${task.scores.split} pairs, mean over both sides. The complement is everything except the circuit. In the rows for circuit and complement, everything else is mean-ablated.`)),
      data.curve.length ? h("div", {}, h("h3", {}, "Loss against size"), curveChart(data), h("p", { class: "soft" }, "From left to right, circuits keep more of the nodes, in the order of the pruner's ranking. The dashed line is the target loss.")) : null),
    h("h3", {}, "Example pairs"),
    h("p", { class: "soft" }, `These are ${task.split} pairs. Column "right": probability of the right choice if only the right and the wrong choice are possible. Columns "p": probability over the whole vocabulary.`),
    task.pairs.map((pair, n) => h("div", { class: "pair" }, h("h4", {}, `Pair ${n + 1}`), h("div", { class: "columns" }, pair.map((side) => sideBlock(data, side))))),
  );
}

// Show any JSON value as nested lists and tables. An object becomes a list of names and values. Several objects with the
// same keys become the rows of a table.
function jsonView(value) {
  if (value === null || typeof value !== "object") return typeof value === "number" ? number(value) : String(value ?? "–");
  if (Array.isArray(value)) {
    if (value.every((item) => item === null || typeof item !== "object")) return value.map(jsonView).join(", ");
    const names = [...new Set(value.flatMap((item) => (item && !Array.isArray(item) ? Object.keys(item) : [])))];
    if (names.length && names.length <= 10) return table(names, value.map((item) => names.map((name) => jsonView(item?.[name]))));
    return h("ol", {}, value.map((item) => h("li", {}, jsonView(item))));
  }
  const [first, ...others] = Object.values(value).map((item) => (isFlat(item) ? Object.keys(item) : null));
  if (first && others.length && others.every((names) => names && names.join() === first.join())) {
    return table(["", ...first], Object.entries(value).map(([name, item]) => [name, ...first.map((key) => jsonView(item[key]))]));
  }
  return h("dl", {}, Object.entries(value).map(([name, item]) => [h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, jsonView(item))]));
}

const isFlat = (value) => value !== null && typeof value === "object" && !Array.isArray(value) && Object.values(value).every((item) => item === null || typeof item !== "object");

// A report of `sparsegpt2 evaluate` is shown as a table of findings, which a click expands to all numbers. Of any other
// report, everything is shown.
function evidenceSection(data) {
  return h("section", {}, h("h2", {}, "Is the circuit faithful?"), Object.entries(data.evidence).map(([name, report]) => [
    h("h3", {}, name),
    report?.summary ? h("p", {}, h("b", {}, String(report.summary))) : null,
    isFindings(report?.findings)
      ? [table(["check", "verdict", "finding"], Object.entries(report.findings).map(([check, found]) => [check, found.verdict, found.says])), h("details", {}, h("summary", {}, "All numbers"), jsonView(report))]
      : jsonView(report),
  ]));
}

const isFindings = (value) => value && Object.values(value).every((found) => typeof found?.verdict === "string" && typeof found.says === "string");
