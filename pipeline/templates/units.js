"use strict";
// Sentences of articles on a page: tooltip, keyboard, details. Text enters the page through textContent alone.
const communique = (() => {
  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const block = (id) => {
    const element = document.getElementById(id);
    return element ? JSON.parse(element.textContent) : null;
  };
  const whole = 1e6, signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(3);
  let units = [], byElement = new Map(), data = null, why = null, open = null, tipped = null, tip, panel;

  // a browser cuts very long text into several nodes; the first child is the letter
  const text = (unit) => [...unit.element.childNodes].slice(1).map((node) => node.data).join("");
  const chance = (unit, label) => unit.row[6 + label] / whole;

  // take the sentences of the page in, once or again after new ones came; whyData may be a function that gives it
  function setup(pageData, whyData) {
    data = pageData;
    why = whyData;
    units = [];
    byElement = new Map();
    document.documentElement.classList.add("js");
    tip = document.getElementById("tip");
    panel = document.getElementById("why");
    data.articles.forEach((article, a) => article.units.forEach((row, n) => {
      const element = document.getElementById(`u${a}-${n}`);
      const unit = {element, article, a, n, row, label: row[4], uncertain: row[5] === 1, on: true, at: units.length};
      element.tabIndex = n ? -1 : 0;
      element.setAttribute("role", "button");
      element.setAttribute("aria-expanded", "false");
      units.push(unit);
      byElement.set(element, unit);
    }));
    return units;
  }

  const unitOf = (target) => byElement.get(target.closest ? target.closest(".u") : null);

  // one sentence of each article is in the tab order; the arrow keys go on from there
  function hold(unit) {
    const first = unit.at - unit.n;
    for (let at = first; at < first + unit.article.units.length; at++) units[at].element.tabIndex = at === unit.at ? 0 : -1;
  }
  function enter() {
    if (open && !open.on) shut();
    for (let first = 0; first < units.length; first += units[first].article.units.length) {
      const own = units.slice(first, first + units[first].article.units.length);
      const held = own.find((unit) => unit.on) || own[0];
      own.forEach((unit) => { const index = unit === held && unit.on ? 0 : -1; if (unit.element.tabIndex !== index) unit.element.tabIndex = index; });
    }
  }
  function step(unit, by) {
    let at = unit.at + by;
    while (units[at] && !units[at].on) at += by;
    if (units[at]) go(units[at]);
  }
  function go(unit) {
    hold(unit);
    unit.element.focus({preventScroll: true});
    unit.element.scrollIntoView({block: "nearest"});
    if (open) explain(unit);
  }

  function showTip(unit) {
    tipped = unit;
    const order = data.labels.map((name, label) => [chance(unit, label), name]).sort((one, other) => other[0] - one[0]);
    tip.textContent = `${order[0][1]} ${order[0][0].toFixed(2)}${unit.uncertain ? ", uncertain" : ""} · ${order[1][1]} ${order[1][0].toFixed(2)}`;
    tip.hidden = false;
    const place = unit.element.getClientRects()[0];
    if (!place) { tip.hidden = true; return; }
    const above = place.top - tip.offsetHeight - 6;
    tip.style.left = Math.max(4, Math.min(place.left, document.documentElement.clientWidth - tip.offsetWidth - 4)) + "px";
    tip.style.top = (above > 0 ? above : place.bottom + 6) + "px";
  }
  const hideTip = () => { tip.hidden = true; };

  function bars(rows, largest, className) {
    const table = make("table");
    const body = table.appendChild(make("tbody"));
    for (const [name, value, shownValue, about] of rows) {
      const row = body.appendChild(make("tr", value < 0 ? "minus" : ""));
      const head = row.appendChild(make("th", "", name));
      head.scope = "row";
      if (about) head.title = about;
      row.appendChild(make("td", "n", shownValue));
      const bar = row.appendChild(make("td", `track ${className}`)).appendChild(make("span"));
      bar.style.width = largest ? `${Math.max(1, 100 * Math.abs(value) / largest)}%` : "0";
    }
    return table;
  }

  const named = ([group, name, found]) => group === "word" ? `“${name}”` : found ? `${name}: “${found}”` : name;

  // what a cue stands for, in the words of the lexicon
  const about = ([group, name]) => (group === "cue" || group === "context") && why.about[name.split(": ").pop()];

  function moved(unit, label) {
    const [terms] = why.why[unit.a][unit.n];
    const rows = terms.map(([term, ...values]) => [named(why.terms[term]), values[label] / 1000, about(why.terms[term])]);
    const largest = Math.max(...rows.map(([, value]) => Math.abs(value)));
    const total = rows.reduce((sum, [, value]) => sum + value, 0);
    const part = make("div");
    part.appendChild(bars(rows.map(([name, value, meant]) => [name, value, signed(value), meant]), largest, `l${label}`));
    part.appendChild(make("p", "small soft", `Together ${signed(total)}: the score of ${data.labels[label]}.`));
    return part;
  }

  // fill the details with one sentence
  function explain(unit) {
    if (typeof why === "function") why = why();
    if (open) open.element.setAttribute("aria-expanded", "false");
    open = unit;
    unit.element.setAttribute("aria-expanded", "true");
    panel.replaceChildren();
    const close = panel.appendChild(make("button", "close", "Close"));
    close.type = "button";
    close.addEventListener("click", () => { const was = open; shut(); was.element.focus(); });
    const head = panel.appendChild(make("h2"));
    head.append(`${data.labels[unit.label]} ${chance(unit, unit.label).toFixed(2)}${unit.uncertain ? ", uncertain" : ""}`);
    panel.appendChild(make("p", "quote", text(unit)));
    panel.appendChild(make("p", "small soft", `${unit.article.id}, unit ${unit.n}, characters ${unit.row[0]} to ${unit.row[1]}`));
    panel.appendChild(make("h3", "", "How likely each label is"));
    const table = panel.appendChild(bars(data.labels.map((name, label) => [name, chance(unit, label), chance(unit, label).toFixed(2)]), 1, ""));
    table.querySelectorAll(".track").forEach((track, label) => track.classList.add(`l${label}`));
    if (why && why.why[unit.a] && why.why[unit.a][unit.n]) reasons(unit);
    panel.hidden = false;
  }

  function reasons(unit) {
    panel.appendChild(make("h3", "", "What moved it"));
    const choice = panel.appendChild(make("div", "labels"));
    choice.setAttribute("role", "group");
    choice.setAttribute("aria-label", "Toward which label");
    const place = panel.appendChild(make("div"));
    const buttons = data.labels.map((name, label) => {
      const button = choice.appendChild(make("button", "small", name));
      button.type = "button";
      button.addEventListener("click", () => choose(label));
      return button;
    });
    const choose = (label) => {
      buttons.forEach((button, other) => button.setAttribute("aria-pressed", String(other === label)));
      place.replaceChildren(moved(unit, label));
    };
    choose(unit.label);
    const near = why.why[unit.a][unit.n][1];
    if (!near.length) return;
    panel.appendChild(make("h3", "", "Most alike in the corpus"));
    const list = panel.appendChild(make("ol"));
    for (const [number, likeness] of near) {
      const [label, name, where, quote] = why.precedents[number];
      const item = list.appendChild(make("li"));
      item.append(make("strong", label < 0 ? "" : `chip l${label}`, name), ` ${quote} `);
      item.appendChild(make("span", "small soft", `${where}, likeness ${(likeness / 100).toFixed(2)}`));
    }
  }

  function shut() {
    if (open) open.element.setAttribute("aria-expanded", "false");
    open = null;
    panel.hidden = true;
  }

  // listen once; root holds the articles
  function listen(root) {
    root.addEventListener("pointerover", (event) => { const unit = unitOf(event.target); unit && unit.on ? showTip(unit) : hideTip(); });
    root.addEventListener("pointerleave", hideTip);
    root.addEventListener("focusin", (event) => { const unit = unitOf(event.target); if (unit) { hold(unit); showTip(unit); } });
    root.addEventListener("focusout", hideTip);
    addEventListener("scroll", () => {
      if (tip.hidden) return;
      tipped.element === document.activeElement ? showTip(tipped) : hideTip();
    }, {passive: true});
    root.addEventListener("click", (event) => {
      const unit = unitOf(event.target);
      if (!unit || !unit.on || String(getSelection())) return;
      hold(unit);
      open === unit ? shut() : explain(unit);
    });
    root.addEventListener("keydown", (event) => {
      const unit = unitOf(event.target);
      if (!unit || event.ctrlKey || event.altKey || event.metaKey) return;
      const by = {ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1}[event.key];
      if (by) step(unit, by);
      else if (event.key === "Enter" || event.key === " ") open === unit ? shut() : explain(unit);
      else return;
      event.preventDefault();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      hideTip();
      if (open) { const was = open; shut(); was.element.focus(); }
    });
  }

  return {make, block, setup, listen, enter, go, explain, shut, text, chance, units: () => units};
})();
