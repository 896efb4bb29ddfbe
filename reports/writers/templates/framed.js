// MLflow shows the page in a frame that opens no link but those within the page: the others are
// text there, and the page says how to follow them.
if (window.self !== window.top) {
  document.querySelector(".framed").hidden = false;
  document.querySelectorAll('a[href]:not([href^="#"])').forEach((link) => {
    if (link.closest(".files")) link.hidden = true;
    else link.removeAttribute("href");
  });
}
