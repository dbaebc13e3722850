"use strict";
// Starts the page: theme, navigation, figures first, then commits, planner, costs and runs.

function startTheme() {
  const button = document.getElementById("theme"), root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const kept = (value) => {
    try {
      if (value) localStorage.setItem("laimbench-theme", value);
      return localStorage.getItem("laimbench-theme");
    } catch {
      return null; // a browser that keeps nothing for files
    }
  };
  const now = () => root.dataset.theme ?? (dark.matches ? "dark" : "light");
  const label = () => {
    button.textContent = now() === "dark" ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to ${now() === "dark" ? "light" : "dark"} colours`);
  };
  if (["dark", "light"].includes(kept())) root.dataset.theme = kept();
  button.addEventListener("click", () => {
    root.dataset.theme = now() === "dark" ? "light" : "dark";
    kept(root.dataset.theme);
    label();
  });
  dark.addEventListener("change", label);
  label();
  button.hidden = false;
}

function startNavigation() {
  const links = [...document.querySelectorAll("main h2")].map((heading, i) => {
    heading.id ||= `section-${i}`;
    return element("a", { href: `#${heading.id}`, textContent: heading.textContent, dir: "auto" });
  });
  document.querySelector("header nav").replaceChildren(...links);
}

let figuresOfPage = [], runTable = null;

// The first figure is drawn, and seen, before the work of all others begins.
async function startContent() {
  startNavigation();
  const runs = document.querySelector("script[data-runs]");
  const [first, ...rest] = document.querySelectorAll("script[data-figure]");
  const start = (script) => new Figure(script.closest("figure"), script.dataset.figure, readData(script));
  if (runs) indexRuns(runs);
  figuresOfPage = first ? [start(first)] : [];
  await new Promise((resolve) => { setTimeout(resolve, 20); });
  figuresOfPage = figuresOfPage.concat(rest.map(start));
  document.querySelectorAll("script[data-commits]").forEach(startCommits);
  document.querySelectorAll("script[data-planner]").forEach(startPlanner);
  document.querySelectorAll("script[data-costs]").forEach(startCosts);
  if (runs) runTable = new RunTable(runs);
  document.documentElement.dataset.ready = "yes";
}

startTheme();
startContent();
window.addEventListener("beforeprint", () => {
  document.querySelectorAll("details:not(.numbers)").forEach((folded) => { folded.open = true; });
  runTable?.print();
});
window.addEventListener("afterprint", () => runTable?.draw());
