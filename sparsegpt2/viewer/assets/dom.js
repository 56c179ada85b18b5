// Functions that make HTML elements and format numbers and tokens. Text from the data becomes text nodes, never markup.

function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(element.style, value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child));
  return element;
}

function section(heading, ...children) {
  return h("section", {}, h("h3", {}, heading), ...children);
}

function table(header, rows, attributes) {
  return h(
    "table",
    attributes,
    h("thead", {}, h("tr", {}, header.map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell) => h("td", {}, cell))))),
  );
}

// Three significant digits, with a true minus sign; a dash for an unknown value.
function number(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  const text = size !== 0 && (size < 1e-3 || size >= 1e5) ? value.toExponential(1) : String(+value.toPrecision(3));
  return text.replaceAll("-", "−");
}

const signed = (value) => (value > 0 ? "+" : "") + number(value);
const percent = (value) => (value === null || value === undefined ? "–" : (100 * value).toFixed(value === 0 || value === 1 ? 0 : value > 0.995 || value < 0.005 ? 2 : 1) + "%");
const count = (value) => value.toLocaleString("en");
const plural = (value, word) => `${count(value)} ${word}${value === 1 ? "" : "s"}`;

// A token on one line: line ends and tabs become symbols.
const visible = (text) => text.replaceAll("\r", "␍").replaceAll("\n", "↵").replaceAll("\t", "⇥");

function tokenChip(text) {
  return h("code", { class: "chip" }, visible(text).replaceAll(" ", "␣"));
}

const BLUE = "0,114,178";
const VERMILLION = "213,94,0";
const shade = (share) => `rgba(${share >= 0 ? BLUE : VERMILLION},${(0.85 * Math.min(1, Math.abs(share))).toFixed(3)})`;
