"use strict";
// The planner: sliders for the budget and the size, the law's answer beside them, and loss over size at that budget.

const CURVE_STEPS = 81, SPAN = 30; // the curve goes from N* / SPAN to N* SPAN

function duration(seconds) {
  const units = [["years", 31557600], ["days", 86400], ["hours", 3600], ["minutes", 60], ["seconds", 1]];
  const [unit, size] = units.find(([, s]) => seconds >= 2 * s) ?? ["seconds", 1];
  return `${formatNumber(seconds / size, 3)} ${unit}`;
}

function slider(id, label, low, high, value) {
  const input = element("input", { type: "range", id, min: low, max: high, step: "any", value });
  const output = element("output", { htmlFor: id });
  return { input, output, row: element("label", { className: "slider", htmlFor: id }, element("span", { textContent: label }), input, output) };
}

// What is shown for a budget and a size of `factor` times the optimal one: rows of name, value, interval.
function plan(document_, compute, factor) {
  const { law, draws } = document_, best = allocate(law, compute);
  const params = best.params * factor, tokens = tokensFor(compute, params);
  const interval = (quantity) => drawInterval(draws, quantity);
  const rows = [
    ["optimal parameters N*", best.params, interval((draw) => allocate(draw, compute).params)],
    ["optimal tokens D*", best.tokens, interval((draw) => allocate(draw, compute).tokens)],
    ["tokens per parameter", best.tokens / best.params, interval((draw) => { const d = allocate(draw, compute); return d.tokens / d.params; })],
    ["loss at the optimum, nats", best.loss, interval((draw) => allocate(draw, compute).loss)],
  ];
  const chosen = [["parameters", params], ["tokens", tokens], ["loss, nats", lossAt(law, params, tokens)], ["above the optimum, nats", lossAt(law, params, tokens) - best.loss]];
  return { best, params, tokens, rows, chosen };
}

function planFigure(document_, compute, found) {
  const { law } = document_, series = [];
  for (const [i, part] of [[0, 0.1], [1, 1], [2, 10]]) {
    const budget = compute * part, best = allocate(law, budget);
    const x = Array.from({ length: CURVE_STEPS }, (_, k) => best.params * SPAN ** ((2 * k) / (CURVE_STEPS - 1) - 1)).filter((n) => n >= 1 && tokensFor(budget, n) >= 1);
    series.push({ kind: "curves", name: `${formatNumber(budget, 3)} FLOPs`, colour: i === 1 ? "laim" : `level${i ? 4 : 1}`, dash: i !== 1, x: [x], y: [x.map((n) => lossAt(law, n, tokensFor(budget, n)))] });
  }
  series.push({ kind: "points", name: "optimum", colour: "law", mark: "ring", x: [found.best.params], y: [found.best.loss], label: [`optimum: ${formatNumber(found.best.params)} parameters, ${formatNumber(found.best.tokens)} tokens, loss ${formatNumber(found.best.loss, 5)}`] });
  series.push({ kind: "points", name: "your size", colour: "stock", mark: "dot", x: [found.params], y: [lossAt(law, found.params, found.tokens)], label: [`${formatNumber(found.params)} parameters, ${formatNumber(found.tokens)} tokens`] });
  return { x: { title: "parameters", log: true }, y: { title: "loss by the law, nats" }, series };
}

function startPlanner(script) {
  const document_ = readData(script), name = script.dataset.planner;
  const [low, high] = document_.compute.map(Math.log10);
  const budget = slider(`${name}-budget`, "training budget, FLOPs", low, high, Math.log10(document_.seen.compute[1]));
  const size = slider(`${name}-size`, "model size, of the optimum", -1, 1, 0);
  const table = element("table", { className: "plan" });
  const note = element("p", { className: "beyond" });
  const picture = element("figure", { id: name }, element("h3", { textContent: "Loss over size at this budget" }),
    element("figcaption", { textContent: "By the law, at the chosen budget and at a tenth and ten times of it (dashed)." }));
  const controls = element("div", { className: "controls" }, budget.row, size.row, table, note);
  script.before(element("div", { className: "planner" }, controls, picture));

  let figure = null;
  const update = () => {
    const compute = 10 ** Number(budget.input.value), factor = 10 ** Number(size.input.value);
    const found = plan(document_, compute, factor);
    budget.output.textContent = formatNumber(compute, 3);
    size.output.textContent = `${formatNumber(factor, 3)} N*`;
    budget.input.setAttribute("aria-valuetext", `${formatNumber(compute, 3)} FLOPs`);
    size.input.setAttribute("aria-valuetext", `${formatNumber(factor, 3)} times the optimal size`);
    const row = (cells) => element("tr", {}, ...cells.map((cell, i) => element(i ? "td" : "th", i ? { className: "n", textContent: cell } : { scope: "row", textContent: cell })));
    const head = (...cells) => element("tr", {}, ...cells.map((cell) => element("th", { scope: "col", className: cell && cells[0] !== cell ? "n" : "", textContent: cell })));
    const times = Object.entries(document_.flops_per_s).map(([side, rate]) => [`time with ${side} at the speed measured here`, duration(compute / rate), ""]);
    table.replaceChildren(
      element("caption", { textContent: "Best split of the budget" }), head("", "value", "95 %"),
      ...found.rows.map(([what, value, interval]) => row([what, formatNumber(value, 4), interval ? interval.map((v) => formatNumber(v, 3)).join(" to ") : "no draws"])),
      head("at your size", "", ""), ...found.chosen.map(([what, value]) => row([what, formatNumber(value, 5), ""])), ...times.map(row));
    const beyond = compute / document_.seen.compute[1];
    note.textContent = beyond > 1.0001 ? `${formatNumber(beyond, 2)} times beyond the largest budget of the data: an extrapolation.` : "";
    const spec = planFigure(document_, compute, found);
    if (figure) figure.show(spec);
    else figure = new Figure(picture, name, spec);
  };
  budget.input.addEventListener("input", update);
  size.input.addEventListener("input", update);
  update();
  return update;
}
