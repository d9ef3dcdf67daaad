// Small helpers of every page; nothing here is needed to read one.
"use strict";

// A picture that the record has not stored yet is asked for again, a little later each time.
addEventListener(
  "error",
  (event) => {
    const image = event.target;
    if (!(image instanceof HTMLImageElement)) return;
    if (!image.dataset.retry) {
      if (image.closest(".thumb")) image.classList.add("gone");
      return;
    }
    const tries = Number(image.dataset.tries || 0);
    if (tries >= 5) {
      image.closest("figure")?.classList.add("without");
      return;
    }
    image.dataset.tries = String(tries + 1);
    setTimeout(() => {
      if (image.isConnected) image.src = `${image.dataset.retry}?again=${tries + 1}`;
    }, 300 * 2 ** tries);
  },
  true,
);

// A slash goes to the field that finds a part, as on most pages of the web; a scanner types there.
addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target instanceof Element && event.target.matches("input, select, textarea")) return;
  const field = document.querySelector("input[data-find]");
  if (field) {
    event.preventDefault();
    field.focus();
    field.select();
  }
});

// htmx shows an answer that is no success too: it is a page that says why.
addEventListener("htmx:beforeSwap", (event) => {
  if ([401, 422].includes(event.detail.xhr.status)) event.detail.shouldSwap = true;
});
