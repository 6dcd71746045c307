// The control: refreshes whenever it is refused, and signs out whenever that fails.
export class Naive {
  async fetch(path, init = {}) {
    const pair = JSON.parse(localStorage.getItem("session"));
    const send = (token) => fetch(path, { ...init, headers: { Authorization: `Bearer ${token}` } });
    const answer = await send(pair.access_token);
    if (answer.status !== 401) return answer;
    const refreshed = await fetch("/auth/refresh", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ refresh_token: pair.refresh_token }),
    });
    if (!refreshed.ok) {
      localStorage.removeItem("session");
      return refreshed;
    }
    const now = await refreshed.json();
    localStorage.setItem("session", JSON.stringify(now));
    return send(now.access_token);
  }
}
