// The page to try the client: a form, the status, and what events there were. Keeps no UserSig.

import { connect } from "/client.js";

/** Where the gateway takes WebSockets is not known here: the port of the example in the manual, at the host of this page. */
const USUAL_PORT = 9005;
const EVENTS_MAX = 200;
/** Of a message, as far as it is shown. */
const CHARACTERS_MAX = 500;
const form = document.getElementById("form").elements;
const status = document.getElementById("status");
const events = document.getElementById("events");
let terminal = null;

const given = new URLSearchParams(location.search);
const scheme = location.protocol === "https:" ? "wss" : "ws";
form.url.value = given.get("url") ?? `${scheme}://${location.hostname}:${USUAL_PORT}/`;
form.userId.value = given.get("userId") ?? "";

function show(name, text) {
  const line = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString();
  const cells = [name, text].map((content) => Object.assign(document.createElement("span"), { textContent: content }));
  line.append(time, ...cells);
  events.prepend(line);
  if (events.children.length > EVENTS_MAX) events.lastChild.remove();
}

function setStatus(kind, text) {
  status.dataset.status = kind;
  status.textContent = text;
  const isUp = terminal !== null && terminal.status !== "stopped";
  form.connect.disabled = isUp;
  for (const name of ["logout", "close", "background"]) form[name].disabled = !isUp;
}

const said = ({ code, text }) => (code ? `${text} (code ${code})` : text);
const onMessage = ({ from, kind, text }) => show("message", `${from ? `from ${from}, ` : ""}${kind}: ${text().slice(0, CHARACTERS_MAX)}`);
const advice = {
  logIn: "log in again",
  renewUserSig: "get another UserSig",
  nothing: "trying again changes nothing",
  connect: "the session can be resumed",
};

document.getElementById("form").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  const [url, userId, userSig] = [form.url, form.userId, form.userSig].map((field) => field.value.trim());
  try {
    terminal = connect({ url, userId, userSig, onMessage, keep: form.keep.checked ? "sessionStorage" : "memory" });
  } catch (error) {
    return setStatus("forced", `${error.message}`);
  }
  form.background.setAttribute("aria-pressed", "false");
  let wasForced = false;
  setStatus("connecting", "connecting");
  terminal.on("online", ({ session, instance, resumed, forcedOff }) => {
    setStatus("online", "online");
    const others = forcedOff.length ? `; forced off: ${forcedOff.join(", ")}` : "";
    show("online", `session ${session}${resumed ? ", resumed" : ""}, instance ${instance}${others}`);
  });
  terminal.on("reconnecting", (event) => {
    setStatus("connecting", "reconnecting");
    show("reconnecting", `${said(event)}; attempt ${event.attempt} in ${(event.inMs / 1000).toFixed(1)} s`);
  });
  terminal.on("forcedOffline", (event) => {
    wasForced = true;
    show("forcedOffline", `${said(event)}${event.winner ? `; by ${event.winner}` : ""}`);
  });
  terminal.on("stopped", (event) => {
    setStatus(wasForced ? "forced" : "stopped", wasForced ? "forced offline" : "stopped");
    show("stopped", `${said(event)}; ${advice[event.next]}`);
  });
});

form.logout.addEventListener("click", () => terminal.logout());
form.close.addEventListener("click", () => terminal.close());
form.background.addEventListener("click", () => {
  const isPressed = form.background.getAttribute("aria-pressed") !== "true";
  form.background.setAttribute("aria-pressed", `${isPressed}`);
  terminal.setBackground(isPressed);
});
