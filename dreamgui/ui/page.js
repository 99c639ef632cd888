/* Script of the browser: what the page does without asking the server. It goes into the page's head as it is. */
(() => {
  "use strict";
  const page = (globalThis.dreamgui = globalThis.dreamgui ?? {});

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
  /* Arrow keys go from tab to tab, around the ends. */
  document.addEventListener("keydown", event => {
    const here = event.target.closest?.("#tabs [role=tab][data-tab-id]");
    const way = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    if (!here || !(way || ["Home", "End"].includes(event.key))) return;
    const all = [...document.querySelectorAll("#tabs [role=tab][data-tab-id]")].filter(each => each.checkVisibility());
    const place = way ? (all.indexOf(here) + way + all.length) % all.length : event.key === "Home" ? 0 : all.length - 1;
    event.preventDefault();
    all[place].focus();
    all[place].click();
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
     nothing has changed for a moment; eight seconds after the status line at the latest, as on a busy machine. */
  const STILL_MS = 120, LATEST_MS = 8000;
  const settled = () => {
    if (!document.querySelector("#title h1") || !document.querySelector("#status-line .dg-dot")) return false;
    const tab = shownTab(), kind = tab === "dataset" ? "crop" : tab;
    if (!tab) return false;
    if (tab === "library") return document.querySelector("#library-grid :is(.dg-items, .dg-idle)");
    const newest = document.querySelector(`#newest-${kind} :is(input, textarea)`)?.value;
    return newest === "none" || (newest && document.querySelector(`#${tab}-progress [data-job]`));
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
    setTimeout(show, 4 * LATEST_MS);
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
