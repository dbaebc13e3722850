"use strict";
// The slider through commits: the chosen one's curves are drawn strong, the others faint.

function startCommits(script) {
  const name = script.dataset.commits, texts = readData(script);
  const figure = figuresOfPage.find((one) => one.name === name);
  const last = texts.length - 1;
  const chosen = slider(`${name}-slider`, "commit", 0, last, last);
  chosen.input.step = 1;
  const whole = figure.spec;
  const update = () => {
    const at = Number(chosen.input.value), text = texts[at];
    chosen.output.textContent = text;
    chosen.input.setAttribute("aria-valuetext", text);
    const drawn = (series, i) => (i === at ? series : { ...series, faint: true, marks: false });
    const series = whole.series.map(drawn);
    figure.show({ ...whole, series: [...series.slice(0, at), ...series.slice(at + 1), series[at]] }); // the chosen one on top
  };
  chosen.input.addEventListener("input", update);
  script.before(chosen.row);
  update();
}
