// Labels and notes that the user types into the page. They are kept while the page is open, and can be exported and
// imported as JSON.

const NOTES_KIND = "sparsegpt2 notes";
const NOTES_FORMAT = 1;

class Notes {
  constructor(circuits) {
    this.circuits = structuredClone(circuits); // circuit name -> node id -> {label, note}
    this.exported = true;
    this.listeners = [];
    addEventListener("beforeunload", (event) => this.exported || event.preventDefault());
  }

  of(circuit, node) {
    return this.circuits[circuit]?.[node] || { label: "", note: "" };
  }

  set(circuit, node, entry) {
    const nodes = (this.circuits[circuit] = this.circuits[circuit] || {});
    if (entry.label || entry.note) nodes[node] = entry;
    else delete nodes[node];
    this.exported = false;
    this.changed(false);
  }

  // Call the listeners. `imported` is true if notes were read from a file, so that the input fields must be updated too.
  changed(imported) {
    this.listeners.forEach((listener) => listener(imported));
  }

  text() {
    const circuits = Object.fromEntries(Object.entries(this.circuits).filter(([, nodes]) => Object.keys(nodes).length));
    return JSON.stringify({ kind: NOTES_KIND, format: NOTES_FORMAT, circuits }, null, 2) + "\n";
  }

  download() {
    const address = URL.createObjectURL(new Blob([this.text()], { type: "application/json" }));
    h("a", { href: address, download: "notes.json" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
    this.exported = true;
  }

  // Import the text of an exported file, and return the number of notes in it. They replace existing notes on the same
  // nodes. If the text is anything else, this throws an Error whose message is one sentence.
  read(text) {
    let values;
    try {
      values = JSON.parse(text);
    } catch {
      throw new Error("the file is not JSON");
    }
    const isText = (value) => value === undefined || typeof value === "string";
    if (values?.kind !== NOTES_KIND || values.format !== NOTES_FORMAT || typeof values.circuits !== "object") throw new Error("the file does not contain notes that this page can read");
    let taken = 0;
    for (const [circuit, nodes] of Object.entries(values.circuits)) {
      for (const [node, entry] of Object.entries(nodes)) {
        if (!isText(entry?.label) || !isText(entry?.note)) throw new Error(`the entry of ${node} is not a label and a note`);
        (this.circuits[circuit] = this.circuits[circuit] || {})[node] = { label: entry.label || "", note: entry.note || "" };
        taken += 1;
      }
    }
    this.changed(true);
    return taken;
  }

  controls(say) {
    const file = h("input", {
      type: "file", accept: ".json,application/json", class: "unseen", tabindex: -1, "aria-label": "Notes file",
      onchange: async () => {
        try {
          say(`${plural(this.read(await file.files[0].text()), "note")} read`);
        } catch (error) {
          say(`Notes not read: ${error.message}.`);
        }
        file.value = "";
      },
    });
    return [
      h("button", { id: "notes-export", onclick: () => this.download(), title: "Save labels and notes as JSON, for `sparsegpt2 view --notes`" }, "Export notes"),
      h("button", { id: "notes-import", onclick: () => file.click() }, "Import notes"),
      file,
    ];
  }
}
