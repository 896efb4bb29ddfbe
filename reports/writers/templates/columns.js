// Columns that a narrow table can do without are hidden where the table would have to be scrolled,
// until somebody decides.
for (const button of document.querySelectorAll(".tools .columns")) {
  const table = document.getElementById(button.closest(".tools").dataset.table);
  const frame = table.parentElement;
  let decided = false;
  const show = (all) => {
    table.classList.toggle("narrow", !all);
    button.setAttribute("aria-pressed", all);
  };
  const fit = () => {
    if (decided) return;
    show(true);
    show(frame.scrollWidth <= frame.clientWidth);
  };
  button.addEventListener("click", () => {
    decided = true;
    show(table.classList.contains("narrow"));
  });
  addEventListener("resize", fit);
  fit();
}
