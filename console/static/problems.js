// Under a policy's editor: what the validator says, in words; a page with an edit asks before it is left.
"use strict";

for (const form of document.querySelectorAll("form[data-said-ok]")) {
  const area = form.querySelector("textarea[data-policy-editor]");
  const said = form.querySelector(".policy-said");
  const list = form.querySelector(".policy-problems");
  const words = form.dataset;

  function item(one) {
    const line = document.createElement("li");
    line.className = one.is_error ? "error" : "warning";
    const code = document.createElement("code");
    code.textContent = one.code;
    const text = ` ${one.reason}${one.fix ? ` (${one.fix})` : ""}`;
    if (one.line) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = words.line.replace("{line}", one.line);
      button.addEventListener("click", () => area.policyEditor.goTo(one.line, one.column));
      line.append(button, " ");
    }
    line.append(code, text);
    return line;
  }

  form.addEventListener("policy:report", ({ detail: report }) => {
    if (!report) {
      said.textContent = words.saidAway;
      return;
    }
    const errors = report.problems.filter((one) => one.is_error).length;
    const warnings = report.problems.length - errors;
    const counted = warnings ? ` ${words.saidWarnings.replace("{count}", warnings)}` : "";
    said.textContent = errors ? words.saidErrors.replace("{count}", errors) : words.saidOk + counted;
    said.classList.toggle("problem", errors > 0);
    list.replaceChildren(...report.problems.map(item));
  });

  let changed = false;
  form.addEventListener("policy:text", () => (changed = true));
  form.addEventListener("submit", () => (changed = false));
  addEventListener("beforeunload", (event) => {
    if (changed) event.preventDefault();
  });
}
