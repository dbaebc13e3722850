"use strict";
// From a figure's description (laimbench/report/figures.py) to SVG. A series is one path, so that ten thousand runs are few elements.

const SVG = "http://www.w3.org/2000/svg";
const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
const TEXT = 12; // pixels
const NARROW = 560; // where categories of the y axis are written above their rows instead of beside them

function svgNode(name, attributes, parent, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}

const ruler = document.createElement("canvas").getContext("2d");
ruler.font = `${TEXT}px ${FONT}`;
const textWidth = (text) => ruler.measureText(text).width;

// Cut in the middle: names that begin alike often end apart.
function shortened(text, width) {
  if (textWidth(text) <= width) return text;
  let kept = Math.min(text.length, 200);
  const cut = () => text.slice(0, Math.ceil(kept / 2)) + "…" + text.slice(text.length - Math.floor(kept / 2));
  while (kept > 2 && textWidth(cut()) > width) kept -= 1;
  return cut();
}

const superscript = (n) => String(n).replace(/[-\d]/g, (c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]));

// fewer: digits beside a unit or a power of ten.
function formatNumber(value, digits = 4, fewer = Math.min(3, digits)) {
  const size = Math.abs(value);
  if (value === 0 || !Number.isFinite(value)) return String(value);
  if (size >= 1e9 || size < 1e-4) {
    const exponent = Math.floor(Math.log10(size) + 1e-12);
    const mantissa = Number((value / 10 ** exponent).toPrecision(fewer));
    return (mantissa === 1 ? "" : `${mantissa}×`) + `10${superscript(exponent)}`;
  }
  if (size >= 1e4) return new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: fewer }).format(value).replace("K", "k");
  return String(Number(value.toPrecision(digits)));
}

function linearTicks(low, high, most) {
  const rough = (high - low) / most;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * unit).find((s) => s >= rough * (1 - 1e-9));
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) ticks.push(Number((i * step).toPrecision(12)));
  return ticks;
}

function logTicks(low, high, most) {
  const inside = (mantissas, stride) => {
    const ticks = [];
    for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high); e += 1) {
      if (e % stride) continue;
      for (const m of mantissas) if (m * 10 ** e >= low && m * 10 ** e <= high) ticks.push(Number((m * 10 ** e).toPrecision(6)));
    }
    return ticks;
  };
  const choices = [[[1, 1.5, 2, 3, 4, 5, 7], 1], [[1, 2, 5], 1], [[1, 3], 1], [[1], 1], [[1], 2], [[1], 3], [[1], 5], [[1], 10]];
  const found = choices.map((choice) => inside(...choice)).find((ticks) => ticks.length <= most) ?? [];
  return found.length >= 2 && high > 4 * low ? found : linearTicks(low, high, most);
}

// An axis: where a value lies between two pixels, and its ticks.
function makeScale(axis, values, from, to, most) {
  if (axis.labels) {
    const step = (to - from) / axis.labels.length;
    return { at: (v) => from + (v + 0.5) * step, ticks: axis.labels.map((label, value) => ({ value, label })) };
  }
  const f = axis.log ? Math.log10 : (v) => v;
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (!Number.isFinite(value) || (axis.log && value <= 0)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) [low, high] = axis.log ? [1, 10] : [0, 1];
  if (low === high) [low, high] = axis.log ? [low / 2, high * 2] : [low - (Math.abs(low) || 1) / 2, high + (Math.abs(low) || 1) / 2];
  const pad = (f(high) - f(low)) * 0.04;
  const start = f(low) - pad, end = f(high) + pad;
  const back = axis.log ? (v) => 10 ** v : (v) => v;
  const ticks = (axis.log ? logTicks : linearTicks)(back(start), back(end), most);
  const largest = Math.max(...ticks.map(Math.abs)), step = ticks[1] - ticks[0];
  const digits = ticks.length > 1 ? Math.min(10, Math.max(4, 1 + Math.ceil(Math.log10(largest / step)))) : 4; // neighbours differ
  return { at: (v) => from + ((f(v) - start) / (end - start)) * (to - from), ticks: ticks.map((value) => ({ value, label: formatNumber(value, digits, digits > 4 ? digits : 3) })) };
}

function* valuesOf(spec, series, axis) {
  for (const one of series) {
    if (one.kind === "curves") for (const curve of one[axis]) yield* curve;
    else if (one.kind === "band") yield* axis === "x" ? one.x : [...one.lo, ...one.hi];
    else yield* one[axis].concat(one[`${axis}lo`] ?? [], one[`${axis}hi`] ?? []);
  }
  for (const line of spec.lines ?? []) if (axis in line) yield* [line[axis]].flat();
}

