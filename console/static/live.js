// The live page: takes messages of the console and puts their pieces where they belong.
"use strict";

(() => {
  const page = document.getElementById("live");
  if (!page) return;
  const shown = Number(page.dataset.shown);
  const kept = Number(page.dataset.kept);

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
      trim(line);
    }
    if (row.isConnected) htmx.process(row);
    return !known;
  }

  // What came while nobody saw it come stays in the list until somebody says that it was seen.
  function trim(line) {
    const rows = line.querySelector("[data-rows]");
    const most = line.dataset.missed ? kept : shown;
    while (rows.children.length > most) rows.lastElementChild.remove();
  }

  function putRows(line, parts, missed) {
    if (missed || parts.length > shown) line.dataset.missed ||= "0";
    const fresh = parts.filter((part) => putRow(line, part)).length;
    if (!line.dataset.missed || !(missed || fresh > shown)) return;
    const count = Number(line.dataset.missed) + fresh;
    line.dataset.missed = String(count);
    if (count > kept || missed?.whole === false) line.dataset.notAll = "yes";
    const note = line.querySelector("[data-away-note]");
    note.hidden = count === 0 && !line.dataset.notAll;
    note.querySelector("span").textContent = page.dataset.away.replace("{count}", String(count));
    note.querySelector("a").hidden = !line.dataset.notAll;
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
    for (const name of new Set(message.parts.map((part) => part.line))) {
      const line = lineOf(name);
      if (!line) return location.reload();
      const parts = message.parts.filter((part) => part.line === name);
      putRows(line, parts, message.missed);
    }
    if (message.missed?.whole === false) {
      for (const line of page.querySelectorAll("[data-line]")) putRows(line, [], message.missed);
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
    if (!event.target.closest("[data-seen]")) return;
    const line = event.target.closest("[data-line]");
    delete line.dataset.missed;
    delete line.dataset.notAll;
    line.querySelector("[data-away-note]").hidden = true;
    trim(line);
  });

  page.addEventListener("click", (event) => {
    if (!event.target.closest("[data-unpin]")) return;
    const line = event.target.closest("[data-line]");
    delete line.dataset.pinned;
    location.assign("/live");
  });

  followConsole(page, (since) => `/live/events?since=${since}`, take);
})();
