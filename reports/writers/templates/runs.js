// An address #runs=LIST:3-7,9 shows these rows of the table of runs alone; going back undoes it.
const allRuns = document.getElementById("table-runs");
if (allRuns && selections.has("table-runs")) {
  const everything = document.querySelector(".tools .all");
  const count = document.querySelector(".tools[data-table='table-runs'] output");
  const length = allRuns.tBodies[0].rows.length;
  const select = selections.get("table-runs");
  const placesOf = (spans) => {
    const places = new Set();
    for (const span of spans.split(",")) {
      const [low, high = low] = span.split("-").map(Number);
      for (let place = low; place <= Math.min(high, length - 1); place += 1) places.add(place);
    }
    return places;
  };
  const follow = () => {
    const asked = /^#runs=(\w+):([\d,-]+)$/.exec(location.hash);
    const known = asked && asked[1] === allRuns.dataset.list;
    select(known ? placesOf(asked[2]) : null);
    everything.hidden = !known;
    if (!asked) return;
    if (!known) count.textContent = "This address is of another state of the study: all runs are shown.";
    document.getElementById("runs").scrollIntoView();
    allRuns.parentElement.focus({ preventScroll: true });
  };
  addEventListener("hashchange", follow);
  follow();
}