// Returns {svg, hits}: hits are the points that can be pointed at, {x, y, series, i, j}.
function drawFigure(spec, width, hidden = new Set()) {
  if (spec.heat) return drawHeat(spec.heat, width);
  const rows = spec.y.labels?.length;
  const above = rows && width < NARROW;
  const height = rows ? 70 + (above ? 38 : 22) * rows : Math.round(Math.max(260, Math.min(430, width * 0.56)));
  const svg = svgNode("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "font-family": FONT, "font-size": TEXT });
  const shown = spec.series.filter((one) => !hidden.has(one.name));
  const top = 12, bottom = height - 46, right = width - 16;
  const y = makeScale(spec.y, valuesOf(spec, shown, "y"), rows ? top : bottom, rows ? bottom : top, Math.max(3, Math.floor((bottom - top) / 45)));
  const labelSpace = above ? 0 : Math.min(width * 0.44, Math.max(...y.ticks.map((t) => textWidth(t.label)), 0));
  const left = labelSpace + (spec.y.title ? 36 : 14);
  const x = makeScale(spec.x, valuesOf(spec, shown, "x"), left, right, Math.max(2, Math.floor((right - left) / 75)));
  drawAxes(svg, spec, x, y, { left, right, top, bottom, labelSpace, height });
  const body = svgNode("g", {}, svg);
  for (const line of spec.lines ?? []) drawLine(body, line, x, y, { left, right, top, bottom });
  const hits = [];
  for (const kind of ["band", "curves", "points"])
    for (const one of shown) if (one.kind === kind) DRAWN[kind](svgNode("g", { class: `c-${one.colour}` }, body), one, x, y, hits);
  return { svg, hits };
}

function drawAxes(svg, spec, x, y, box) {
  const { left, right, top, bottom, labelSpace, height } = box;
  const axes = svgNode("g", {}, svg);
  let taken = -Infinity;
  for (const tick of y.ticks) {
    const at = y.at(tick.value);
    svgNode("line", { class: "grid", x1: left, x2: right, y1: at, y2: at }, axes);
    const where = labelSpace ? { x: left - 8, y: at + 4, "text-anchor": "end" } : { x: left + 4, y: at - 10 };
    svgNode("text", { class: "tick", ...where }, axes, shortened(tick.label, labelSpace || right - left));
  }
  for (const tick of x.ticks) {
    const at = x.at(tick.value), text = shortened(tick.label, 90);
    const half = textWidth(text) / 2;
    svgNode("line", { class: "grid", x1: at, x2: at, y1: top, y2: bottom }, axes);
    if (at - half < taken + 6) continue;
    svgNode("text", { class: "tick", x: at, y: bottom + 17, "text-anchor": "middle" }, axes, text);
    taken = at + half;
  }
  svgNode("path", { class: "axis", d: `M${left},${top}V${bottom}H${right}`, fill: "none" }, axes);
  const centre = Math.min((left + right) / 2, right + 12 - textWidth(spec.x.title) / 2);
  svgNode("text", { class: "title", x: centre, y: height - 8, "text-anchor": "middle" }, axes, spec.x.title);
  const middle = (top + bottom) / 2;
  if (spec.y.title) svgNode("text", { class: "title", x: 14, y: middle, "text-anchor": "middle", transform: `rotate(-90 14 ${middle})` }, axes, spec.y.title);
}

function drawLine(parent, line, x, y, { left, right, top, bottom }) {
  const [scale, value] = "x" in line ? [x, line.x] : [y, line.y];
  const places = [value].flat().map(scale.at);
  if (places.length === 2) {
    svgNode("rect", { class: "zone", x: left, width: right - left, y: Math.min(...places), height: Math.abs(places[0] - places[1]) }, parent);
  } else {
    const ends = "x" in line ? { x1: places[0], x2: places[0], y1: top, y2: bottom } : { x1: left, x2: right, y1: places[0], y2: places[0] };
    svgNode("line", { class: "mark-line", "stroke-dasharray": "2 4", ...ends }, parent);
  }
  svgNode("text", { class: "tick", x: right - 4, y: Math.min(...places) - 5, "text-anchor": "end" }, parent, line.label);
}

function drawHeat(heat, width) {
  const labelSpace = Math.min(width * 0.38, Math.max(...heat.rows.map(textWidth))) + 10;
  const head = 40, cell = 26, across = (width - labelSpace - 2) / heat.columns.length;
  const height = head + cell * heat.rows.length + 4;
  const svg = svgNode("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "font-family": FONT, "font-size": TEXT });
  const hits = [];
  heat.columns.forEach((column, j) => {
    const [first, ...rest] = column.split(" ");
    const place = { class: "tick", x: labelSpace + across * (j + 0.5), "text-anchor": "middle" };
    svgNode("text", { ...place, y: 14 }, svg, shortened(first, across - 4));
    svgNode("text", { ...place, y: 29 }, svg, shortened(rest.join(" "), across - 4));
  });
  heat.rows.forEach((row, i) => {
    const y = head + cell * i;
    svgNode("text", { class: "tick", x: labelSpace - 8, y: y + cell / 2 + 4, "text-anchor": "end" }, svg, shortened(row, labelSpace - 10));
    heat.values[i].forEach((value, j) => {
      if (value === null) return;
      const x = labelSpace + across * j, strength = Math.min(1, Math.abs(Math.log2(value)));
      const place = svgNode("g", { class: value >= 1 ? "c-laim" : "c-slower" }, svg);
      const opacity = 0.06 + 0.6 * strength;
      svgNode("rect", { class: "fill", x: x + 1, y: y + 1, width: across - 2, height: cell - 2, rx: 3, "fill-opacity": opacity.toFixed(3) }, place);
      svgNode("text", { class: "value", x: x + across / 2, y: y + cell / 2 + 4, "text-anchor": "middle" }, place, value.toFixed(2));
      hits.push({ x: x + across / 2, y: y + cell / 2, i, j });
    });
  });
  return { svg, hits };
}
