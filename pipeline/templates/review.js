// The review page: one sentence in its article, five keys, and every decision on the server's disk before the next.
(() => {
  const {at, ask, wrong, onToken} = server;
  const {make} = communique;
  const settings = communique.block("settings");
  const NAME = "communique-annotator";
  const WHY = {
    disputed: "Two people gave this different labels: agree on one.",
    uncertain: "The model hesitates here.",
    suspect: "It has a label in the corpus that the model contradicts.",
    rare: "It may have a label of which the corpus has few.",
    random: "Chosen at random.",
  };
  let task = null, busy = false;
  const who = () => at("annotator").value.trim();
  const choices = [...document.querySelectorAll(".choice")];

  function showArticle() {
    at("title").replaceChildren(make("bdi", "", task.title));
    at("article").replaceChildren(...task.paragraphs.map(({kind, sentences}) => {
      const element = make({heading: "h4", bullet: "ul"}[kind] || "p");
      for (const s of sentences) {
        const span = make("span", s.label < 0 ? "r" : `r done l${s.label}`, s.text);
        if (s.label >= 0) span.title = settings.labels[s.label].name;
        if (s.number === task.index) span.setAttribute("aria-current", "true");
        if (kind === "bullet") element.appendChild(make("li")).appendChild(span);
        else element.append(span, " ");
      }
      return element;
    }));
    const now = at("article").querySelector("[aria-current]");
    if (now) now.scrollIntoView({block: "center"});
    scrollTo({top: Math.min(scrollY, at("decide").offsetTop)});
    return now ? now.textContent : "";
  }

  function showModel(open) {
    at("says").hidden = !open;
    at("model").setAttribute("aria-expanded", String(open));
    at("says").replaceChildren();
    if (!open || !task) return;
    if (task.known) at("says").appendChild(make("p", "", `In the corpus: ${task.known}.`));
    for (const [name, label] of Object.entries(task.others)) at("says").appendChild(make("p", "", `${name} says ${label}.`));
    const body = at("says").appendChild(make("table")).appendChild(make("tbody"));
    task.probabilities.forEach((chance, label) => {
      const row = body.appendChild(make("tr"));
      row.appendChild(make("th", "", settings.labels[label].name)).scope = "row";
      row.appendChild(make("td", "n", chance.toFixed(2)));
      row.appendChild(make("td", `track l${label}`)).appendChild(make("span")).style.width = `${Math.max(1, 100 * chance)}%`;
    });
    at("says").scrollIntoView({block: "nearest"});
  }

  function show(state) {
    task = state.task;
    const {mine, labelled, skipped, disputed, left} = state.progress;
    at("bar").max = Math.max(1, left + labelled + skipped);
    at("bar").value = labelled + skipped;
    const told = [`${mine} by you`, `${labelled} labelled in all`, `${left} left`];
    if (disputed) told.push(`${disputed} disputed`);
    at("said").textContent = (state.undone ? `Taken back: ${state.undone}. ` : "") + told.join(", ");
    at("recent").replaceChildren(...state.recent.map((one) => {
      const item = make("li");
      item.appendChild(make("span", one.label < 0 ? "soft" : `chip l${one.label}`, one.name));
      item.append(" ");
      const text = one.text + (one.note ? ` (${one.note})` : "") + (one.disputed ? " [disputed]" : "");
      const link = item.appendChild(make("button", "small", text));
      link.type = "button";
      link.disabled = !one.here;
      link.addEventListener("click", () => go("/review/state", {id: one.id}));
      return item;
    }));
    wrong(state.warnings.length ? {code: "warning", message: state.warnings.join("; ")} : null);
    showModel(false);
    choices.forEach((button) => { button.disabled = !task; button.setAttribute("aria-pressed", String(Boolean(task) && task.mine === button.dataset.label)); });
    at("skip").disabled = at("model").disabled = at("note").disabled = !task;
    at("note").value = (task && task.note) || "";
    document.body.dataset.unit = task ? task.id : "";
    if (!task) {
      at("unit").textContent = "All done: nothing is left in this queue. Start the review again for another.";
      at("why-this").textContent = "";
      at("title").textContent = "";
      at("article").replaceChildren();
      return;
    }
    at("why-this").textContent = [WHY[task.reason] || "", task.article].filter(Boolean).join(" · ");
    at("unit").textContent = showArticle();
    if (document.activeElement === at("note")) at("note").blur();
  }

  async function go(path, body) {
    if (busy) return;
    if (!who()) { wrong({code: "name", message: "Say who you are first: the corpus keeps who labelled."}); at("annotator").focus(); return; }
    busy = true;
    try {
      show(await ask(path, {annotator: who(), ...body}));
    } catch (error) {
      wrong(error);
    } finally {
      busy = false;
    }
  }

  const decide = (label) => { if (task) go("/review/decide", {id: task.id, label, note: at("note").value.trim() || null}); };
  const start = () => go("/review/state", {});

  choices.forEach((button) => button.addEventListener("click", () => decide(button.dataset.label)));
  at("skip").addEventListener("click", () => decide(null));
  at("undo").addEventListener("click", () => go("/review/undo", {}));
  at("model").addEventListener("click", () => showModel(at("says").hidden));
  at("note").addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === "Escape") { event.preventDefault(); at("note").blur(); } });
  at("annotator").value = localStorage.getItem(NAME) || settings.annotator;
  at("annotator").addEventListener("change", () => { localStorage.setItem(NAME, who()); start(); });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || event.target.matches("input")) return;
    const label = settings.labels[Number(event.key) - 1];
    if (label) decide(label.name);
    else if (event.key === "s") decide(null);
    else if (event.key === "u") go("/review/undo", {});
    else if (event.key === "m") { if (task) showModel(at("says").hidden); }
    else if (event.key === "n") { if (task) at("note").focus(); }
    else return;
    event.preventDefault();
  });
  onToken(start);
  start();
})();
