"use strict";
(() => {
  const byNumber = (row, at) => {
    const text = row.cells[at].dataset.v;
    return text === undefined ? null : Number(text);
  };
  const byText = (row, at) => row.cells[at].textContent.trim().toLowerCase() || null;

  const sort = (table, at, direction) => {
    const numeric = table.tHead.rows[0].cells[at].classList.contains("num");
    const value = numeric ? byNumber : byText;
    for (const body of table.tBodies) {
      const head = [...body.rows].filter((row) => row.classList.contains("group"));
      const rows = [...body.rows].filter((row) => !row.classList.contains("group"));
      const keyed = rows.map((row) => ({ row, key: value(row, at), place: Number(row.dataset.place) }));
      keyed.sort((a, b) => {
        if (a.key === null || b.key === null) return (a.key === null) - (b.key === null) || a.place - b.place;
        const order = a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
        return direction * order || a.place - b.place;
      });
      body.append(...head, ...keyed.map((item) => item.row));
    }
  };

  const filter = (table, words) => {
    for (const row of table.querySelectorAll("tbody tr:not(.group)")) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  };

  for (const table of document.querySelectorAll("table.grid")) {
    table.querySelectorAll("tbody tr").forEach((row, place) => { row.dataset.place = place; });
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, at) => {
      head.querySelector("button").addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        sort(table, at, up ? 1 : -1);
      });
    });
    if (table.querySelectorAll("tbody tr").length > 12) {
      const box = document.createElement("input");
      box.type = "search";
      box.placeholder = "Filter rows";
      box.setAttribute("aria-label", "Filter rows of " + table.caption.textContent);
      box.addEventListener("input", () => filter(table, box.value.toLowerCase().split(/\s+/).filter(Boolean)));
      table.parentElement.before(box);
    }
  }
  // a table that goes on beyond the edge of its box fades there
  const edges = [...document.querySelectorAll(".scroll")];
  const fade = (box) => box.classList.toggle("more", box.scrollWidth - box.clientWidth - box.scrollLeft > 4);
  const sizes = new ResizeObserver((entries) => entries.forEach((entry) => fade(entry.target)));
  edges.forEach((box) => { box.addEventListener("scroll", () => fade(box), { passive: true }); sizes.observe(box); });
  document.documentElement.classList.add("live");
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((item) => { item.open = true; }));
})();
