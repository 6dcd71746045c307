// Keeps an open page up to date. All of it works without: then reload.
const now = document.getElementById("now");
if (now) {
  const news = document.getElementById("news");
  const latest = () => now.querySelector("[data-id]");
  let seen = latest()?.dataset.id;
  let asking = false, again = false;

  const show = async () => {
    if (asking) { again = true; return; }
    asking = true;
    do {
      again = false;
      const answer = await fetch("/now").catch(() => null); // not reached: the stream comes back, and asks anew
      if (answer?.redirected) location.assign(answer.url);
      else if (answer?.ok) {
        const focused = document.activeElement?.id;
        now.innerHTML = await answer.text();
        if (focused && document.activeElement === document.body) document.getElementById(focused)?.focus();
        // A screen reader is told of the newest message alone.
        if (latest() && latest().dataset.id !== seen) news.textContent = latest().dataset.says;
        seen = latest()?.dataset.id;
      }
    } while (again);
    asking = false;
  };

  const events = new EventSource("/changes");
  // What a form leads to knows more than the stream does.
  addEventListener("submit", () => events.close());
  events.addEventListener("changed", show);
  events.addEventListener("ended", (event) => {
    events.close(); // or it would come back, to be refused
    location.assign("/sign-in?because=" + encodeURIComponent(JSON.parse(event.data).reason));
  });
}
