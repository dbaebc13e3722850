"use strict";
// The table of runs: filter, sort, and of ten thousand rows only those in sight are elements.

const ROW = 30, AROUND = 12; // pixels of a row; rows made beyond either end of the sight
const MOST_PRINTED = 500;
const COMPARED = /^([^:<>=]+)(<=|>=|<|>|:|=)(.*)$/;
const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

// A filter is words that all must occur; a word may name a column: status:done, seed=0, "val loss"<3.2 as val_loss<3.2.
function makeFilter(text, columns) {
  const names = columns.map((name) => name.toLowerCase().replaceAll(" ", "_"));
  const tests = text.toLowerCase().split(/\s+/).filter(Boolean).map((word) => {
    const [, name, sign, wanted] = COMPARED.exec(word) ?? [];
    const column = names.indexOf(name);
    if (column < 0) return (row) => row.some((cell) => cell !== null && String(cell).toLowerCase().includes(word));
    if (sign === ":") return (row) => String(row[column] ?? "").toLowerCase().includes(wanted);
    const number = Number(wanted);
    const compare = { "<": (v) => v < number, ">": (v) => v > number, "<=": (v) => v <= number, ">=": (v) => v >= number, "=": (v) => v === number || String(v).toLowerCase() === wanted }[sign];
    return (row) => row[column] !== null && compare(row[column]);
  });
  return (row) => tests.every((test) => test(row));
}

// Sorts by a column; rows without a value come last in either direction.
function sortRows(rows, column, ascending) {
  const sign = ascending ? 1 : -1;
  return rows.toSorted((a, b) => {
    const [x, y] = [a[column], b[column]];
    if (x === null || y === null) return (x === null) - (y === null);
    return sign * (typeof x === "number" && typeof y === "number" ? x - y : collator.compare(x, y));
  });
}

function cellText(name, value) {
  if (value === null) return "";
  if (typeof value !== "number") return value;
  if (name === "FLOPs") return value.toExponential(2).replace("e+", "e");
  if (name.endsWith("loss")) return value.toFixed(4);
  if (name === "seconds") return value.toFixed(2);
  return value.toLocaleString("en");
}

class RunTable {
  constructor(script) {
    Object.assign(this, readData(script), { sorted: null, ascending: true });
    this.numeric = this.columns.map((_, i) => this.rows.some((row) => typeof row[i] === "number"));
    this.filter = element("input", { type: "search", id: "runs-filter", placeholder: "d2-w64 status:done val_loss<3.5", spellcheck: false });
    this.count = element("output", { htmlFor: "runs-filter" });
    this.count.setAttribute("aria-live", "polite");
    const save = element("button", { type: "button", textContent: "CSV", onclick: () => saveBlob(new Blob([csvText([this.columns, ...this.shown])], { type: "text/csv" }), "runs.csv") });
    save.setAttribute("aria-label", "Save the shown runs as CSV");
    const bar = element("div", { className: "filter" }, element("label", { htmlFor: "runs-filter", textContent: "Filter" }), this.filter, this.count, save);
    this.body = element("tbody");
    this.table = element("table", { className: "runs" }, element("caption", { textContent: "Runs of the store; a heading sorts" }), element("thead", {}, this.header()), this.body);
    this.table.setAttribute("aria-colcount", this.columns.length);
    this.view = element("div", { className: "scroll runs-view", tabIndex: 0 }, this.table);
    this.view.setAttribute("role", "region");
    this.view.setAttribute("aria-label", "Table of runs, scrolls");
    script.before(bar, this.view);
    this.view.addEventListener("scroll", () => this.draw(), { passive: true });
    this.filter.addEventListener("input", () => this.update());
    this.update();
  }

  header() {
    return element("tr", {}, ...this.columns.map((name, i) => {
      const button = element("button", { type: "button", textContent: name, onclick: () => {
        this.ascending = this.sorted === i ? !this.ascending : true;
        this.sorted = i;
        this.update();
      } });
      const cell = element("th", { scope: "col", className: this.numeric[i] ? "n" : "" }, button);
      cell.setAttribute("aria-sort", "none");
      return cell;
    }));
  }

  update() {
    const kept = this.rows.filter(makeFilter(this.filter.value, this.columns));
    this.shown = this.sorted === null ? kept : sortRows(kept, this.sorted, this.ascending);
    this.table.querySelectorAll("th").forEach((th, i) => th.setAttribute("aria-sort", i === this.sorted ? (this.ascending ? "ascending" : "descending") : "none"));
    this.table.setAttribute("aria-rowcount", this.shown.length + 1);
    this.count.textContent = `${this.shown.length.toLocaleString("en")} of ${this.rows.length.toLocaleString("en")} runs`;
    this.view.scrollTop = 0;
    this.draw();
  }

  draw() {
    const first = Math.max(0, Math.floor(this.view.scrollTop / ROW) - AROUND);
    this.make(first, Math.min(this.shown.length, first + Math.ceil(this.view.clientHeight / ROW) + 2 * AROUND));
  }

  make(first, end) {
    const space = (rows) => {
      const cell = element("td", { colSpan: this.columns.length });
      cell.style.height = `${rows * ROW}px`;
      const row = element("tr", { className: "space" }, cell);
      row.setAttribute("aria-hidden", "true");
      return row;
    };
    const rows = this.shown.slice(first, end).map((row, i) => {
      const made = element("tr", {}, ...row.map((value, j) => {
        const text = cellText(this.columns[j], value);
        return element("td", { className: this.numeric[j] ? "n" : "", title: text.length > 20 ? text : "", dir: "auto", textContent: text });
      }));
      made.setAttribute("aria-rowindex", first + i + 2);
      return made;
    });
    this.body.replaceChildren(space(first), ...rows, space(this.shown.length - end));
  }

  print() {
    this.make(0, Math.min(this.shown.length, MOST_PRINTED));
    this.body.lastChild.firstChild.style.height = "";
    if (this.shown.length > MOST_PRINTED) this.body.lastChild.firstChild.textContent = `The first ${MOST_PRINTED} of ${this.shown.length} runs; the CSV has all.`;
  }
}

function indexRuns(script) {
  const { columns, rows } = readData(script);
  runsById = new Map(rows.map((row) => [row[0], Object.fromEntries(columns.map((name, i) => [name, row[i]]))]));
}
