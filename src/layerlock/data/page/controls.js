// The page's switches: its theme, a filter of the sources, buttons that copy commands.
"use strict";
(() => {
  const { $, make, charts, kept, dress } = page;

  const themes = $("theme");
  const press = (theme) => {
    for (const button of themes.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.themeTo === theme));
    }
  };
  themes.hidden = false;
  themes.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    dress(kept(button.dataset.themeTo));
    press(button.dataset.themeTo);
  });
  press(kept());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach((draw) => draw()));

  // Sources: a filter over the table's rows.
  const filter = $("filter");
  if (filter) {
    const rows = [...$("source-rows").tBodies[0].rows];
    const texts = rows.map((row) => row.textContent.toLowerCase());
    filter.hidden = false;
    filter.querySelector("input").addEventListener("input", ({ target }) => {
      const words = target.value.toLowerCase().split(/\s+/).filter(Boolean);
      rows.forEach((row, index) => { row.hidden = !words.every((word) => texts[index].includes(word)); });
      const found = rows.filter((row) => !row.hidden).length;
      filter.querySelector("[role=status]").textContent = words.length ? `${found} of ${rows.length}` : "";
    });
  }

  // Commands: a button to copy each.
  for (const command of document.querySelectorAll(".command")) {
    const button = make("button", { type: "button" }, "Copy");
    button.addEventListener("click", async () => {
      const code = command.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    command.append(button);
  }
})();
