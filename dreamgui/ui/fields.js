/* Script of the browser for forms: marks, reset, filter and kept settings of their fields. It goes into the page's head as it is. */
(() => {
  "use strict";
  const page = (globalThis.dreamgui = globalThis.dreamgui ?? {});

  /* Fields that differ from the recommended values. */
  const blank = value => value === "" || value == null || (Array.isArray(value) && !value.length);
  const same = (one, other) => {
    if (blank(one) || blank(other)) return blank(one) && blank(other);
    if (typeof one === "boolean" || typeof other === "boolean") return String(one) === String(other);
    return String(one).trim() === String(other).trim() || Number(one) === Number(other);
  };
  const plain = text => String(text).replace(/[&<>"']/g, letter => `&#${letter.charCodeAt(0)};`);
  const shown = value => {
    if (blank(value)) return "empty";
    if (typeof value === "boolean") return value ? "on" : "off";
    const text = String(value).replace(/\n/g, "; ");
    return text.length > 28 ? `${text.slice(0, 26)}…` : text;
  };
  const chip = ({name, label, value, usual}) =>
    `<button type="button" class="dg-chip" data-reset="${name}" aria-label="Reset ${plain(label)} to ${plain(shown(usual))}">` +
    `${plain(label)} <b>${plain(shown(value))}</b> <span>recommended ${plain(shown(usual))}</span> <i aria-hidden="true">↺</i></button>`;

  /* Settings that differ from the recommended ones are kept in this browser, from the moment that those of the last
     visit have come back; told names the visitor and the forms. */
  const KEPT = "dreamgui-settings", kept = {visitor: "", forms: new Set()};
  const simple = value => typeof value !== "object" || value === null || (Array.isArray(value) && value.every(each => typeof each === "string"));
  page.kept = () => {
    try { return localStorage.getItem(KEPT) || "{}"; } catch { return "{}"; }
  };
  page.keeps = told => {
    const [visitor, ...forms] = told.split(" ");
    kept.visitor = visitor;
    for (const form of forms) kept.forms.add(form);
  };
  const keep = (prefix, changed) => {
    if (!kept.forms.has(prefix)) return;
    try {
      const before = JSON.parse(page.kept());
      const forms = before.visitor === kept.visitor ? before.forms : {};
      forms[prefix] = Object.fromEntries(changed.filter(field => simple(field.value)).map(field => [field.name, field.value]));
      localStorage.setItem(KEPT, JSON.stringify({visitor: kept.visitor, forms}));
    } catch {
      /* A browser that keeps nothing, or has no room. */
    }
  };

  /* Answers a form's listener: the line of changed fields, then an update of each group's title. */
  page.changes = (plan, advice, values) => {
    const recommended = {...plan.usual, ...(advice ? JSON.parse(advice) : {})};
    const changed = plan.fields
      .map((field, place) => ({...field, value: values[place], usual: recommended[field.name]}))
      .filter(field => !same(field.value, field.usual));
    keep(plan.prefix, changed);
    const told = changed.filter(field => !plan.quiet.includes(field.name));
    const marks = told.map(field => `#${plan.prefix}-${field.name.replace(/_/g, "-")}`).join(",");
    const few = told.slice(0, 3).map(chip).join(""), more = told.slice(3).map(chip).join("");
    const rest = more && `<details><summary>${told.length - 3} more</summary><div class="dg-chips">${more}</div></details>`;
    const all = told.length > 1 ? '<button type="button" class="dg-chip" data-reset="*">Reset all</button>' : "";
    const line = told.length
      ? `<div class="dg-chips"><span>Not as recommended:</span>${few}${all}</div>${rest}` +
        `<style>:is(${marks}){box-shadow:inset 3px 0 0 var(--primary-500)!important}</style>`
      : "";
    const titles = plan.groups.map(title => {
      const count = changed.filter(field => field.group === title).length;
      return {__type__: "update", label: count ? `${title} \u00b7 ${count} changed` : title};
    });
    return [line, ...titles];
  };

  /* Answers the filter of a form's folded fields: a style that hides the others, then an update of each group. */
  page.found = (plan, text) => {
    const words = (text ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    const id = name => `#${plan.prefix}-${name.replace(/_/g, "-")}`;
    const group = title => `#${plan.prefix}-group-${title.toLowerCase().replace(/ /g, "-")}`;
    const grouped = plan.fields.filter(field => field.group);
    const fits = field => words.every(word => field.words.includes(word));
    const open = new Set(words.length ? grouped.filter(fits).map(field => field.group) : []);
    const hidden = words.length
      ? [...grouped.filter(field => !fits(field)).map(field => id(field.name)),
         ...plan.groups.filter(title => !open.has(title)).map(group)]
      : [];
    const style = hidden.length ? `<style>:is(${hidden.join(",")}){display:none!important}.dg-groups .form{border:0}</style>` : "";
    const none = words.length && !open.size ? '<p class="dg-line">No setting has these words.</p>' : "";
    const updates = plan.groups.map(title => ({__type__: "update", open: open.has(title)}));
    return [style + none, ...updates];
  };

  /* A fault's button goes to its field, and opens the group that the field is folded in. */
  document.addEventListener("click", event => {
    const {field, group} = event.target.closest?.(".dg-faults [data-field]")?.dataset ?? {};
    if (!field) return;
    if (group && !document.querySelector(field)?.checkVisibility()) document.querySelector(`${group} button`)?.click();
    const look = (tries = 20) => {
      const found = document.querySelector(field);
      if (!found?.checkVisibility()) return tries && setTimeout(look, 50, tries - 1);
      found.scrollIntoView({block: "center"});
      found.querySelector("input, textarea, button")?.focus();
    };
    look();
  });

  /* A decimal comma is a point in a field of numbers. */
  document.addEventListener("beforeinput", event => {
    const field = event.target;
    if (!(field instanceof HTMLInputElement) || field.type !== "number") return;
    const text = event.data ?? event.dataTransfer?.getData("text/plain");
    if (!text || !/^[^.,]*,[^.,]*$/.test(text)) return;
    event.preventDefault();
    document.execCommand("insertText", false, text.replace(",", "."));
  });
})();
