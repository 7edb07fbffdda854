// Entering a page, the events it lives on, and leaving it.

/** Milliseconds before events that ended for good are asked for again. */
const AGAIN = 3000;

/**
 * Gives what the server says of who looks. `take` gets every event, `lost` is called when they end; nothing is asked for
 * while nobody can see the page, and `seen` is told of that.
 */
export async function attend({ take, lost, seen = () => {} }) {
  let events = null;
  const listen = () => {
    events?.close();
    events = new EventSource("/api/events");
    events.onmessage = (event) => take(JSON.parse(event.data));
    events.onerror = async () => {
      lost();
      if (events.readyState !== EventSource.CLOSED) return;
      const answer = await fetch("/api/entry").catch(() => null);
      if (answer?.status === 401) location.assign("/login");
      else setTimeout(listen, AGAIN);
    };
  };
  document.addEventListener("visibilitychange", () => {
    seen(!document.hidden);
    if (document.hidden) {
      events?.close();
      events = null;
    } else {
      listen();
    }
  });
  const answer = await fetch("/api/entry");
  if (answer.status === 401) location.assign("/login");
  const entry = await answer.json();
  const leave = document.getElementById("leave");
  leave.hidden = !entry.session;
  leave.addEventListener("click", async () => {
    await fetch("/logout", { method: "POST", headers: { "X-Fieldmark-Csrf": entry.csrf } });
    location.assign("/login");
  });
  listen();
  return entry;
}
