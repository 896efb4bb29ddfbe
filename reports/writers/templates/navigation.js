// The list of sections is one line, or a menu on a narrow screen, that a button unfolds; it tells
// the section that is being read.
{
  const nav = document.querySelector("nav");
  const button = nav.querySelector("button");
  const here = nav.querySelector(".here");
  const links = new Map([...nav.querySelectorAll("a")].map((link) => [link.hash.slice(1), link]));
  nav.classList.add("menu");
  const unfold = (open) => {
    nav.classList.toggle("folded", !open);
    button.setAttribute("aria-expanded", open);
  };
  const tell = (section, read) => {
    const link = links.get(section.id);
    if (read) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
    here.textContent = nav.querySelector("[aria-current]")?.textContent ?? "";
  };
  button.hidden = false;
  button.addEventListener("click", () => unfold(nav.classList.contains("folded")));
  nav.addEventListener("focusin", (event) => { if (event.target !== button && event.target.matches(":focus-visible")) unfold(true); });
  nav.addEventListener("click", (event) => { if (event.target.closest("a")) unfold(false); });
  nav.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    button.focus();
    unfold(false);
  });
  nav.addEventListener("focusout", (event) => { if (!nav.contains(event.relatedTarget)) unfold(false); });
  const observer = new IntersectionObserver(
    (entries) => entries.forEach((entry) => tell(entry.target, entry.isIntersecting)),
    { rootMargin: "-25% 0px -75% 0px" }, // a line that one section at a time lies on
  );
  document.querySelectorAll("main > section").forEach((section) => observer.observe(section));
  unfold(false);
}
