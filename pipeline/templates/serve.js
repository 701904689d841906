// What the pages of the server share: asking it, with the token where there is one, and saying what went wrong.
const server = (() => {
  const at = (id) => document.getElementById(id);
  const KEY = "communique-token";
  // the address may bring the token behind its #, which browsers send nowhere; it is taken out of sight at once
  const brought = new URLSearchParams(location.hash.slice(1)).get("token");
  if (brought) {
    sessionStorage.setItem(KEY, brought);
    history.replaceState(null, "", location.pathname);
  }

  function wrong(error) {
    const place = at("wrong");
    place.hidden = !error;
    if (!error) { place.textContent = ""; return; }
    const known = error.code ? error : {message: "The server does not answer: it may have stopped.", remedy: "start it again, then try once more"};
    place.textContent = [known.where ? `${known.where}: ` : "", known.message, known.remedy ? ` (${known.remedy})` : ""].join("");
    if (error.code === "unauthorised") { at("token-row").hidden = false; at("token").focus(); }
  }

  async function ask(path, body) {
    const headers = {};
    const token = sessionStorage.getItem(KEY);
    if (token) headers.Authorization = `Bearer ${token}`;
    const options = {headers, cache: "no-store"};
    if (body instanceof FormData) Object.assign(options, {method: "POST", body});
    else if (body !== undefined) {
      headers["Content-Type"] = "application/json";
      Object.assign(options, {method: "POST", body: JSON.stringify(body)});
    }
    const response = await fetch(path, options);
    const content = await response.json();
    if (!response.ok) throw content.error;
    return content;
  }

  // retry is what to do once a token was given
  function onToken(retry) {
    const use = () => { sessionStorage.setItem(KEY, at("token").value.trim()); at("token-row").hidden = true; retry(); };
    at("token-go").addEventListener("click", use);
    at("token").addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); use(); } });
  }

  // the same elements as _article.html.j2 makes
  function sentence(a, s) {
    const span = communique.make("span", `u l${s.label}${s.uncertain ? " q" : ""}`);
    span.id = `u${a}-${s.number}`;
    const mark = span.appendChild(communique.make("b", "", s.letter + (s.uncertain ? "?" : "")));
    mark.appendChild(communique.make("i", "", ` ${s.said} `));
    mark.appendChild(communique.make("small", "", s.chance));
    span.append(s.text);
    return span;
  }

  function paragraphs(a, all) {
    return all.map(({kind, sentences}) => {
      const element = communique.make({heading: "h4", bullet: "ul"}[kind] || "p");
      for (const s of sentences) {
        if (kind === "bullet") element.appendChild(communique.make("li")).appendChild(sentence(a, s));
        else element.append(sentence(a, s), " ");
      }
      return element;
    });
  }

  return {at, ask, wrong, onToken, paragraphs};
})();
