// Theme, copying of code, and the search. Everything on a page works without it but these.
(() => {
  const root = document.documentElement;
  const up = document.body.dataset.up;
  const keep = (name, value) => { try { localStorage.setItem(name, value); } catch (e) { /* file: may refuse */ } };

  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    keep("theme", root.dataset.theme);
  });

  const here = document.querySelector("nav [aria-current]");
  if (here) here.closest("nav").scrollTop = Math.max(0, here.offsetTop - 200);

  for (const block of document.querySelectorAll("div.code")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = document.body.dataset.copy;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(block.querySelector("code").textContent);
      button.textContent = "✓";
      setTimeout(() => { button.textContent = document.body.dataset.copy; }, 1500);
    });
    if (navigator.clipboard) block.append(button);
  }

  // ---- the search: an index that is a script, as a page from a file may not fetch one ----------

  const box = document.getElementById("search");
  const list = document.getElementById("found");
  let index = null, chosen = -1;

  // Half-spaces and marks count for nothing, Arabic letters as their Persian forms.
  const plain = (text) => text.toLowerCase().replace(/[\u200b-\u200f\u064b-\u0652\u0640]/g, "")
    .replace(/[\u064a\u0649]/g, "\u06cc").replace(/\u0643/g, "\u06a9");

  const load = () => {
    if (index) return;
    index = [];
    const script = document.createElement("script");
    script.src = up + "search_index.js";
    script.onload = () => {
      index = window.searchIndex.map(([url, page, title, text, lang]) =>
        ({ url, page, title, text, lang, head: plain(title), name: plain(page), body: plain(text) }));
      search();
    };
    document.head.append(script);
  };

  const score = (entry, words) => {
    let sum = entry.lang === root.lang ? 20 : 0;
    for (const word of words) {
      const last = entry.head.split(/::|\s/).pop();
      let found = 0;
      if (entry.head === word || last === word) found = 60;
      else if (entry.head.split(/[\s:,_.]+/).some((part) => part.startsWith(word))) found = 25;
      else if (entry.head.includes(word)) found = 15;
      if (entry.name.includes(word)) found += 10;
      const at = entry.body.indexOf(word);
      if (at >= 0) found += 4 + (at < 200 ? 2 : 0);
      if (!found) return 0;
      sum += found;
    }
    return sum;
  };

  const excerpt = (entry, words) => {
    const at = Math.max(0, ...words.map((word) => plain(entry.text).indexOf(word)));
    const start = Math.max(0, at - 40);
    return (start ? "… " : "") + entry.text.slice(start, start + 140);
  };

  const choose = (place) => {
    const items = list.querySelectorAll("a");
    if (!items.length) return;
    chosen = (place + items.length) % items.length;
    items.forEach((item, i) => item.classList.toggle("chosen", i === chosen));
    items[chosen].scrollIntoView({ block: "nearest" });
  };

  const search = () => {
    const words = plain(box.value).split(/\s+/).filter(Boolean);
    list.replaceChildren();
    chosen = -1;
    list.hidden = !words.length;
    if (!words.length || !index) return;
    const found = index.map((entry) => [score(entry, words), entry]).filter(([n]) => n > 0)
      .sort((a, b) => b[0] - a[0]).slice(0, 20);
    for (const [, entry] of found) {
      const item = document.createElement("a");
      item.href = up + entry.url;
      item.lang = entry.lang;
      item.dir = entry.lang === "fa" ? "rtl" : "ltr";
      const page = entry.page === entry.title ? "" : entry.page;
      for (const [tag, text] of [["b", entry.title], ["i", page], ["span", excerpt(entry, words)]]) {
        const part = document.createElement(tag);
        part.textContent = text;
        item.append(part, " ");
      }
      list.append(item);
    }
    if (!found.length) {
      const none = document.createElement("p");
      none.textContent = document.body.dataset.none;
      list.append(none);
    }
    choose(0);
  };

  box.addEventListener("focus", load);
  box.addEventListener("input", () => { load(); search(); });
  box.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") choose(chosen + 1);
    else if (event.key === "ArrowUp") choose(chosen - 1);
    else if (event.key === "Escape") { box.value = ""; search(); box.blur(); return; }
    else if (event.key === "Enter" && chosen >= 0) list.querySelectorAll("a")[chosen].click();
    else return;
    event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName);
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      box.focus();
    }
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest(".search") || event.target.closest("#found a")) list.hidden = true;
  });
})();
