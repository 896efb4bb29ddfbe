// A click on a heading sorts the table by that column; empty entries stay last.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = (row) => row.cells[column].dataset.order;
    const compare = (a, b) =>
      a === "" || b === "" ? (a === "") - (b === "")
        : (up ? 1 : -1) * (isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b);
    const rows = [...table.tBodies[0].rows].sort((a, b) => compare(key(a), key(b)));
    const sorted = document.createDocumentFragment();
    rows.forEach((row) => sorted.append(row));
    table.tBodies[0].append(sorted);
    table.classList.add("sorted");
  }));
}
