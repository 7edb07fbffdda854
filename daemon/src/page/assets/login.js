// Gives the token once; a cookie that scripts cannot read is what stays.
const form = document.getElementById("login");
const said = document.getElementById("said");

const reasons = {
  401: "This is not the token.",
  429: "Too many wrong tokens: wait a minute.",
};

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  said.hidden = true;
  const token = document.getElementById("token").value;
  try {
    const answer = await fetch("/login", { method: "POST", body: JSON.stringify({ token }) });
    if (answer.ok) {
      location.assign("/");
      return;
    }
    said.textContent = reasons[answer.status] ?? await answer.text();
  } catch {
    said.textContent = "The node does not answer.";
  }
  said.hidden = false;
});
