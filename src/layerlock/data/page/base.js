// What the page's scripts share. All data is read from the page's own tables; nothing is fetched.
"use strict";
const page = (() => {
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const charts = [];

  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };

  // Colours: a canvas cannot use style variables, so that an element is asked what they come to.
  const probe = make("span", { hidden: "" });
  document.body.append(probe);
  const colour = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const font = getComputedStyle(document.body).fontFamily;

  const size = (bytes) => {
    if (bytes < 1000) return `${bytes} B`;
    if (bytes < 999500) return `${Math.round(bytes / 1e3)} kB`;
    return `${(bytes / 1e6).toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 })} MB`;
  };
  const share = (part, whole) => {
    const cent = whole ? (100 * part) / whole : 0;
    return `${cent > 0 && cent < 10 ? cent.toFixed(1) : Math.round(cent)}\u00a0%`;
  };
  const tooltip = () => ({
    appendTo: "body",
    backgroundColor: colour("panel"),
    borderColor: colour("line"),
    textStyle: { color: colour("text") },
    transitionDuration: 0,
    confine: true,
  });
  const tip = (title, ...lines) =>
    make("div", { class: "tip" }, make("b", {}, title), ...lines.filter(Boolean).map((line) => make("span", {}, `${line} `)));
  const chart = (element, draw) => {
    const made = echarts.init(element, null, { renderer: "canvas" });
    charts.push(draw);
    new ResizeObserver(() => draw.resize(made)).observe(element);
    return made;
  };

  // The theme: the system's, unless the reader chooses.
  const kept = (value) => {
    try {
      if (value === undefined) return localStorage.getItem("layerlock-theme") ?? "";
      localStorage.setItem("layerlock-theme", value);
    } catch {
      // A browser may keep nothing for files.
    }
    return value ?? "";
  };
  const dress = (theme) => {
    if (theme) root.dataset.theme = theme;
    else delete root.dataset.theme;
    for (const draw of charts) draw();
  };
  dress(kept());

  return { $, make, colour, font, size, share, still, charts, tooltip, tip, chart, kept, dress };
})();
