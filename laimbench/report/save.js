"use strict";
// A figure as a file: CSV of its numbers, SVG with its title and legend, PNG of that.

const SAVED_WIDTH = 900, SCALE = 2;
const INLINED = ["fill", "stroke", "fill-opacity", "stroke-opacity", "stroke-width", "font-weight"];

function saveBlob(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// A cell that a spreadsheet would take for a formula gets an apostrophe; numbers stay numbers.
function csvCell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const csvText = (rows) => rows.map((row) => row.map(csvCell).join(",")).join("\r\n") + "\r\n";

// The figure's numbers as rows, the header first.
function figureRows(spec) {
  if (spec.heat) {
    const { rows, columns, values, title } = spec.heat;
    return [["row", "column", title], ...rows.flatMap((row, i) => columns.map((column, j) => [row, column, values[i][j]]))];
  }
  const named = (axis, value) => (axis.labels ? axis.labels[value] : value);
  const out = [["series", "point", spec.x.title || "x", spec.y.title || "y", "low", "high"]];
  for (const one of spec.series) {
    if (one.kind === "band") one.x.forEach((x, i) => out.push([one.name, "", x, "", one.lo[i], one.hi[i]]));
    else if (one.kind === "curves") {
      one.x.forEach((xs, i) => xs.forEach((x, j) => out.push([one.name, pointName(one, i), named(spec.x, x), one.y[i][j], "", ""])));
    } else {
      const [low, high] = [one.xlo ?? one.ylo, one.xhi ?? one.yhi];
      one.x.forEach((x, i) => out.push([one.name, pointName(one, i), named(spec.x, x), named(spec.y, one.y[i]), low?.[i] ?? "", high?.[i] ?? ""]));
    }
  }
  return out;
}

// The figure at a fixed width with title and legend, every colour written out, so that it looks the same elsewhere.
function standaloneSvg(title, spec, hidden) {
  const host = document.createElement("div");
  host.className = "offscreen plot";
  document.body.append(host);
  const { svg } = drawFigure(spec, SAVED_WIDTH, hidden);
  host.append(svg);
  const body = svgNode("g", {});
  body.append(...svg.childNodes);
  let y = 26, x = 16;
  svgNode("text", { class: "value", x, y, "font-size": 16, "font-weight": 600 }, svg, title);
  for (const one of legendEntries(spec).filter((entry) => !hidden.has(entry.name))) {
    if (y === 26) y += 26;
    const width = 30 + textWidth(one.name);
    if (x > 16 && x + width > SAVED_WIDTH - 16) [x, y] = [16, y + 20];
    const key = swatch(one, svg);
    key.setAttribute("transform", `translate(${x} ${y - 11})`);
    svgNode("text", { class: "tick", x: x + 24, y }, svg, one.name);
    x += width + 14;
  }
  body.setAttribute("transform", `translate(0 ${y + 10})`);
  svg.append(body);
  const height = Number(svg.getAttribute("height")) + y + 10;
  svg.setAttribute("height", height);
  svg.setAttribute("viewBox", `0 0 ${SAVED_WIDTH} ${height}`);
  for (const node of svg.querySelectorAll("*")) {
    const style = getComputedStyle(node);
    for (const property of INLINED) if (node.hasAttribute(property) || node.hasAttribute("class")) node.setAttribute(property, style.getPropertyValue(property));
  }
  for (const node of svg.querySelectorAll("[class]")) node.removeAttribute("class");
  svg.prepend(svgNode("rect", { width: SAVED_WIDTH, height, fill: getComputedStyle(document.body).backgroundColor }));
  host.remove();
  svg.setAttribute("xmlns", SVG);
  return { text: new XMLSerializer().serializeToString(svg), height };
}

async function pngBlob({ text, height }) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [SAVED_WIDTH * SCALE, height * SCALE];
  const context = canvas.getContext("2d");
  context.scale(SCALE, SCALE);
  context.drawImage(image, 0, 0, SAVED_WIDTH, height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

async function saveFigure(kind, name, title, spec, hidden) {
  if (kind === "CSV") saveBlob(new Blob([csvText(figureRows(spec))], { type: "text/csv" }), `${name}.csv`);
  else {
    const drawn = standaloneSvg(title, spec, hidden);
    if (kind === "SVG") saveBlob(new Blob([drawn.text], { type: "image/svg+xml" }), `${name}.svg`);
    else saveBlob(await pngBlob(drawn), `${name}.png`);
  }
}
