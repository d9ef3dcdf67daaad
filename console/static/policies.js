// The page of a policy: what the editor hears becomes words, and what an edit would do is asked for.
"use strict";

(() => {
  const form = document.querySelector("[data-policy]");
  const said = document.getElementById("policy-said");
  const list = document.getElementById("policy-problems");
  let asked = "";
  let errors = 0;

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
  const words = form.dataset;
  let running = null;

  function told(problems) {
    list.replaceChildren(
      ...problems.map((one) => {
        const item = document.createElement("li");
        item.className = one.is_error ? "error" : "warning";
        const code = document.createElement("code");
        code.textContent = one.code;
        const text = ` ${one.reason}${one.fix ? ` (${one.fix})` : ""}`;
        if (one.line) {
          const button = document.createElement("button");
          button.type = "button";
          button.textContent = words.line.replace("{line}", one.line);
          button.addEventListener("click", () => area.policyEditor.goTo(one.line, one.column));
          item.append(button, " ");
        }
        item.append(code, text);
        return item;
      }),
    );
  }

  form.addEventListener("policy:report", ({ detail: report }) => {
    if (!report) {
      said.textContent = words.saidAway;
      return;
    }
    errors = report.problems.filter((one) => one.is_error).length;
    const warnings = report.problems.length - errors;
    const counted = warnings ? ` ${words.saidWarnings.replace("{count}", warnings)}` : "";
    said.textContent = errors ? words.saidErrors.replace("{count}", errors) : words.saidOk + counted;
    said.classList.toggle("problem", errors > 0);
    told(report.problems);
    const text = area.policyEditor ? area.policyEditor.text() : area.value;
    if (!report.ok || text === asked) return;
    asked = text;
    running?.abort();
    running = new AbortController();
    for (const place of places) fill(place, text, running.signal).catch(() => {});
  });

  // A page that was left with an edit asks before it is gone.
  let changed = false;
  form.addEventListener("policy:text", () => (changed = true));
  form.addEventListener("submit", () => (changed = false));
  addEventListener("beforeunload", (event) => {
    if (changed) event.preventDefault();
  });
})();
