// A figure opens in a dialog of the size of the window. The wheel, two fingers, the buttons and the
// keys + - 0 zoom by its view box; dragging and the arrow keys move it.
{
  const MOST = 40;
  const dialog = document.getElementById("zoom");
  const stage = dialog.querySelector(".stage");
  const pointers = new Map(); // those that are down, where they were last
  let picture, home, box, whole, view;

  const draw = () => picture.setAttribute("viewBox", [view.x, view.y, view.width, view.height].join(" "));
  const within = (value, low, high) => Math.max(low, Math.min(high, value));
  const place = (x, y) => new DOMPoint(x, y).matrixTransform(picture.getScreenCTM().inverse());
  const move = (x, y) => {
    view.x = within(view.x + x, whole.x - view.width / 2, whole.x + whole.width - view.width / 2);
    view.y = within(view.y + y, whole.y - view.height / 2, whole.y + whole.height - view.height / 2);
    draw();
  };
  const zoom = (factor, x, y) => {
    const box = stage.getBoundingClientRect();
    const fixed = place(x ?? box.x + box.width / 2, y ?? box.y + box.height / 2);
    const width = within(view.width / factor, whole.width / MOST, whole.width);
    const share = width / view.width;
    if (width === whole.width) return fit();
    view.width = width;
    view.height *= share;
    view.x = fixed.x - (fixed.x - view.x) * share;
    view.y = fixed.y - (fixed.y - view.y) * share;
    move(0, 0);
  };
  const fit = () => {
    view = { ...whole };
    picture.setAttribute("viewBox", box);
  };
  const open = (figure) => {
    home = figure.querySelector(".picture");
    picture = home.querySelector("svg");
    box = picture.getAttribute("viewBox");
    const { x, y, width, height } = picture.viewBox.baseVal;
    whole = { x, y, width, height };
    home.style.height = `${home.offsetHeight}px`; // the page stays as it is below
    stage.setAttribute("aria-label", home.getAttribute("aria-label"));
    dialog.setAttribute("aria-label", `Figure ${figure.id.replace("figure-", "")}`);
    stage.append(picture);
    fit();
    dialog.showModal();
    stage.focus();
  };
  dialog.addEventListener("close", () => {
    fit();
    home.append(picture);
    home.style.height = "";
    pointers.clear();
  });

  for (const figure of document.querySelectorAll("figure")) {
    const button = figure.querySelector(".enlarge");
    const frame = figure.querySelector(".picture");
    button.hidden = false;
    button.addEventListener("click", () => open(figure));
    frame.addEventListener("click", () => open(figure));
    frame.addEventListener("keydown", (event) => { if (event.key === "Enter") open(figure); });
  }
  const buttons = { in: () => zoom(1.5), out: () => zoom(1 / 1.5), fit, close: () => dialog.close() };
  for (const button of dialog.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", buttons[button.dataset.zoom]);
  }
  const step = (x, y) => move(x * view.width / 10, y * view.height / 10);
  const keys = {
    "+": buttons.in, "=": buttons.in, "-": buttons.out, 0: fit,
    ArrowLeft: () => step(-1, 0), ArrowRight: () => step(1, 0),
    ArrowUp: () => step(0, -1), ArrowDown: () => step(0, 1),
  };
  dialog.addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    keys[event.key]();
  });
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 400), event.clientX, event.clientY);
  }, { passive: false });
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, event);
  });
  stage.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const other = [...pointers.values()].find((pointer) => pointer.pointerId !== event.pointerId);
    if (other) {
      const apart = (pointer) => Math.hypot(pointer.clientX - other.clientX, pointer.clientY - other.clientY);
      zoom(apart(event) / Math.max(1, apart(before)), other.clientX, other.clientY);
    } else {
      const from = place(before.clientX, before.clientY);
      const to = place(event.clientX, event.clientY);
      move(from.x - to.x, from.y - to.y);
    }
    pointers.set(event.pointerId, event);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    stage.addEventListener(end, (event) => pointers.delete(event.pointerId));
  }
}
