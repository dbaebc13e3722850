"use strict";
// What series look like: bands, curves, points with their intervals. Each adds where its points can be pointed at to hits.

const place = (value) => value.toFixed(1);

const MARKS = {
  dot: (x, y, r) => `M${place(x - r)},${place(y)}a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0`,
  cross: (x, y, r) => `M${place(x - r)},${place(y - r)}l${2 * r},${2 * r}m0,${-2 * r}l${-2 * r},${2 * r}`,
  plus: (x, y, r) => `M${place(x - r)},${place(y)}h${2 * r}m${-r},${-r}v${2 * r}`,
  diamond: (x, y, r) => `M${place(x)},${place(y - 1.3 * r)}l${1.3 * r},${1.3 * r}l${-1.3 * r},${1.3 * r}l${-1.3 * r},${-1.3 * r}z`,
  square: (x, y, r) => `M${place(x - r)},${place(y - r)}h${2 * r}v${2 * r}h${-2 * r}z`,
  triangle: (x, y, r) => `M${place(x)},${place(y - 1.2 * r)}l${1.2 * r},${2 * r}h${-2.4 * r}z`,
};
MARKS.ring = MARKS.dot;
const HOLLOW = new Set(["ring", "cross", "plus"]);
const SIZES = { ring: 6, cross: 3.5, plus: 4.5, dot: 4, diamond: 4, square: 3.5, triangle: 4 };

function markNode(mark, path, parent) {
  const hollow = HOLLOW.has(mark);
  return svgNode("path", { class: hollow ? "stroke" : "fill", d: path, ...(hollow ? { fill: "none", "stroke-width": 2 } : {}) }, parent);
}

const DRAWN = {
  band(group, one, x, y) {
    const line = (values) => one.x.map((v, i) => `${place(x.at(v))},${place(y.at(values[i]))}`);
    svgNode("path", { class: "fill", "fill-opacity": 0.2, d: `M${line(one.hi).join("L")}L${line(one.lo).reverse().join("L")}Z` }, group);
  },

  curves(group, one, x, y, hits) {
    let path = "", marks = "";
    one.x.forEach((xs, i) => {
      let started = false;
      xs.forEach((value, j) => {
        const px = x.at(value), py = y.at(one.y[i][j]);
        if (!Number.isFinite(px) || !Number.isFinite(py)) return;
        path += `${started ? "L" : "M"}${place(px)},${place(py)}`;
        started = true;
        if (one.marks) marks += MARKS.dot(px, py, 2.5);
        if (!one.faint) hits.push({ x: px, y: py, series: one, i, j });
      });
    });
    const style = { "stroke-width": one.broad ? 5 : one.faint ? 1 : 2, "stroke-opacity": one.broad ? 0.45 : one.faint ? 0.25 : 1 };
    if (one.dash) style["stroke-dasharray"] = "7 5";
    svgNode("path", { class: "stroke", fill: "none", "stroke-linejoin": "round", ...style, d: path }, group);
    if (marks) svgNode("path", { class: "fill", d: marks }, group);
  },

  points(group, one, x, y, hits) {
    let bars = "", path = "";
    one.x.forEach((value, i) => {
      const px = x.at(value), py = y.at(one.y[i]);
      if (!Number.isFinite(px) || !Number.isFinite(py)) return;
      if (one.xlo) bars += `M${place(x.at(one.xlo[i]))},${place(py)}H${place(x.at(one.xhi[i]))}`;
      if (one.ylo) bars += `M${place(px)},${place(y.at(one.ylo[i]))}V${place(y.at(one.yhi[i]))}`;
      path += MARKS[one.mark](px, py, SIZES[one.mark]);
      hits.push({ x: px, y: py, series: one, i });
    });
    if (bars) svgNode("path", { class: "stroke", "stroke-width": 1.5, d: bars }, group);
    markNode(one.mark, path, group);
  },
};
