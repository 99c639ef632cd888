/* Script of the browser: what the page does without asking the server. It goes into the page's head as it is. */
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

  /* Scrolls to an element as soon as it is there, unless it is in sight. */
  page.reveal = selector => {
    const look = () => {
      const box = document.querySelector(selector)?.getBoundingClientRect();
      if (!box?.height) return false;
      if (box.top < 0 || box.top > innerHeight - 200) {
        document.querySelector(selector).scrollIntoView({block: "start", behavior: "smooth"});
      }
      return true;
    };
    const news = new MutationObserver(() => look() && news.disconnect());
    if (!look()) news.observe(document.body, {childList: true, subtree: true, attributes: true});
  };

  /* On a phone a job's card stands above the form: it is scrolled to once the job has begun. */
  page.began = prefix => setTimeout(() => {
    if (innerWidth > 640 || document.querySelector(`#${prefix}-faults .dg-faults`)) return;
    page.reveal(`#${prefix}-progress`);
  }, 300);

  /* Presses a download button as soon as it is in sight, once, within half an hour. */
  page.download = (selector, tries = 6000) => {
    const button = document.querySelector(selector);
    if (button?.checkVisibility()) setTimeout(() => button.click(), 300);
    else if (tries) setTimeout(page.download, 300, selector, tries - 1);
  };

  /* Opens folded parts of the page, one inside the other, and scrolls to the last one. */
  page.unfold = (selectors, tries = 40) => {
    const next = selectors.map(each => document.querySelector(each)).findIndex(each =>
      !each?.checkVisibility() || each.querySelector("button")?.getAttribute("aria-expanded") === "false" ||
      !each.querySelector("button.open"));
    if (next < 0) return page.reveal(selectors.at(-1));
    const button = document.querySelector(selectors[next])?.querySelector("button.label-wrap");
    if (button?.checkVisibility() && !button.classList.contains("open")) button.click();
    if (tries) setTimeout(page.unfold, 50, selectors, tries - 1);
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

  /* The address names the tab, and in the library the item: #train, #library/run/anna. */
  const NAMES = {dataset: "Dataset", convert: "Convert", train: "Train", generate: "Generate",
                 compare: "Compare", library: "Library", control: "ControlNet"};
  const home = "dataset";
  let current = home, going = "";
  const asked = () => decodeURIComponent(location.hash.slice(1));
  const press = id => {
    const tab = document.querySelector(`#tabs [role=tab][data-tab-id="${id}"]`);
    const folded = [...document.querySelectorAll("#tabs .overflow-dropdown button")];
    (tab ?? folded.find(each => each.textContent.trim() === NAMES[id]))?.click();
  };
  const openItem = key => {
    const find = () => [...document.querySelectorAll("#library-grid [data-item]")].find(each => each.dataset.item === key);
    const look = new MutationObserver(() => pressed(find()));
    const pressed = item => { if (item) { look.disconnect(); item.click(); } };
    look.observe(document.body, {childList: true, subtree: true});
    setTimeout(() => look.disconnect(), 20000);
    pressed(find());
  };
  const follow = () => {
    const [id, ...item] = (asked() || home).split("/");
    if (!(id in NAMES)) return;
    going = asked();
    if (id !== current) press(id);
    if (id === "library" && item.length) openItem(item.join("/"));
  };
  const shownTab = () => Object.keys(NAMES).find(id => document.getElementById(`tab-${id}`)?.checkVisibility());
  /* gradio names its placeholder without a role, so that nobody is told the name. */
  const name = () => {
    for (const empty of document.querySelectorAll("div.empty[aria-label]:not([role])")) empty.setAttribute("role", "img");
  };
  const told = id => {
    setTimeout(name, 50);
    if (id === current && !going) return;
    current = id;
    const wanted = going.split("/")[0] === id;
    if (!wanted && (asked() || home).split("/")[0] !== id) history.pushState(null, "", `#${id}`);
    going = "";
  };
  addEventListener("popstate", follow);
  document.addEventListener("click", event => {
    const tab = event.target.closest?.("#tabs [role=tab][data-tab-id], #tabs .overflow-dropdown button");
    const named = Object.keys(NAMES).find(id => id === tab?.dataset.tabId || NAMES[id] === tab?.textContent.trim());
    if (named) told(named);
  });
  document.addEventListener("click", event => {
    const item = event.target.closest?.("#library-grid [data-item]");
    const place = item && `#library/${item.dataset.item}`;
    if (place && location.hash !== encodeURI(place) && asked() !== place.slice(1)) history.pushState(null, "", place);
  });

  /* State of the jobs, told by the status line: title, marks of the tabs, and a notification at an end. */
  let running = "", notify = false, landed = false;
  /* A page that is opened while a job runs, without a place in its address, opens at the job. */
  const land = () => {
    const job = document.querySelector("#status-line a.dg-job");
    if (!landed && job && !asked() && current === home) {
      history.replaceState(null, "", job.hash);
      follow();
    }
    landed = true;
  };
  const mark = (done, next) => {
    for (const tab of document.querySelectorAll("#tabs [role=tab][data-tab-id]")) {
      const id = tab.dataset.tabId, step = done.includes(id) ? "done" : id === next ? "next" : "";
      if ((tab.dataset.step ?? "") === step) continue;
      tab.dataset.step = step;
      tab.title = {done: "Done", next: "Next step"}[step] ?? "";
    }
  };
  const tell = state => {
    document.title = state.title ? `${state.title} · DreamGUI` : "DreamGUI";
    mark(state.done.split(" "), state.next);
    if (running && state.running !== running && notify && document.hidden) {
      new Notification("DreamGUI", {body: state.ended, tag: running}).onclick = () => focus();
    }
    running = state.running;
  };
  const bell = () => document.querySelector("#status-line .dg-bell");
  const ring = () => bell()?.setAttribute("aria-pressed", String(notify));
  document.addEventListener("click", async event => {
    if (!event.target.closest?.(".dg-bell")) return;
    notify = !notify && (await Notification.requestPermission()) === "granted";
    ring();
  });
  /* The line is made anew at each percent: a press may end on another link than it began on. */
  document.addEventListener("click", event => {
    const line = event.target.closest?.("#status-line");
    if (line && !event.target.closest("a, button")) line.querySelector("a.dg-job")?.click();
  });
  /* Nothing jumps as the page opens: what stands below the head is hidden until the first answers have come, and
     nothing has changed for a moment; three seconds after the status line at the latest. */
  const STILL_MS = 120, LATEST_MS = 3000;
  const settled = () => {
    if (!document.querySelector("#title h1") || !document.querySelector("#status-line .dg-dot")) return false;
    const tab = shownTab(), kind = tab === "dataset" ? "crop" : tab;
    if (!tab) return false;
    if (tab === "library") return document.querySelector("#library-grid :is(.dg-items, .dg-idle)");
    const newest = document.querySelector(`#newest-${kind} :is(input, textarea)`)?.value;
    const card = newest && document.querySelector(`#${tab}-progress [data-job]`);
    /* Gradio fetches the script of a plot when the first one is shown. */
    const plotted = tab !== "train" || !card?.matches(".dg-done") || document.querySelector("#train-loss");
    return newest === "none" || (card && plotted);
  };
  const open = () => {
    const root = document.documentElement, news = new MutationObserver(() => still());
    let quiet, latest;
    const show = () => {
      news.disconnect();
      clearTimeout(latest);
      clearTimeout(quiet);
      root.classList.remove("dg-opening");
    };
    const still = () => {
      clearTimeout(quiet);
      if (!latest && document.querySelector("#status-line .dg-dot")) latest = setTimeout(show, LATEST_MS);
      if (settled()) quiet = setTimeout(show, STILL_MS);
    };
    root.classList.add("dg-opening");
    news.observe(document, {childList: true, subtree: true});
    setTimeout(show, 10 * LATEST_MS);
  };
  open();
  const begin = () => {
    const line = document.querySelector("#status-line"), tabs = document.querySelector("#tabs [role=tablist]");
    if (!line || !tabs) return setTimeout(begin, 100);
    const read = () => {
      const state = line.querySelector("[data-done]")?.dataset;
      if (!state) return;
      land();
      tell(state);
      ring();
      name();
      if (!("Notification" in globalThis)) bell()?.remove();
    };
    new MutationObserver(read).observe(line, {childList: true, subtree: true});
    new MutationObserver(read).observe(tabs, {childList: true});
    /* A button of the page may choose a tab too. */
    const look = () => setTimeout(() => {
      if (shownTab()) told(shownTab());
      read();
    });
    const news = {subtree: true, childList: true, attributes: true, attributeFilter: ["class", "aria-selected"]};
    new MutationObserver(look).observe(tabs.parentElement, news);
    read();
    if (asked()) follow();
  };
  begin();
})();
