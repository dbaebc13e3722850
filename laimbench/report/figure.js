"use strict";
// Figures on the page: drawn at the width there is, with legend, tips for pointer and keyboard, the numbers as a table, and downloads.

const NEAR = 30; // pixels from the pointer
const MOST_ROWS = 200; // of the table below a figure; the CSV has all

const element = (name, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
};
const readData = (script) => JSON.parse(script.textContent);
const say = (text) => { document.getElementById("said").textContent = text; };

let runsById = new Map(); // id -> {size, backend, ...}

function runName(id) {
  const run = runsById.get(id);
  return run ? `${run.size}, ${run.tokens.toLocaleString("en")} tokens, seed ${run.seed}, ${run.backend}, run ${id}` : `run ${id}`;
}

const pointName = (series, i) => (series.label ? series.label[i] : series.run ? runName(series.run[i]) : "");

function legendEntries(spec) {
  return [...new Map((spec.series ?? []).toReversed().map((one) => [one.name, one])).values()].reverse();
}

// A small picture of a series, 18 by 14.
function swatch(one, parent) {
  const group = svgNode("g", { class: one.neutral ? "c-text" : `c-${one.colour}` }, parent);
  if (one.kind === "points") markNode(one.mark, MARKS[one.mark](9, 7, SIZES[one.mark]), group);
  else if (one.kind === "band") svgNode("rect", { class: "fill", width: 18, height: 10, y: 2, "fill-opacity": 0.25 }, group);
  else {
    const style = { "stroke-width": one.broad ? 5 : one.faint ? 1 : 2, "stroke-opacity": one.broad || one.faint ? 0.5 : 1 };
    svgNode("path", { class: "stroke", d: "M0,7H18", fill: "none", ...style, "stroke-dasharray": one.dash ? "5 3" : "none" }, group);
  }
  return group;
}

function tipLines(spec, hit) {
  if (spec.heat) return [spec.heat.labels[hit.i][hit.j]];
  const one = hit.series, curve = one.kind === "curves";
  const text = (axis, value) => (axis.labels ? axis.labels[value] : `${axis.title} ${formatNumber(value, 5)}`);
  const [x, y] = curve ? [one.x[hit.i][hit.j], one.y[hit.i][hit.j]] : [one.x[hit.i], one.y[hit.i]];
  if (one.label) return [one.label[hit.i]];
  return [pointName(one, hit.i) || one.name, text(spec.x, x), text(spec.y, y)];
}

class Figure {
  constructor(figure, name, spec) {
    this.name = name;
    this.title = figure.querySelector("h3").textContent;
    this.hidden = new Set();
    this.plot = element("div", { className: "plot", tabIndex: 0 });
    this.plot.setAttribute("role", "group");
    this.plot.setAttribute("aria-roledescription", "chart");
    this.plot.setAttribute("aria-label", `${this.title}. Arrow keys go through its points.`);
    this.legend = element("div", { className: "legend" });
    this.legend.setAttribute("role", "group");
    this.legend.setAttribute("aria-label", `Series of ${this.title}`);
    figure.querySelector("h3").after(this.tools(), this.legend, this.plot);
    this.numbers = element("details", { className: "numbers" }, element("summary", { textContent: "Numbers of this figure" }));
    this.numbers.addEventListener("toggle", () => this.fillNumbers());
    figure.append(this.numbers);
    this.listen();
    this.show(spec);
    new ResizeObserver(() => { if (Math.abs(this.plot.clientWidth - this.width) > 1) this.draw(); }).observe(this.plot);
  }

  show(spec) {
    this.spec = spec;
    this.legend.replaceChildren(...legendEntries(spec).map((one) => this.legendButton(one)));
    this.draw();
    if (this.numbers.open) this.fillNumbers();
  }

  draw() {
    this.width = this.plot.clientWidth;
    if (!this.width) return; // in a folded part: drawn when it opens
    const { svg, hits } = drawFigure(this.spec, this.width, this.hidden);
    svg.setAttribute("aria-hidden", "true"); // the table below says it better
    this.hits = hits;
    this.at = -1;
    this.ring = svgNode("circle", { class: "pointed", r: 9, fill: "none", visibility: "hidden" }, svg);
    this.plot.replaceChildren(svg);
  }

