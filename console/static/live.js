// The live page: takes messages of the console and puts their pieces where they belong.
"use strict";

(() => {
  const page = document.getElementById("live");
  if (!page) return;
  const shown = Number(page.dataset.shown);

  const lineOf = (name) =>
    [...page.querySelectorAll("[data-line]")].find((line) => line.dataset.line === name);

  const placed = (content) => {
    for (const element of content.children) htmx.process(element);
  };

  function putRow(line, part) {
    const rows = line.querySelector("[data-rows]");
    const row = parsedPiece(part.html).querySelector("li");
    const known = document.getElementById(row.id);
    if (known) {
      const held = known.contains(document.activeElement);
      known.replaceWith(row);
      if (held) row.querySelector("a").focus();
    } else {
      const order = Number(row.dataset.order);
      const later = [...rows.children].find((other) => Number(other.dataset.order) <= order);
      rows.insertBefore(row, later || null);
      if (!later || later.previousElementSibling === row) row.classList.add("new");
      while (rows.children.length > shown) rows.lastElementChild.remove();
    }
    if (row.isConnected) htmx.process(row);
  }

  function putFocus(line, html) {
    const focus = line.querySelector("[data-focus]");
    const content = parsedPiece(html);
    const next = content.querySelector("[data-part]");
    const now = focus.querySelector("[data-part]");
    const pinned = line.dataset.pinned;
    if (pinned && next.dataset.part !== pinned) return;
    if (now && now.dataset.part === next.dataset.part) {
      // The same part: the words change, the picture stays and does not flicker.
      now.querySelector(".told").replaceWith(next.querySelector(".told"));
    } else {
      focus.replaceChildren(content);
    }
    focus.querySelector(".pinned").hidden = !pinned;
  }

  function take(message) {
    for (const part of message.parts) {
      const line = lineOf(part.line);
      if (!line) return location.reload();
      putRow(line, part);
    }
    for (const told of message.lines) {
      const line = lineOf(told.line);
      if (!line) return location.reload();
      line.querySelector("[data-head]").innerHTML = told.head;
      putFocus(line, told.focus);
    }
    if (message.alerts !== undefined) {
      const alerts = document.getElementById("alerts");
      alerts.innerHTML = message.alerts;
    }
  }

  page.addEventListener("htmx:afterRequest", (event) => {
    const button = event.target.closest("[data-pin]");
    if (!button || !event.detail.successful) return;
    const line = button.closest("[data-line]");
    const html = event.detail.xhr.responseText;
    line.dataset.pinned = parsedPiece(html).querySelector("[data-part]").dataset.part;
    putFocus(line, html);
  });

  page.addEventListener("click", (event) => {
    if (!event.target.closest("[data-unpin]")) return;
    const line = event.target.closest("[data-line]");
    delete line.dataset.pinned;
    location.assign("/live");
  });

  followConsole(page, (since) => `/live/events?since=${since}`, take);
})();
