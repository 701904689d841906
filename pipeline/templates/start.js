// The start page: a text or a file to the server, and the tinted sentences that come back.
(() => {
  const {at, ask, wrong, onToken, paragraphs} = server;
  const settings = communique.block("settings");
  const {make} = communique;
  let asked = 0, last = null;

  const bodyOf = (what) => {
    if (!(what instanceof File)) return {text: what};
    const form = new FormData();
    form.append("file", what);
    return form;
  };

  function article(one, page) {
    const element = make("article", "article");
    const head = element.appendChild(make("h3"));
    head.appendChild(make("bdi", "", one.id === "text" && one.title === "text" ? "Your article" : one.title));
    const counts = page.labels.map((name, label) => `${one.counts[label]} ${name}`).join(", ");
    element.appendChild(make("p", "meta soft small", [counts, `${one.uncertain} uncertain`, ...one.warnings].join(" · ")));
    element.append(...paragraphs(one.number, one.paragraphs));
    return element;
  }

  async function classify(what) {
    last = what;
    const mine = ++asked;
    const size = what instanceof File ? what.size : new Blob([what]).size;
    wrong(null);
    if (!size) { wrong({code: "empty", message: "There is nothing to classify yet.", remedy: "paste an article or choose a file"}); return; }
    if (size > settings.maxBytes) { wrong({code: "too_large", message: `This has ${size.toLocaleString("en")} bytes; the server takes ${settings.maxBytes.toLocaleString("en")}.`}); return; }
    at("said").textContent = "Reading …";
    at("go").disabled = true;
    try {
      const found = await ask("/page/article", bodyOf(what));
      if (mine === asked) show(found, what, mine);
    } catch (error) {
      at("said").textContent = "";
      wrong(error);
    } finally {
      at("go").disabled = false;
    }
  }

  function show(found, what, mine) {
    communique.units().length && communique.shut();
    at("articles").replaceChildren(...found.articles.map((one) => article(one, found.page)));
    at("result").hidden = false;
    const why = {terms: [], precedents: [], why: []};
    const units = communique.setup(found.page, why);
    at("said").textContent = `${units.length} sentences, headings and list items in ${found.articles.length === 1 ? "1 article" : `${found.articles.length} articles`}.`;
    if (found.failures.length) wrong({code: "partly", message: found.failures.join("; ")});
    if (units.length) units[0].element.focus();
    explain(what, why, found.model, mine);
  }

  // the explanations come after the labels, which are there at once
  async function explain(what, why, model, mine) {
    try {
      const reasons = await ask("/page/reasons", bodyOf(what));
      if (mine !== asked || reasons.model !== model) return;
      Object.assign(why, reasons);
      document.documentElement.dataset.explained = String(mine);
      const open = document.querySelector(".u[aria-expanded=true]");
      if (open) communique.explain(communique.units().find((unit) => unit.element === open));
    } catch (error) {
      if (mine === asked && error.code === "starting") { setTimeout(explain, 2000, what, why, model, mine); return; }
      if (mine === asked) at("said").textContent += ` No explanations: ${error.message || "the server does not answer"}.`;
    }
  }

  at("ask").addEventListener("submit", (event) => { event.preventDefault(); classify(at("text").value); });
  at("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); classify(at("text").value); }
  });
  at("file").addEventListener("change", () => { if (at("file").files[0]) classify(at("file").files[0]); });
  addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dropping"); });
  addEventListener("dragleave", () => document.body.classList.remove("dropping"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    const file = event.dataTransfer.files[0];
    const text = event.dataTransfer.getData("text/plain");
    if (file) classify(file);
    else if (text) { at("text").value = text; classify(text); }
  });
  onToken(() => { if (last !== null) classify(last); });
  communique.listen(at("articles"));
})();
