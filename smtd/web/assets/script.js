// What makes the pages more pleasant where JavaScript runs; each works without it.
"use strict";

// Times in the reader's own zone; the exact UTC time stays in the title.
function localTimes(root) {
  const form = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  for (const each of root.querySelectorAll("time[datetime]")) {
    const at = new Date(each.dateTime);
    if (!Number.isNaN(at.getTime())) {
      each.title = each.dateTime;
      each.textContent = form.format(at);
    }
  }
}

// A form is sent once: the second click of a double click does nothing.
function sendOnce(event) {
  const form = event.target;
  if (form.method !== "post") return;
  if (form.dataset.sent) { event.preventDefault(); return; }
  form.dataset.sent = "yes";
  setTimeout(() => { for (const each of form.querySelectorAll("button")) each.disabled = true; });
}

// Back to a page from the browser's memory: its forms can be sent again.
function sendAgain() {
  for (const form of document.forms) {
    delete form.dataset.sent;
    for (const each of form.querySelectorAll("button")) each.disabled = false;
  }
}

// An element with data-live gets its parts from that address: {"id of a part": "its HTML"}. The server writes
// the HTML. A hidden page closes its stream: browsers allow only six to a host.
function live(element) {
  let stream = null;
  const word = element.querySelector("[data-live-word]");
  const say = (text) => { if (word) word.textContent = text; };
  function open() {
    if (stream || document.hidden) return;
    stream = new EventSource(element.dataset.live);
    stream.onopen = () => say("live");
    stream.onerror = () => say("not connected; trying again");
    stream.onmessage = (event) => {
      for (const [id, html] of Object.entries(JSON.parse(event.data))) {
        const part = document.getElementById(id);
        if (part && !part.contains(document.activeElement)) { part.innerHTML = html; localTimes(part); }
      }
    };
  }
  function close() { if (stream) { stream.close(); stream = null; say("paused"); } }
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", open);
  open();
}

document.addEventListener("DOMContentLoaded", () => {
  localTimes(document);
  document.addEventListener("submit", sendOnce);
  window.addEventListener("pageshow", (event) => { if (event.persisted) sendAgain(); });
  for (const each of document.querySelectorAll("[data-live]")) live(each);
});
