"use strict";
// Cost and energy from factors that the reader may change: watts per core, the grid's CO2, the price of a core hour.

const JOULES_PER_KWH = 3.6e6;

function costs(coreSeconds, watts, grid, price) {
  const kwh = (coreSeconds * watts) / JOULES_PER_KWH;
  return { coreHours: coreSeconds / 3600, kwh, grams: kwh * grid, money: (coreSeconds / 3600) * price };
}

function startCosts(script) {
  const given = readData(script), name = script.dataset.costs;
  const field = (id, label, value) => {
    const input = element("input", { type: "number", id: `${name}-${id}`, min: 0, step: "any", value });
    return { input, row: element("label", { htmlFor: input.id }, label, input) };
  };
  const watts = field("watts", "watts per core", given.watts_per_core);
  const grid = field("grid", "grid, g CO2 per kWh", given.grid_g_per_kwh);
  const price = field("price", "price of a core hour", "");
  price.input.placeholder = "none";
  script.before(element("fieldset", { className: "factors" }, element("legend", { textContent: "Your own factors" }), watts.row, grid.row, price.row));
  const table = script.closest("section").querySelector("table");
  const update = () => {
    const priced = price.input.value !== "";
    const number = (input) => Math.max(0, Number(input.value) || 0);
    const found = (side) => costs(given.core_seconds[side], number(watts.input), number(grid.input), number(price.input));
    const cells = (side) => { const c = found(side); return [c.coreHours, c.kwh, c.grams, ...(priced ? [c.money] : [])].map((v) => formatNumber(v, 4)); };
    const line = (first, rest, tag = "td") => element("tr", {}, element(tag, { textContent: first }), ...rest.map((text) => element(tag, { className: "n", textContent: text })));
    const stock = found("stock"), laim = found("laim"), saved = 1 - laim.coreHours / stock.coreHours;
    const head = line("side", ["core hours", "kWh", "g CO2", ...(priced ? ["cost"] : [])], "th");
    head.querySelectorAll("th").forEach((th) => { th.scope = "col"; });
    table.tHead.replaceChildren(head);
    table.tBodies[0].replaceChildren(...["stock", "laim"].map((side) => line(side, cells(side))),
      line(saved >= 0 ? "saved by laim" : "more with laim", [`${formatNumber(100 * Math.abs(saved), 3)} %`, ...Array(priced ? 3 : 2).fill("")]));
  };
  for (const { input } of [watts, grid, price]) input.addEventListener("input", update);
  update();
  return update;
}
