"use strict";
// The page works without this file. It adds copying, a countdown, and changes as they happen:
// the server renders every state, and this puts the new one in the place of the old.
(() => {
  const main = () => document.getElementById("checkout");

  const addCopyButtons = () => {
    if (!navigator.clipboard) return;
    for (const value of document.querySelectorAll("[data-copy]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = "Copy";
      button.setAttribute("aria-label", "Copy " + value.dataset.copy);
      button.addEventListener("click", async () => {
        try {
          await navigator.clipboard.writeText(value.dataset.copy);
          button.textContent = "Copied";
        } catch {
          getSelection().selectAllChildren(value);
          button.textContent = "Press Ctrl+C";
        }
        setTimeout(() => { button.textContent = "Copy"; }, 1600);
      });
      value.parentElement.append(button);
    }
  };

  const clock = (seconds) => {
    const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
    if (parts[0] === 0) parts.shift();
    return parts.map((part, i) => (i ? String(part).padStart(2, "0") : part)).join(":");
  };

  const tick = () => {
    const expires = main().dataset.expires;
    const line = document.querySelector(".time");
    if (!expires || !line) return;
    const left = Math.floor((Date.parse(expires) - Date.now()) / 1000);
    if (left > 24 * 3600) return;
    line.textContent = left > 0 ? "Pay within " + clock(left) : "The time is over";
    line.classList.toggle("soon", left < 120);
  };

  const refresh = async () => {
    const chosen = document.querySelector("input[name=way]:checked")?.value;
    const answer = await fetch(location.pathname, { cache: "no-store" });
    if (!answer.ok) return;
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = next.getElementById("checkout");
    if (!fresh) return;
    document.title = next.title;
    main().replaceWith(document.importNode(fresh, true));
    for (const input of document.querySelectorAll("input[name=way]")) {
      if (input.value === chosen) input.checked = true;
    }
    addCopyButtons();
    tick();
  };

  const rest = (milliseconds) => new Promise((over) => setTimeout(over, milliseconds));

  const listen = () => {
    let told = main().dataset.pulse;
    let busy = false;
    // Until the page shows what it was told of: one that stays as it was asks to be paid again.
    const catchUp = async () => {
      if (busy) return;
      busy = true;
      for (let wait = 500; main().dataset.pulse !== told; wait = Math.min(2 * wait, 10000)) {
        await refresh().catch(() => {});
        if (main().dataset.pulse !== told) await rest(wait);
      }
      busy = false;
    };
    const stream = new EventSource(location.pathname + "/events");
    stream.addEventListener("state", (event) => {
      told = event.data;
      catchUp();
    });
    // What is refused (too many, or a restart behind a proxy) a browser asks for no more by itself.
    stream.addEventListener("error", () => {
      if (stream.readyState === EventSource.CLOSED) setTimeout(again, 10000);
    });
  };

  const again = async () => {
    await refresh().catch(() => {});
    if (!main().hasAttribute("data-settled")) listen();
  };

  addCopyButtons();
  tick();
  setInterval(tick, 1000);
  if (!main().hasAttribute("data-settled")) listen();
})();
