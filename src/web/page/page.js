// What the page does besides, where scripts run. It needs none of it.
"use strict";
(() => {
  const { home, events } = document.body.dataset;
  const live = () => document.getElementById("live");
  // The answer to a form that is under way knows better where to.
  let sent = false;
  const leave = () => sent || location.replace(home);
  const units = [["month", 43200], ["day", 1440], ["hour", 60], ["minute", 1]];
  let skew;

  const times = () => {
    const lang = document.documentElement.lang, shown = live();
    if (!shown || !Intl.RelativeTimeFormat.supportedLocalesOf(lang).length) return;
    // By the server's clock: this one may be wrong.
    skew ??= Date.now() - Date.parse(shown.dataset.now);
    const ago = new Intl.RelativeTimeFormat(lang);
    const exact = new Intl.DateTimeFormat(lang, { dateStyle: "long", timeStyle: "short" });
    for (const time of shown.querySelectorAll("time")) {
      const at = new Date(time.dateTime), minutes = (Date.now() - skew - at) / 60000;
      time.title = exact.format(at);
      const unit = units.find(([, size]) => minutes >= size);
      if (unit) time.textContent = ago.format(-Math.floor(minutes / unit[1]), unit[0]);
    }
  };

  // The list as it is now, but never under somebody's hands.
  const refresh = async (headers) => {
    try {
      const answer = await fetch(home, { headers, redirect: "manual", cache: "no-store" });
      if (answer.type === "opaqueredirect" || answer.status === 401) return leave();
      const text = answer.ok ? await answer.text() : "", shown = live();
      const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("live");
      if (!fresh || !shown || shown.querySelector(".rename[open], :active")) return;
      const focused = shown.contains(document.activeElement) && document.activeElement.id;
      const opened = shown.querySelector(".history[open]");
      shown.replaceWith(fresh);
      if (opened) fresh.querySelector(".history")?.toggleAttribute("open");
      if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
      skew = undefined;
      times();
    } catch { /* Away: it stays as it is. */ }
  };

  const listen = () => {
    const stream = new EventSource(events);
    stream.addEventListener("ended", leave);
    // Where it was refused the page may know better; asked for so, it is no activity.
    stream.onerror = async () => {
      if (stream.readyState !== EventSource.CLOSED) return;
      await refresh({ Accept: "text/event-stream" });
      setTimeout(listen, 10000);
    };
  };

  // What was done is told once, not on each reload.
  if (location.search) history.replaceState(null, "", location.pathname);
  times();
  setInterval(times, 30000);
  if (!events) return;
  addEventListener("submit", () => sent = true);
  listen();
  const look = () => document.hidden || refresh();
  addEventListener("focus", look);
  addEventListener("pageshow", (shown) => shown.persisted && (sent = false, refresh()));
  document.addEventListener("visibilitychange", look);
})();
