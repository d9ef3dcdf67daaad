// The policy editor: CodeMirror over a text area, with problems and completion from the console.
//
// A text area with `data-policy-editor` becomes an editor; it stays the form's field, and is all there
// is without this script. It says `policy:text` when its text changed and `policy:report` when the
// validator answered (detail: the report); `area.policyEditor` has the text and what can be done to it.
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { HighlightStyle, bracketMatching, foldGutter, foldKeymap, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { forceLinting, lintGutter, lintKeymap, linter } from "@codemirror/lint";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { EditorState } from "@codemirror/state";
import { EditorView, drawSelection, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";

const NONCE = document.currentScript?.nonce ?? "";
const CHECK_AFTER_MS = 120;

const colours = HighlightStyle.define([
  { tag: tags.definition(tags.propertyName), color: "var(--focus)" },
  { tag: tags.comment, color: "var(--soft)", fontStyle: "italic" },
  { tag: [tags.string, tags.content], color: "var(--ink)" },
  { tag: [tags.punctuation, tags.separator, tags.squareBracket, tags.brace], color: "var(--soft)" },
  { tag: [tags.keyword, tags.atom, tags.bool, tags.number], color: "var(--hold)" },
]);

const look = EditorView.theme({
  "&": { background: "var(--raised)", color: "var(--ink)", border: "1px solid var(--line)", borderRadius: "4px", fontSize: "0.93rem" },
  "&.cm-focused": { outline: "2px solid var(--focus)", outlineOffset: "1px" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.5", minHeight: "18rem", maxHeight: "var(--editor-height, 75vh)" },
  ".cm-content": { caretColor: "var(--ink)" },
  ".cm-cursor, .cm-dropCursor": { borderLeftColor: "var(--ink)", borderLeftWidth: "2px" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { background: "color-mix(in srgb, var(--focus) 25%, transparent)" },
  ".cm-gutters": { background: "var(--sunk)", color: "var(--soft)", borderRight: "1px solid var(--line)" },
  ".cm-activeLine": { background: "color-mix(in srgb, var(--sunk) 60%, transparent)" },
  ".cm-activeLineGutter": { background: "var(--sunk)", color: "var(--ink)" },
  ".cm-tooltip": { background: "var(--raised)", color: "var(--ink)", border: "1px solid var(--soft)", borderRadius: "4px", maxWidth: "34rem" },
  ".cm-tooltip-autocomplete > ul": { fontFamily: "var(--mono)" },
  ".cm-tooltip-autocomplete > ul > li[aria-selected]": { background: "var(--focus)", color: "var(--paper)" },
  ".cm-completionDetail": { color: "inherit", fontFamily: "var(--sans)", fontStyle: "normal" },
  ".cm-completionInfo": { padding: "0.4rem 0.6rem", fontFamily: "var(--sans)" },
  ".cm-panels": { background: "var(--sunk)", color: "var(--ink)" },
  ".cm-panels input, .cm-panels button": { background: "var(--raised)", color: "var(--ink)", border: "1px solid var(--soft)", backgroundImage: "none" },
  ".cm-diagnostic": { fontFamily: "var(--sans)", padding: "0.3rem 0.6rem" },
  ".cm-diagnostic-error": { borderLeft: "4px solid var(--bad)" },
  ".cm-diagnostic-warning": { borderLeft: "4px solid var(--rework)" },
  ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--bad)", textUnderlineOffset: "0.2em" },
  ".cm-lintRange-warning": { backgroundImage: "none", textDecoration: "underline wavy var(--rework)", textUnderlineOffset: "0.2em" },
  ".cm-searchMatch": { background: "color-mix(in srgb, var(--rework) 35%, transparent)" },
  ".cm-lint-marker-error": { content: "none", background: "var(--bad)", borderRadius: "50%", width: "0.6em", height: "0.6em", margin: "0.4em auto 0" },
  ".cm-lint-marker-warning": { content: "none", background: "var(--rework)", width: "0.6em", height: "0.6em", margin: "0.4em auto 0" },
});

async function ask(path, body, signal) {
  const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal };
  const answer = await fetch(path, options);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

// The server counts characters of Unicode, JavaScript half of some: an offset is told in the server's.
const characters = (text) => (/[\ud800-\udfff]/.test(text) ? [...text].length : text.length);
const units = (text, count) => (/[\ud800-\udfff]/.test(text) ? [...text].slice(0, count).join("").length : count);

function place(doc, problem) {
  if (!problem.line || problem.line > doc.lines) return { from: 0, to: 0 };
  const line = doc.line(problem.line);
  const from = Math.min(line.to, line.from + units(line.text, Math.max(0, problem.column - 1)));
  const word = /^(?:[\w.-]+|"[^"]*"?|'[^']*'?|\S)/.exec(line.text.slice(from - line.from));
  return { from, to: Math.min(line.to, from + (word ? word[0].length : 0)) };
}

function mount(area) {
  const { check = "/api/policies/check", complete = "/api/policies/complete" } = area.dataset;
  const phrases = JSON.parse(area.dataset.phrases || "{}");
  const say = (name, detail) => area.dispatchEvent(new CustomEvent(name, { bubbles: true, detail }));
  let asking = null;

  async function problems(view) {
    asking?.abort();
    asking = new AbortController();
    const { doc } = view.state;
    try {
      const report = await ask(check, { text: doc.toString() }, asking.signal);
      if (view.state.doc.eq(doc)) say("policy:report", report);
      return report.problems.map((one) => ({
        ...place(doc, one),
        severity: one.is_error ? "error" : "warning",
        source: one.code,
        message: one.reason + (one.fix ? ` (${one.fix})` : ""),
      }));
    } catch (error) {
      if (error.name !== "AbortError") say("policy:report", null);
      return [];
    }
  }

  async function offers(context) {
    const text = context.state.doc.toString();
    const before = context.state.sliceDoc(Math.max(0, context.pos - 1), context.pos);
    if (!context.explicit && !/[\w'"[ .-]/.test(before)) return null;
    const abort = new AbortController();
    context.addEventListener("abort", () => abort.abort());
    try {
      const found = await ask(complete, { text, offset: characters(text.slice(0, context.pos)) }, abort.signal);
      if (!found.offers.length) return null;
      const options = found.offers.map((one, index) => ({
        label: one.label,
        apply: one.insert,
        type: { key: "property", value: "enum", name: "variable", text: "constant", method: "method" }[one.kind],
        info: one.about || undefined,
        boost: -index / 10,
      }));
      return { from: units(text, found.start), options, filter: false };
    } catch {
      return null;
    }
  }

  const state = EditorState.create({
    doc: area.value,
    extensions: [
      NONCE ? EditorView.cspNonce.of(NONCE) : [],
      EditorState.phrases.of(phrases),
      EditorState.readOnly.of(area.readOnly),
      EditorState.tabSize.of(2),
      lineNumbers(),
      lintGutter(),
      foldGutter(),
      highlightActiveLineGutter(),
      highlightActiveLine(),
      history(),
      drawSelection(),
      indentOnInput(),
      bracketMatching(),
      closeBrackets(),
      highlightSelectionMatches(),
      search({ top: true }),
      yaml(),
      syntaxHighlighting(colours),
      look,
      linter(problems, { delay: CHECK_AFTER_MS }),
      autocompletion({ override: [offers], activateOnTypingDelay: 60, icons: false }),
      keymap.of([...closeBracketsKeymap, ...completionKeymap, ...lintKeymap, ...searchKeymap, ...foldKeymap, ...historyKeymap, ...defaultKeymap]),
      EditorView.contentAttributes.of({ "aria-label": area.dataset.label || "", spellcheck: "false" }),
      EditorView.updateListener.of((update) => {
        if (!update.docChanged) return;
        area.value = update.state.doc.toString();
        say("policy:text");
      }),
    ],
  });
  const view = new EditorView({ state });
  view.scrollDOM.tabIndex = 0;
  area.before(view.dom);
  area.hidden = true;
  area.policyEditor = {
    view,
    text: () => view.state.doc.toString(),
    setText: (text) => view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } }),
    check: () => forceLinting(view),
    goTo(line, column = 1) {
      const found = place(view.state.doc, { line, column });
      view.dispatch({ selection: { anchor: found.from }, scrollIntoView: true });
      view.focus();
    },
    addToList(key, item) {
      const change = addition(view.state.doc, key, item);
      view.dispatch({ changes: change, selection: { anchor: change.from + change.insert.length }, scrollIntoView: true });
      view.focus();
    },
  };
  forceLinting(view);
  say("policy:ready");
  return area.policyEditor;
}

// Where one more item of a list of the document goes: behind its last line, or with its key at the end.
function addition(doc, key, item) {
  const indented = (depth) => item.split("\n").map((line, index) => " ".repeat(depth) + (index ? "  " : "- ") + line).join("\n");
  let inside = 0, last = 0, depth = 2;
  for (let number = 1; number <= doc.lines; number += 1) {
    const { text } = doc.line(number);
    if (!inside) {
      if (new RegExp(`^${key}:\\s*(#.*)?$`).test(text)) inside = last = number;
    } else if (/^\s*-\s/.test(text) && inside === last) {
      depth = text.indexOf("-");
      last = number;
    } else if (/^\S/.test(text) && !text.startsWith("#") && !text.startsWith("-")) {
      break;
    } else if (text.trim()) {
      last = number;
    }
  }
  if (inside) return { from: doc.line(last).to, insert: `\n${indented(depth)}` };
  const gap = doc.line(doc.lines).text ? "\n" : "";
  return { from: doc.length, insert: `${gap}${key}:\n${indented(2)}\n` };
}

window.mountPolicyEditor = mount;
for (const area of document.querySelectorAll("textarea[data-policy-editor]")) mount(area);
