// The report: filters, search, download, light and dark. Needs units.js.
(() => {
  const data = communique.block("data");
  const all = communique.setup(data, () => communique.block("reasons"));
  const $ = (id) => document.getElementById(id);
  const articles = data.articles.map((_, a) => $(`a${a}`));
  const main = $("articles");
  const labels = [...document.querySelectorAll("#filters [name=label]")];
  const number = new Intl.NumberFormat("en");
  communique.listen(main);
  $("filters").hidden = $("tools").hidden = false;

  // units by article, and the block that each stands in
  const byArticle = data.articles.map(() => []);
  for (const unit of all) {
    unit.block = unit.element.parentElement;
    byArticle[unit.a].push(unit);
  }
  const lower = (unit) => unit.lower ??= communique.text(unit).toLowerCase();

  function highlight(words, shown) {
    if (!("highlights" in CSS)) return;
    CSS.highlights.delete("found");
    if (!words) return;
    const ranges = [];
    for (const unit of shown.slice(0, 2000)) {
      const node = unit.element.lastChild, own = node.data.toLowerCase();
      if (own.length !== node.data.length) continue;
      for (let at = own.indexOf(words); at >= 0; at = own.indexOf(words, at + words.length)) {
        const range = new Range();
        range.setStart(node, at);
        range.setEnd(node, at + words.length);
        ranges.push(range);
      }
    }
    CSS.highlights.set("found", new Highlight(...ranges));
  }

  function filter() {
    const wanted = labels.map((box) => box.checked);
    const least = Number($("least").value) / 100;
    const doubt = $("doubt").value, source = $("source").value;
    const words = $("search").value.trim().toLowerCase();
    const only = $("only").checked;
    $("least-out").textContent = least.toFixed(2);
    main.classList.toggle("only", only);
    const shown = [];
    let documents = 0;
    byArticle.forEach((units, a) => {
      const here = source === "" || data.articles[a].source === source;
      let some = false;
      for (const unit of units) {
        const on = here && wanted[unit.label] && communique.chance(unit, unit.label) >= least
          && (doubt === "" || unit.uncertain === (doubt === "only")) && (words === "" || lower(unit).includes(words));
        if (on !== unit.on) { unit.on = on; unit.element.classList.toggle("off", !on); }
        if (on) { some = true; shown.push(unit); }
      }
      const any = units.length === 0 && here && words === "";
      articles[a].hidden = !(some || any);
      if (some) documents++;
      const blocks = new Map();
      for (const unit of units) blocks.set(unit.block, blocks.get(unit.block) || unit.on || !only);
      blocks.forEach((on, block) => { block.hidden = !on; });
    });
    const plural = (count, word) => `${number.format(count)} ${word}${count === 1 ? "" : "s"}`;
    $("found").textContent = `${plural(shown.length, "sentence")} of ${number.format(all.length)} in ${plural(documents, "article")} of ${number.format(articles.length)}`;
    highlight(words, shown);
    communique.enter();
    $("articles").removeAttribute("aria-busy");
  }

  let waiting;
  $("filters").addEventListener("input", (event) => {
    clearTimeout(waiting);
    $("articles").setAttribute("aria-busy", "true");
    waiting = setTimeout(filter, event.target.type === "search" || event.target.type === "range" ? 120 : 0);
  });
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("clear").addEventListener("click", () => { $("filters").reset(); filter(); });

  // a cell that a spreadsheet would take for a formula gets an apostrophe, as one types it there
  const cell = (value) => {
    let written = value === null || value === undefined ? "" : String(value);
    if (typeof value === "string" && /^[=+\-@\t\r]/.test(written)) written = "'" + written;
    return /[",\r\n]/.test(written) ? `"${written.replaceAll('"', '""')}"` : written;
  };
  $("download").addEventListener("click", () => {
    const head = ["document", "index", "kind", "section", "start", "end", "text", "label", "confidence", "uncertain",
      ...data.labels.map((label) => `p_${label}`), "title", "date", "source"];
    const lines = [head.join(",")];
    for (const unit of all) {
      if (!unit.on) continue;
      const {article, row} = unit;
      const chances = data.labels.map((_, label) => communique.chance(unit, label));
      lines.push([article.id, unit.n, data.kinds[row[2]], article.sections[row[3]], row[0], row[1], communique.text(unit),
        data.labels[unit.label], chances[unit.label], unit.uncertain ? "True" : "False", ...chances,
        article.title, article.date, article.source].map(cell).join(","));
    }
    const link = communique.make("a");
    const url = URL.createObjectURL(new Blob(["\ufeff", lines.join("\n"), "\n"], {type: "text/csv"}));
    link.href = url;
    link.download = "communique.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  });

  const root = document.documentElement;
  const keep = (value) => { try { localStorage.setItem("communique-theme", value); } catch { /* a page from a mail has no storage */ } };
  const kept = () => { try { return localStorage.getItem("communique-theme") || ""; } catch { return ""; } };
  const theme = (value) => { if (value) root.dataset.theme = value; else delete root.dataset.theme; $("theme").value = value; };
  theme(["light", "dark"].includes(kept()) ? kept() : "");
  $("theme").addEventListener("change", () => { theme($("theme").value); keep($("theme").value); });
  $("print").addEventListener("click", () => print());
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((one) => { one.open = true; });
  });
  addEventListener("afterprint", () => closed.forEach((one) => { one.open = false; }));

  // #u3-7 leads to a sentence, also from the lists above
  function follow() {
    const unit = all.find((one) => one.element.id === location.hash.slice(1));
    if (!unit) return;
    if (!unit.on) { $("filters").reset(); filter(); }
    unit.element.scrollIntoView({block: "center"});
    unit.element.focus({preventScroll: true});
  }
  addEventListener("hashchange", follow);
  filter();
  follow();
  root.dataset.ready = "yes";
})();
