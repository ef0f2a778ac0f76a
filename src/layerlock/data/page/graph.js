// Dependencies: dagre places the derivations of the table, ECharts draws them.
"use strict";
(() => {
  const { $, make, colour, font, tooltip, tip, chart } = page;
  const table = $("derivations");
  if (!table) return;

  const steps = [...table.tBodies[0].rows].map((row) => ({
    row,
    name: row.dataset.name,
    role: row.dataset.role,
    hue: row.dataset.colour,
    version: row.cells[1].textContent,
    needs: [...row.querySelectorAll("[data-needs]")].map((need) => ({ name: need.dataset.needs, mount: need.dataset.mount })),
  }));
  const roles = new Map(steps.map((step) => [step.name, step.role]));
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = `600 12px ${font}`;
  const graph = new dagre.graphlib.Graph();
  graph.setGraph({ rankdir: "LR", nodesep: 14, edgesep: 10, ranksep: 34, marginx: 12, marginy: 16 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const { name } of steps) graph.setNode(name, { width: Math.ceil(pen.measureText(name).width) + 20, height: 42 });
  const edges = steps.flatMap((step) => step.needs.map((need) => ({ ...need, of: step.name })));
  for (const { name, of } of edges) if (roles.has(name)) graph.setEdge(name, of);
  dagre.layout(graph);
  const { width, height } = graph.graph();
  $("graph-view").hidden = false;
  $("dag").style.width = `${Math.ceil(width)}px`;
  $("dag").style.height = `${Math.ceil(height)}px`;
  $("dag").style.marginInline = "auto";

  let chosen = null;
  const near = (edge) => !chosen || edge.name === chosen || edge.of === chosen;
  const lit = (name) => !chosen || name === chosen || edges.some((edge) => near(edge) && (edge.name === name || edge.of === name));
  // Edges leave a vertex at its right and arrive at its left side, one below the other.
  const ports = (step, side) => {
    const own = edges.filter((edge) => roles.has(edge.name) && edge[side < 0 ? "of" : "name"] === step.name);
    const height = (edge) => graph.edge(edge.name, edge.of).points.at(side < 0 ? -2 : 1).y;
    own.sort((a, b) => height(a) - height(b));
    const { x, y, width } = graph.node(step.name);
    own.forEach((edge, index) => {
      const points = graph.edge(edge.name, edge.of).points;
      const gap = Math.min(7, 28 / own.length);
      points[side < 0 ? points.length - 1 : 0] = { x: x + (side * width) / 2, y: y + (index - (own.length - 1) / 2) * gap };
    });
  };
  for (const step of steps) {
    ports(step, -1);
    ports(step, 1);
  }
  for (const edge of edges) {
    const between = roles.has(edge.name) ? graph.edge(edge.name, edge.of) : { points: [] };
    // From one rank to the next there is nothing to go around.
    if (between.points.length === 3) between.points.splice(1, 1);
  }
  // Points of an edge, joined by curves that leave and arrive level, as the layers stand.
  const path = (points) =>
    points.reduce((drawn, { x, y }, index) => {
      if (!index) return `M${x} ${y}`;
      const middle = (points[index - 1].x + x) / 2;
      return `${drawn} C${middle} ${points[index - 1].y} ${middle} ${y} ${x} ${y}`;
    }, "");
  const draw = () => {
    const [text, soft, panel, sunk, accent, page] = ["text", "soft", "panel", "sunk", "accent", "page"].map(colour);
    const looks = {
      layer: { color: accent, borderColor: accent, label: page },
      environment: { color: sunk, borderColor: soft, borderType: "dashed", label: text },
      builds: { color: panel, borderColor: soft, label: text },
    };
    const look = ({ role, hue }) =>
      looks[role] ?? { color: colour(`p${hue ?? 0}`), borderColor: colour(`q${hue ?? 0}`), label: text };
    const known = edges.filter(({ name }) => roles.has(name));
    dag.setOption(
      {
        animation: false,
        textStyle: { fontFamily: font },
        tooltip: {
          ...tooltip(),
          formatter: ({ seriesIndex, dataIndex }) => {
            if (seriesIndex === 0) {
              const { name, of, mount } = known[dataIndex];
              return tip(`${of} needs ${name}`, mount && `at ${mount}`);
            }
            const step = steps[dataIndex];
            return tip(`${step.name} ${step.version}`, `needs ${step.needs.length || "nothing"}`);
          },
        },
        series: [
          {
            type: "custom",
            coordinateSystem: "none",
            silent: false,
            data: known.map((_, index) => [index]),
            renderItem: (params) => {
              const edge = known[params.dataIndex];
              const { points } = graph.edge(edge.name, edge.of);
              const end = points.at(-1);
              const strong = chosen && near(edge);
              const root = roles.get(edge.name) === "environment";
              const stroke = strong ? accent : soft;
              const opacity = near(edge) ? (strong ? 1 : root ? 0.4 : 0.75) : 0.12;
              return {
                type: "group",
                children: [
                  {
                    type: "path",
                    shape: { pathData: path(points.with(-1, { x: end.x - 6, y: end.y })) },
                    style: { fill: "none", stroke, opacity, lineWidth: strong ? 2.2 : 1.4, lineDash: root ? [4, 3] : null },
                  },
                  {
                    type: "polygon",
                    shape: { points: [[end.x, end.y], [end.x - 8, end.y - 4], [end.x - 8, end.y + 4]] },
                    style: { fill: stroke, opacity },
                  },
                ],
              };
            },
          },
          {
            type: "custom",
            coordinateSystem: "none",
            data: steps.map((_, index) => [index]),
            renderItem: (params) => {
              const step = steps[params.dataIndex];
              const node = graph.node(step.name);
              const { label, color: fill, borderColor: stroke, borderType } = look(step);
              const opacity = lit(step.name) ? 1 : 0.25;
              const lines = step.version ? `{name|${step.name}}\n{version|${step.version}}` : `{name|${step.name}}`;
              return {
                type: "rect",
                shape: { x: node.x - node.width / 2, y: node.y - node.height / 2, width: node.width, height: node.height, r: 8 },
                style: { fill, stroke: step.name === chosen ? text : stroke, lineWidth: step.name === chosen ? 2.5 : 1.2, lineDash: borderType ? [4, 3] : null, opacity },
                textContent: {
                  style: {
                    text: lines,
                    rich: {
                      name: { fill: label, font: `600 12px ${font}`, lineHeight: 17, align: "center", opacity },
                      version: { fill: label, font: `11px ${font}`, lineHeight: 14, align: "center", opacity: 0.8 * opacity },
                    },
                  },
                },
                textConfig: { position: "inside" },
              };
            },
          },
        ],
      },
      { replaceMerge: ["series"] },
    );
  };
  draw.resize = (made) => made.resize();
  const choose = (name) => {
    chosen = name;
    for (const { row, name: each } of steps) row.classList.toggle("lit", Boolean(chosen) && lit(each));
    for (const { row, name: each } of steps) row.querySelector("button").setAttribute("aria-pressed", String(each === chosen));
    draw();
  };
  for (const step of steps) {
    const button = make("button", { type: "button", "aria-pressed": "false" }, step.name);
    button.addEventListener("click", () => choose(chosen === step.name ? null : step.name));
    step.row.cells[0].replaceChildren(button);
  }
  table.addEventListener("keydown", ({ key }) => key === "Escape" && choose(null));
  const dag = chart($("dag"), draw);
  dag.on("click", ({ seriesIndex, dataIndex }) => {
    if (seriesIndex === 1) choose(chosen === steps[dataIndex].name ? null : steps[dataIndex].name);
  });
  dag.getZr().on("click", ({ target }) => !target && chosen && choose(null));
  draw();
})();
