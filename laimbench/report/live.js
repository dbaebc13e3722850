"use strict";
// Of a page that a dashboard serves: asks for news, and takes them in without losing what the reader has set.

const ASK_MS = 3000;

// What the reader has set: values of fields, folded parts, hidden series, the sort; and a function that sets it again.
function readerState() {
  const values = [...document.querySelectorAll("main input[id]")].map((input) => [input.id, input.value]);
  const key = (folded) => `${folded.closest("figure")?.id} ${folded.querySelector("summary").textContent}`;
  const open = new Set([...document.querySelectorAll("main details[open]")].map(key));
  const hidden = figuresOfPage.map((figure) => [figure.name, figure.hidden]);
  const { sorted, ascending } = runTable;
  const focused = document.activeElement?.id, scrolled = [scrollX, scrollY], inRuns = runTable.view.scrollTop;
  return () => {
    for (const [name, names] of hidden) figuresOfPage.find((figure) => figure.name === name)?.hide(names);
    Object.assign(runTable, { sorted, ascending });
    runTable.update();
    for (const [id, value] of values) {
      const input = document.getElementById(id);
      if (!input || input.value === value) continue;
      input.value = value;
      input.dispatchEvent(new Event("input"));
    }
    document.querySelectorAll("main details").forEach((folded) => { folded.open = open.has(key(folded)); });
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    scrollTo(...scrolled);
    runTable.view.scrollTop = inRuns;
  };
}

async function takeNews() {
  const text = await (await fetch("/")).text();
  const fresh = new DOMParser().parseFromString(text, "text/html").querySelector("main");
  if (!fresh) throw new Error(text);
  const restore = readerState();
  document.querySelector("main").replaceWith(fresh);
  await startContent();
  restore();
}

function startLive() {
  const state = element("output", { className: "live" });
  state.setAttribute("aria-live", "off"); // it changes too often to be read aloud
  document.getElementById("theme").before(state);
  const shown = () => document.querySelector("script[data-live]").dataset.live;
  const at = () => new Date().toLocaleTimeString();
  state.textContent = `live, ${at()}`;
  const ask = async () => {
    try {
      const { version } = await (await fetch("/version")).json();
      if (version !== shown()) {
        await takeNews();
        state.textContent = `live, ${at()}`;
      }
    } catch {
      state.textContent = "no answer from the dashboard";
    }
    setTimeout(ask, ASK_MS);
  };
  setTimeout(ask, ASK_MS);
}

startLive();
