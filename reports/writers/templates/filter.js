// A table shows the rows that have every typed word, one of the pressed outcomes, and a place among
// the runs that are asked for. A long one of which nothing is asked shows its first rows, in the
// order that it has, until it is unfolded.
const selections = new Map(); // table id to what shows certain rows of it alone
for (const tools of document.querySelectorAll(".tools[data-table]")) {
  const table = document.getElementById(tools.dataset.table);
  const rows = [...table.tBodies[0].rows];
  const unfold = document.querySelector(`.unfold[aria-controls=${table.id}]`); // of a long table
  const field = tools.querySelector("input");
  const outcomes = [...tools.querySelectorAll("button[data-outcome]")];
  const count = tools.querySelector("output");
  const plain = (text) => text.toLowerCase().replaceAll("−", "-").replaceAll("\u202f", "");
  const words = () => plain(field ? field.value : "").split(/\s+/).filter(Boolean);
  const pressed = (button) => button.getAttribute("aria-pressed") === "true";
  let texts = null; // of the rows, made when they are first needed
  let selected = null;
  let folded = Boolean(unfold);

  const textOf = (row) => {
    const copy = row.cloneNode(true);
    copy.querySelectorAll(".behind").forEach((link) => link.remove());
    const keys = [...copy.querySelectorAll("[title]")].map((element) => element.title);
    return plain([...copy.cells].map((cell) => cell.textContent).concat(keys).join("\n"));
  };
  const nothing = (ends) => {
    const asked = [...(field?.value.trim() ? [`“${field.value.trim()}”`] : []), ...ends].join(", ");
    const among = selected ? `of the ${selected.size} runs behind the number` : `of ${rows.length} rows`;
    return asked ? `None ${among} matches ${asked}.` : `None ${among}.`;
  };
  const look = () => {
    const wanted = words();
    const ends = outcomes.filter(pressed).map((button) => button.dataset.outcome);
    if (wanted.length) texts ??= rows.map(textOf);
    let shown = 0;
    rows.forEach((row, place) => {
      const fits = (!selected || selected.has(place))
        && (!ends.length || ends.includes(row.dataset.outcome))
        && wanted.every((word) => texts[place].includes(word));
      row.classList.toggle("filtered", !fits);
      shown += fits;
    });
    const all = !selected && !ends.length && !wanted.length;
    count.textContent = all ? "" : shown ? `${shown} of ${rows.length} rows` : nothing(ends);
    table.classList.toggle("folded", folded && all);
    if (unfold) unfold.hidden = !folded || !all;
  };
  outcomes.forEach((button) => button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", !pressed(button));
    look();
  }));
  unfold?.addEventListener("click", () => {
    folded = false;
    look();
    table.parentElement.focus({ preventScroll: true }); // the button is gone
  });
  field?.addEventListener("input", look);
  field?.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    field.value = "";
    look();
  });
  selections.set(tools.dataset.table, (places) => {
    selected = places;
    if (places) {
      if (field) field.value = "";
      outcomes.forEach((button) => button.setAttribute("aria-pressed", "false"));
    }
    look();
  });
  tools.hidden = false;
  look();
}
