// The page of a policy: what an edit would do is asked for while it is written.
"use strict";

(() => {
  const form = document.querySelector("[data-policy]");
  let asked = "";

  async function fill(place, text, signal) {
    const body = new URLSearchParams({ text });
    const answer = await fetch(place.dataset.effect, { method: "POST", body, signal, headers: { "HX-Request": "true" } });
    if (answer.status === 204) return;
    const html = await answer.text();
    if (!answer.ok || signal?.aborted) return;
    const open = [...place.querySelectorAll("details[open]")].map((one) => one.closest("li")?.querySelector("a")?.href);
    place.innerHTML = html;
    for (const link of place.querySelectorAll("li a.mono")) {
      if (open.includes(link.href)) link.closest("li").querySelector("details")?.setAttribute("open", "");
    }
    if (window.htmx) htmx.process(place);
    place.dispatchEvent(new CustomEvent("policy:filled", { bubbles: true }));
  }

  for (const place of document.querySelectorAll("[data-effect][data-of]")) {
    fill(place, document.getElementById(place.dataset.of).value).catch(() => {});
  }
  if (!form) return;
  const area = form.querySelector("textarea[data-policy-editor]");
  const places = [...form.querySelectorAll("[data-effect]")];
  let running = null;

  form.addEventListener("policy:report", ({ detail: report }) => {
    if (!report?.ok) return;
    const text = area.policyEditor ? area.policyEditor.text() : area.value;
    if (text === asked) return;
    asked = text;
    running?.abort();
    running = new AbortController();
    for (const place of places) fill(place, text, running.signal).catch(() => {});
  });
})();
