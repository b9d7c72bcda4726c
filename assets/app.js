/* Progressive enhancement only: every page works as plain HTML and forms without this file.
   No eval, no inline handlers, no innerHTML. Elements are found at the time of the event, so swapped-in fragments just work. */
(() => {
  "use strict";
  const $ = (s, r = document) => r.querySelector(s), $$ = (s, r = document) => [...r.querySelectorAll(s)];
  const root = document.documentElement;

  /* what only works with this file is hidden until it runs */
  const reveal = scope => $$("[data-needs-js]", scope).forEach(e => { e.hidden = false; });

  /* theme: the cookie is what the server reads, so the next page is drawn right at once */
  document.addEventListener("submit", e => {
    if (!e.target.matches("[data-theme-form]")) return;
    e.preventDefault();
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    const theme = dark ? "light" : "dark";
    root.dataset.theme = theme;
    document.cookie = `theme=${theme}; path=/; max-age=31536000; samesite=lax${location.protocol === "https:" ? "; secure" : ""}`;
  });

  /* what a choice asks for opens with it: the conditions of an approval with conditions */
  document.addEventListener("change", e => {
    const form = e.target.matches("input[type=radio]") && e.target.form;
    if (form) $$("details[data-open-with]", form).filter(d => d.dataset.openWith === e.target.value).forEach(d => { d.open = true; });
  });

  const dropDrafts = () => { try { Object.keys(sessionStorage).filter(k => k.startsWith("sign:")).forEach(k => sessionStorage.removeItem(k)); } catch { /* nothing was kept */ } };

  /* toast: a polite live region; fed by Django's messages and by the HX-Trigger event `toast` */
  let toastTimer = 0;
  const toast = text => {
    const box = $("#toast");
    box.textContent = text; box.hidden = false;
    clearTimeout(toastTimer); toastTimer = setTimeout(() => { box.hidden = true; }, 6000);
  };
  const liftMessages = scope => $$("[data-toast]", scope).forEach(m => {
    toast(m.textContent.trim());
    if (/^Signed/.test(m.textContent.trim())) dropDrafts();
    const list = m.parentElement; m.remove();
    if (list && !list.children.length) list.remove();
  });
  document.addEventListener("toast", e => toast(String(e.detail && e.detail.value !== undefined ? e.detail.value : e.detail)));

  /* what asks the server through htmx may be wanted before htmx listens to it: the newest of a kind is then told as soon as it does */
  const listening = new WeakSet(), owed = new Map();
  const tell = (element, name) => { if (listening.has(element)) element.dispatchEvent(new CustomEvent(name)); else owed.set(name, element); };
  document.addEventListener("htmx:after:init", e => {
    listening.add(e.target);
    owed.forEach((element, name) => { if (element === e.target) { owed.delete(name); element.dispatchEvent(new CustomEvent(name)); } });
  });

  /* dialogs and menus; one that the server fills is filled once, and asked for again when it is opened again with nothing in it */
  const show = id => {
    const dialog = document.getElementById(id);
    if (!dialog || dialog.tagName !== "DIALOG") return false;
    if (!dialog.open) dialog.showModal();
    if (dialog.matches("[hx-get]") && !$("form", dialog) && !dialog.classList.contains("htmx-request")) tell(dialog, "fill");
    const first = $("[autofocus]", dialog); if (first) first.focus();
    dialog.dispatchEvent(new CustomEvent(`${id}:open`));
    return true;
  };
  /* a dialog that the server fills: what was picked on the way in is chosen once the form is there */
  const choose = (dialog, value) => {
    if (!value) return;
    dialog.dataset.picked = value;
    const option = $(`[name=decision][value="${CSS.escape(value)}"]`, dialog);
    if (option) { option.checked = true; delete dialog.dataset.picked; }
  };
  const anchor = opener => { const field = $("[name=section]", document.getElementById(opener.dataset.open)); if (field) field.value = opener.dataset.section || ""; };
  const closeMenus = except => $$("details.menu[open]").forEach(m => { if (m !== except) m.open = false; });
  document.addEventListener("click", e => {
    const target = e.target instanceof Element ? e.target : null;
    if (!target) return;
    closeMenus(target.closest("details.menu"));
    const opener = target.closest("[data-open]");
    if (opener) {
      if (show(opener.dataset.open)) { e.preventDefault(); closeMenus(); anchor(opener); choose(document.getElementById(opener.dataset.open), opener.dataset.pick); }
      return;
    }
    const dialog = target.closest("dialog");
    if (dialog && (target === dialog || target.closest("[data-close]"))) { dialog.close(); if (target !== dialog) e.preventDefault(); return; }
    const copy = target.closest("[data-copy]");
    if (copy) navigator.clipboard.writeText(copy.dataset.copy).then(() => toast("Copied"), () => toast(copy.dataset.copy));
    const diff = target.closest("[data-diff]");
    if (diff) showDiff(diff);
    const option = target.closest("#palette [role=option]");
    if (option) go(option);
  });

  /* forms: say what is missing beside the field before asking the server; the server checks again */
  document.addEventListener("submit", e => {
    const form = e.target;
    let first = null;
    $$("[data-required]", form).forEach(w => {
      const inputs = $$("input, textarea, select", w).filter(i => i.type !== "hidden");
      if (!inputs.length) return;
      const needed = !w.dataset.requiredIf || (document.getElementById(w.dataset.requiredIf) || {}).checked;
      const filled = /radio|checkbox/.test(inputs[0].type) ? inputs.some(i => i.checked) : inputs[0].value.trim() !== "";
      const ok = !needed || filled;
      const error = $(".err", w); if (error) error.hidden = ok;
      inputs.forEach(i => ok ? i.removeAttribute("aria-invalid") : i.setAttribute("aria-invalid", "true"));
      if (!ok && !first) first = inputs[0];
    });
    if (first) { e.preventDefault(); e.stopImmediatePropagation(); first.focus(); }
  }, true);
  const focusFirstError = scope => { const bad = $("[aria-invalid=true]", scope); if (bad) { const d = bad.closest("dialog"); if (d && !d.open) d.showModal(); bad.focus(); } };

  /* drafts: what was written into a form outlives a lost session and a closed tab's reload, but not the browser; never a secret */
  const kept = { get: k => { try { return JSON.parse(sessionStorage.getItem(k)) || {}; } catch { return {}; } }, set: (k, v) => { try { sessionStorage.setItem(k, JSON.stringify(v)); } catch { /* private mode: nothing is kept */ } } };
  const writable = form => $$("input, textarea, select", form).filter(i => i.name && !/hidden|password|file/.test(i.type) && !/^(secret|assertion|intent|csrfmiddlewaretoken)$/.test(i.name));
  const restoreDrafts = scope => $$("form[data-draft]", scope).forEach(form => {
    if (form.dataset.restored) return;
    form.dataset.restored = "1";
    const draft = kept.get(form.dataset.draft);
    writable(form).forEach(i => {
      if (!(i.name in draft)) return;
      if (/radio|checkbox/.test(i.type)) { if (!$(`[name="${CSS.escape(i.name)}"]:checked`, form)) i.checked = draft[i.name] === i.value; }
      else if (i.value === "") i.value = draft[i.name];
    });
  });
  document.addEventListener("input", e => {
    const form = e.target.closest("form[data-draft]");
    if (!form) return;
    const draft = {};
    writable(form).forEach(i => { if (!/radio|checkbox/.test(i.type) || i.checked) draft[i.name] = i.value; });
    kept.set(form.dataset.draft, draft);
  });

  /* evidence: progress of reading, and the section that is being read */
  const paintProgress = () => {
    const sections = $$("[data-evidence]"), bar = $("#revprog"), text = $("#revtext");
    const marked = sections.filter(s => $("[data-review]", s));
    const done = marked.filter(s => s.classList.contains("is-reviewed")).length;
    if (bar && marked.length) { bar.max = marked.length; bar.value = done; if (text) text.textContent = `${done} of ${marked.length} reviewed`; }
    sections.forEach(s => { const a = $(`.secnav a[href="#${CSS.escape(s.id)}"]`); if (a) a.classList.toggle("seen", s.classList.contains("is-reviewed")); });
  };
  const spy = () => {
    const links = $$(".secnav a");
    if (!links.length) return;
    const watch = new IntersectionObserver(entries => entries.forEach(entry => {
      if (!entry.isIntersecting) return;
      links.forEach(l => {
        const on = l.hash === "#" + entry.target.id;
        l.classList.toggle("on", on);
        if (!on) { l.removeAttribute("aria-current"); return; }
        l.setAttribute("aria-current", "true");
        const nav = l.parentElement;
        nav.scrollTo({ left: l.offsetLeft - nav.offsetLeft - nav.clientWidth / 2 + l.offsetWidth / 2 });
      });
    }), { rootMargin: "-20% 0px -70% 0px" });
    links.forEach(l => { const section = l.hash.length > 1 && document.getElementById(l.hash.slice(1)); if (section) watch.observe(section); });
  };

  /* differences only: rows that are equal are hidden only where this file can show them again */
  const showDiff = button => {
    const only = button.dataset.diff === "only", table = document.getElementById(button.dataset.target);
    if (!table) return;
    $$("tr[data-same]", table).forEach(r => { r.hidden = only; });
    $$("[data-diff]", button.parentElement).forEach(b => b.setAttribute("aria-pressed", b === button));
  };

  /* chart tooltips (placed through CSSOM, which `style-src 'self'` permits) */
  const tip = document.createElement("div"); tip.className = "tip"; tip.hidden = true; document.body.append(tip);
  document.addEventListener("pointermove", e => {
    const t = e.target.closest && e.target.closest("[data-tip]");
    if (!t) { tip.hidden = true; return; }
    const [head, ...rest] = t.dataset.tip.split("|"); tip.replaceChildren();
    const b = document.createElement("b"); b.textContent = head; tip.append(b);
    rest.forEach(r => { const d = document.createElement("div"); d.textContent = r; tip.append(d); });
    tip.hidden = false; const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(8, Math.min(e.clientX + 14, innerWidth - box.width - 8)) + "px"; tip.style.top = Math.max(8, e.clientY - box.height - 12) + "px";
  }, { passive: true });

  /* palette: the server searches, the arrow keys choose; while the list is behind what was typed, Enter searches on the page */
  const options = () => $$("#palette [role=option]");
  const select = i => {
    const all = options(), input = $("#palette input"), none = $("#palnone");
    all.forEach(o => o.setAttribute("aria-selected", "false"));
    none.hidden = all.length > 0 || input.value.trim() === "";
    if (!all.length) { input.removeAttribute("aria-activedescendant"); return; }
    const chosen = all[(i + all.length) % all.length];
    chosen.setAttribute("aria-selected", "true"); input.setAttribute("aria-activedescendant", chosen.id); chosen.scrollIntoView({ block: "nearest" });
  };
  const go = option => { if (option.dataset.href) location.assign(option.dataset.href); };
  const palette = $("#palette");
  if (palette) {
    const input = $("input", palette);
    const behind = () => { const list = $("[data-asked]", palette); return !list || list.dataset.asked !== input.value.trim().replace(/\s+/g, " "); };
    palette.addEventListener("palette:open", () => tell(input, "palette:open"));
    input.addEventListener("keydown", e => {
      const all = options(), at = all.findIndex(o => o.getAttribute("aria-selected") === "true");
      if (e.key === "ArrowDown") { select(at + 1); e.preventDefault(); }
      else if (e.key === "ArrowUp") { select(at - 1); e.preventDefault(); }
      else if (e.key === "Enter") { e.preventDefault(); if (all[at] && !behind()) go(all[at]); else location.assign(`${$(".searchbtn").href}?q=${encodeURIComponent(input.value)}`); }
    });
  }

  /* keyboard: single keys can be turned off (WCAG 2.1.4), which the person's account keeps, and never fire while typing */
  const keysOff = () => Boolean($("#help [data-keys=off]"));
  let pending = false, section = -1;
  const step = (list, at, by) => Math.max(0, Math.min(list.length - 1, at + by));
  const moveRow = by => { const rows = $$(".q"), at = rows.findIndex(r => r.classList.contains("on")); rows.forEach(r => r.classList.remove("on")); const row = rows[step(rows, at, by)]; row.classList.add("on"); row.focus(); tell(row, "preview"); };
  const moveSection = by => { const all = $$("[data-evidence]"); section = step(all, section, by); all.forEach((s, i) => s.classList.toggle("is-cursor", i === section)); all[section].scrollIntoView(); };
  document.addEventListener("keydown", e => {
    if ((e.ctrlKey || e.metaKey) && e.key.toLowerCase() === "k") { if (show("palette")) e.preventDefault(); return; }
    if (e.key === "Escape") { const open = $("details.menu[open]"); if (open) { open.open = false; $("summary", open).focus(); } }
    if (e.ctrlKey || e.metaKey || e.altKey || keysOff() || e.target.closest("input, textarea, select, [contenteditable]") || $("dialog[open]")) return;
    if (pending) { pending = false; const link = $(`[data-go="${CSS.escape(e.key)}"]`); if (link) location.assign(link.href); return; }
    const key = e.key;
    if (key === "g") { pending = true; setTimeout(() => { pending = false; }, 900); }
    else if (key === "/") { if (show("palette")) e.preventDefault(); }
    else if (key === "?") show("help");
    else if (key === "a") { if (!show("sign")) { const link = $("[data-open=sign]"); if (link && link.href) location.assign(link.href); } }
    else if ((key === "j" || key === "k") && $(".q")) moveRow(key === "j" ? 1 : -1);
    else if ((key === "j" || key === "k") && $("[data-evidence]")) moveSection(key === "j" ? 1 : -1);
    else if (key === "x" && section >= 0) { const mark = $("[data-review]", $$("[data-evidence]")[section]); if (mark) mark.click(); }
    else if (key === "c" && $("#composer")) { $("#composer").focus(); e.preventDefault(); }
  });

  /* a reply is written where the thread stands: the page has the form once; without this file the link is a page of its own */
  document.addEventListener("click", e => {
    const link = e.target instanceof Element && e.target.closest("a[data-write]"), source = link && document.getElementById(link.dataset.write);
    if (!source || e.ctrlKey || e.metaKey || e.shiftKey) return;
    e.preventDefault();
    const row = link.parentElement, written = $("form[data-written]", row);
    if (written) { $("textarea", written).focus(); return; }
    const form = source.content.firstElementChild.cloneNode(true);
    form.action = link.href; form.dataset.written = ""; row.append(form);
    form.addEventListener("reset", () => { form.remove(); link.focus(); });
    $("textarea", form).focus();
  });

  /* live tail: asks every two seconds for what came after the newest row, not while paused and not in a tab that nobody sees */
  const LIVE_MS = 2000, LIVE_ROWS = 300;
  setInterval(() => $$("[data-live]").forEach(form => {
    if (document.hidden || form.dataset.paused || form.classList.contains("htmx-request")) return;
    const rows = document.getElementById(form.dataset.liveRows), known = Number(form.dataset.live);
    const came = $$("[data-seq]", rows).map(r => Number(r.dataset.seq || -1)).filter(seq => seq > known);
    if (came.length) {
      $("[data-live-status]", form).textContent = `${came.length} new ${came.length === 1 ? "entry" : "entries"}.`;
      $$("tr", rows).slice(LIVE_ROWS).forEach(r => r.remove());
    }
    form.dataset.live = form.elements.seen.value = Math.max(known, ...came);
    form.dispatchEvent(new CustomEvent("live"));
  }), LIVE_MS);
  document.addEventListener("click", e => {
    const pause = e.target instanceof Element ? e.target.closest("[data-live-pause]") : null;
    if (!pause) return;
    const form = pause.closest("[data-live]"), paused = pause.getAttribute("aria-pressed") !== "true";
    pause.setAttribute("aria-pressed", paused); pause.textContent = paused ? "Go on" : "Pause";
    if (paused) form.dataset.paused = "1"; else delete form.dataset.paused;
    $("[data-live-status]", form).textContent = paused ? "Paused." : "New entries appear here.";
  });

  /* what is done once for the page and again for every swapped-in fragment */
  const enhance = scope => { reveal(scope); liftMessages(scope); restoreDrafts(scope); $$("dialog[data-picked]").forEach(d => choose(d, d.dataset.picked)); paintProgress(); $$("[data-diff=only][aria-pressed=true]", scope).forEach(showDiff); if ($("#pallist") && (scope === document || scope.id === "pallist" || scope.closest?.("#palette"))) select(0); };
  enhance(document); focusFirstError(document); spy();
  const land = () => { const at = $("[data-landed]"); if (at) { at.removeAttribute("data-landed"); at.focus(); } };
  document.addEventListener("htmx:after:swap", e => { const at = e.target instanceof Element ? e.target : document; enhance(document); if (at.closest?.("dialog")) focusFirstError(at); land(); });
})();
