// Sizes: a treemap of the table of files, and beside it the same as a list.
"use strict";
(() => {
  const { $, make, colour, font, size, share, still, tooltip, tip, chart } = page;
  const table = $("files");
  if (!table) return;

  const rows = [...table.tBodies[0].rows].map((row) => {
    const [path, pack, kind, how, bytes, packed] = [...row.cells].map((cell) => cell.textContent);
    return { path, package: pack, kind, how, bytes: Number(bytes), packed: Number(packed) };
  });
  const state = { by: "package", bytes: "bytes", at: null };
  let top;
  let nodes;
  $("explorer").hidden = false;

  function branch(id, name, parent) {
    const node = { id, name, parent, children: new Map(), value: 0, hue: parent ? parent.hue : 0 };
    nodes.set(id, node);
    return node;
  }
  function grow() {
    nodes = new Map();
    top = branch("/", "all", null);
    for (const row of rows) {
      const weight = row[state.bytes];
      let node = top;
      for (const step of [row[state.by], ...row.path.split("/")]) {
        node.value += weight;
        const id = `${node.id}${step}/`;
        if (!node.children.has(step)) node.children.set(step, branch(id, step, node));
        node = node.children.get(step);
      }
      node.value += weight;
      node.row = row;
    }
    shorten(top);
    const order = heaviest(state.by);
    for (const node of top.children.values()) tinge(node, order.indexOf(node.name) % 8);
  }
  // A colour stays with its group, as the graph has it, whichever bytes are counted.
  function heaviest(by) {
    const sums = new Map();
    for (const row of rows) sums.set(row[by], (sums.get(row[by]) ?? 0) + row.bytes);
    return [...sums].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1)).map(([name]) => name);
  }
  // A folder that holds nothing but one folder is one step with it; a package's own folders say nothing new.
  function shorten(node) {
    for (const child of node.children.values()) {
      shorten(child);
      const [only] = child.children.size === 1 ? child.children.values() : [];
      if (!only?.children.size) continue;
      if (node !== top) child.name += `/${only.name}`;
      child.children = only.children;
      for (const below of child.children.values()) below.parent = child;
      nodes.delete(only.id);
    }
  }
  function tinge(node, hue) {
    node.hue = hue;
    for (const child of node.children.values()) tinge(child, hue);
  }
  function parts(node) {
    return [...node.children.values()].sort((a, b) => b.value - a.value || (a.name < b.name ? -1 : 1));
  }
  function trail(node) {
    return node ? [...trail(node.parent), node] : [];
  }

  function drawn(node, colours) {
    const below = node.children.size ? parts(node).map((child) => drawn(child, colours)) : undefined;
    return {
      id: node.id,
      name: node.id,
      value: node.value,
      children: below,
      itemStyle: {
        color: colours.fill[node.hue],
        borderColor: colours.frame[node.hue],
        borderWidth: below ? 2 : 0.5,
        gapWidth: below ? 1 : 0,
      },
    };
  }
  // A label stands where there is room for one: some area on the screen, and more for a second line.
  const label = ({ name }, below) => {
    const node = nodes.get(name);
    if (!node) return "";
    const short = node.name.split("/").pop();
    if (!below) return `${short}  ${size(node.value)}`;
    const area = (map.getWidth() * map.getHeight() * node.value) / (state.at.value || 1);
    return area < 1500 ? "" : area < 4500 ? short : `${short}\n${size(node.value)}`;
  };
  const draw = () => {
    const text = colour("text");
    // Asked for once a drawing, not once a file.
    const colours = {
      panel: colour("panel"),
      fill: [...Array(8).keys()].map((index) => colour(`p${index}`)),
      frame: [...Array(8).keys()].map((index) => colour(`q${index}`)),
    };
    map.setOption(
      {
        animation: !still,
        animationDurationUpdate: 350,
        textStyle: { fontFamily: font },
        tooltip: {
          ...tooltip(),
          formatter: ({ name }) => {
            const node = nodes.get(name);
            if (!node) return "";
            const whole = share(node.value, top.value);
            return tip(node.row ? node.row.path : trail(node).slice(1).map((each) => each.name).join("/"),
              `${size(node.value)}, ${whole} of the layer`, node.row && `${node.row.kind}, ${node.row.how}`);
          },
        },
        series: [
          {
            type: "treemap",
            left: 0,
            top: 0,
            right: 0,
            bottom: 0,
            roam: false,
            nodeClick: false,
            leafDepth: 3,
            drillDownIcon: "",
            breadcrumb: { show: false },
            visibleMin: 40,
            childrenVisibleMin: 400,
            itemStyle: { gapWidth: 1, borderWidth: 0, borderColor: colours.panel },
            label: { color: text, fontSize: 12, formatter: (params) => label(params, true), overflow: "truncate", lineHeight: 16, padding: [3, 4] },
            upperLabel: { show: true, height: 22, color: text, fontSize: 12, fontWeight: 600, padding: [0, 4], formatter: (params) => label(params, false), overflow: "truncate" },
            emphasis: {
              itemStyle: { borderColor: text, borderWidth: 2 },
              label: { color: text },
              upperLabel: { show: true, height: 22, color: text },
            },
            levels: [{ upperLabel: { show: false }, itemStyle: { borderWidth: 0, gapWidth: 3 } }],
            data: parts(top).map((node) => drawn(node, colours)),
          },
        ],
      },
      { replaceMerge: ["series"] },
    );
    if (state.at !== top) jump(state.at);
  };
  draw.resize = (made) => made.resize();
  const jump = (node) =>
    map.dispatchAction({ type: "treemapRootToNode", seriesIndex: 0, targetNode: node === top ? undefined : node.id });

  function go(node, from) {
    state.at = node;
    // The way up to everything has no node of its own: the series is drawn anew.
    if (node === top) draw();
    else jump(node);
    list(from);
    $("said").textContent = `${trail(node).slice(1).map((each) => each.name).join(", ") || "The layer"}: ${size(node.value)}, ${node.children.size} parts`;
  }
  function list(from) {
    const here = state.at;
    $("crumbs").replaceChildren(
      ...trail(here).map((node) => {
        const name = node === top ? "the layer" : node.name;
        if (node === here) return make("li", { "aria-current": "location" }, name, make("small", {}, size(node.value)));
        const button = make("button", { type: "button" }, name);
        button.addEventListener("click", () => { go(node, trail(here)[trail(node).length]); });
        return make("li", {}, button);
      }),
    );
    const shown = parts(here);
    const heaviest = shown[0]?.value || 1;
    const items = shown.map((node) => {
      const bar = make("i");
      bar.style.width = `${(100 * node.value) / heaviest}%`;
      bar.style.background = `var(--q${node.hue})`;
      const item = make(
        node.children.size ? "button" : "div",
        { tabindex: "-1", "data-id": node.id, ...(node.children.size ? { type: "button" } : {}) },
        make("span", { class: "name", title: node.name }, node.name),
        make("span", { class: "of" }, size(node.value)),
        make("span", { class: "of" }, share(node.value, top.value)),
        make("span", { class: "track", "aria-hidden": "true" }, bar),
      );
      return make("li", {}, item);
    });
    $("parts").replaceChildren(...items);
    const first = items[Math.max(0, shown.indexOf(from))]?.firstChild;
    if (first) first.tabIndex = 0;
    if (from !== undefined) first?.focus();
  }
  const light = (node, on) => {
    for (const item of $("parts").querySelectorAll(".lit")) item.classList.remove("lit");
    map.dispatchAction({ type: "downplay", seriesIndex: 0 });
    if (on) map.dispatchAction({ type: "highlight", seriesIndex: 0, name: node.id });
  };
  const itemOf = (target) => target.closest("[data-id]");
  const nodeOf = (target) => nodes.get(itemOf(target)?.dataset.id);
  const listed = $("parts");
  listed.addEventListener("click", ({ target }) => {
    const node = nodeOf(target);
    if (node?.children.size) go(node, null);
  });
  listed.addEventListener("keydown", (event) => {
    const item = itemOf(event.target);
    if (!item || event.altKey || event.ctrlKey || event.metaKey) return;
    const items = [...listed.querySelectorAll("[data-id]")];
    const moves = { ArrowDown: 1, ArrowUp: -1, Home: -items.length, End: items.length };
    const node = nodeOf(item);
    if (event.key in moves) {
      const next = items[Math.min(items.length - 1, Math.max(0, items.indexOf(item) + moves[event.key]))];
      item.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    } else if (event.key === "ArrowRight" && node.children.size) go(node, null);
    else if (["ArrowLeft", "Backspace"].includes(event.key) && state.at.parent) go(state.at.parent, state.at);
    else return;
    event.preventDefault();
  });
  for (const [kind, on] of [["mouseover", true], ["mouseout", false], ["focusin", true], ["focusout", false]]) {
    listed.addEventListener(kind, ({ target }) => {
      const node = nodeOf(target);
      if (node) light(node, on);
    });
  }

  grow();
  state.at = top;
  const map = chart($("treemap"), draw);
  map.on("click", ({ name }) => {
    let node = nodes.get(name);
    // A file is no place to go into; its folder is.
    while (node && (!node.children.size || node === state.at)) node = node.parent;
    if (node && node !== state.at && trail(node).includes(state.at)) go(node);
  });
  map.on("mouseover", ({ name }) => {
    const way = trail(nodes.get(name));
    const part = way[way.indexOf(state.at) + 1];
    for (const item of listed.querySelectorAll("[data-id]")) item.classList.toggle("lit", item.dataset.id === part?.id);
  });
  map.on("globalout", () => light(null, false));
  for (const button of $("explorer").querySelectorAll("[data-by], [data-bytes]")) {
    button.addEventListener("click", () => {
      Object.assign(state, button.dataset.by ? { by: button.dataset.by } : { bytes: button.dataset.bytes });
      for (const other of button.parentElement.children) other.setAttribute("aria-pressed", String(other === button));
      const before = state.at.id;
      grow();
      state.at = nodes.get(before)?.children.size ? nodes.get(before) : top;
      draw();
      list();
    });
  }
  draw();
  list();
})();