  tools() {
    const button = (kind) => {
      const made = element("button", { type: "button", textContent: kind, onclick: () => saveFigure(kind, this.name, this.title, this.spec, this.hidden) });
      made.setAttribute("aria-label", `Save ${this.title} as ${kind}`);
      return made;
    };
    return element("div", { className: "tools" }, ...["PNG", "SVG", "CSV"].map(button));
  }

  hide(names) {
    this.hidden = names;
    this.show(this.spec);
  }

  legendButton(one) {
    const picture = svgNode("svg", { width: 18, height: 14, "aria-hidden": "true" });
    swatch(one, picture);
    const button = element("button", { type: "button" }, picture, one.name);
    button.setAttribute("aria-pressed", String(!this.hidden.has(one.name)));
    button.onclick = () => {
      const off = !this.hidden.has(one.name);
      if (off) this.hidden.add(one.name);
      else this.hidden.delete(one.name);
      button.setAttribute("aria-pressed", String(!off));
      this.draw();
    };
    return button;
  }

  fillNumbers() {
    this.numbers.querySelector("div")?.remove();
    if (!this.numbers.open) return;
    const [header, ...rows] = figureRows(this.spec);
    const caption = rows.length > MOST_ROWS ? `${this.title}: the first ${MOST_ROWS} of ${rows.length} rows; the CSV has all` : this.title;
    const text = (cell) => (typeof cell === "number" ? formatNumber(cell, 6) : cell ?? "");
    const line = (cells, tag) => element("tr", {}, ...cells.map((cell) => element(tag, { textContent: text(cell), dir: "auto" })));
    const head = line(header, "th");
    head.querySelectorAll("th").forEach((th) => { th.scope = "col"; });
    const body = element("tbody", {}, ...rows.slice(0, MOST_ROWS).map((row) => line(row, "td")));
    const scroll = element("div", { className: "scroll tall", tabIndex: 0 },
      element("table", {}, element("caption", { textContent: caption }), element("thead", {}, head), body));
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", `Numbers of ${this.title}`);
    this.numbers.append(scroll);
  }

  listen() {
    this.plot.addEventListener("pointermove", (event) => {
      const box = this.plot.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
      let best = NEAR ** 2, found = -1;
      this.hits.forEach((hit, i) => {
        const distance = (hit.x - x) ** 2 + (hit.y - y) ** 2;
        if (distance < best) [best, found] = [distance, i];
      });
      this.point(found);
    });
    this.plot.addEventListener("pointerleave", () => this.point(-1));
    this.plot.addEventListener("blur", () => this.point(-1));
    this.plot.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") this.point(-1);
      if (!step || !this.hits.length) return;
      event.preventDefault();
      this.point(this.at < 0 && step < 0 ? this.hits.length - 1 : (this.at + step + this.hits.length) % this.hits.length);
      say(tipLines(this.spec, this.hits[this.at]).join(", "));
    });
  }

  // Marks a point and shows what it is; -1 marks none.
  point(index) {
    const tip = document.getElementById("tip");
    this.at = index;
    tip.hidden = index < 0;
    this.ring.setAttribute("visibility", index < 0 ? "hidden" : "visible");
    if (index < 0) return;
    const hit = this.hits[index], box = this.plot.getBoundingClientRect();
    this.ring.setAttribute("cx", hit.x);
    this.ring.setAttribute("cy", hit.y);
    tip.replaceChildren(...tipLines(this.spec, hit).map((line) => element("div", { textContent: line, dir: "auto" })));
    const left = Math.min(box.left + hit.x + 14, document.documentElement.clientWidth - tip.offsetWidth - 8);
    const above = box.top + hit.y - tip.offsetHeight - 12;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${above > 4 ? above : box.top + hit.y + 16}px`;
  }
}
