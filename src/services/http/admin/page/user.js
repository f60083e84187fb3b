// One user as tables: devices and changes, as `/v1/users/…` tells of them. Asks nobody, touches no element.

const DEVICE_COLUMNS = [
  { title: "device", kind: "name" },
  ...["status", "logged in", "last heard", "connection", "versions"].map((title) => ({ title })),
  { title: "session", kind: "number" },
];

const CHANGE_COLUMNS = [
  { title: "change", kind: "name" },
  ...["at", "kind", "device", "address", "forced off", "callback"].map((title) => ({ title })),
];

/** How a status is coloured. */
const STATUS_LEVELS = { Online: "good", PushOnline: "push", Offline: "muted" };

/** How a time is written: how long ago, with the whole of it in the title. */
function agoCell(at, now) {
  const then = Date.parse(at);
  const ahead = then > now + 1000;
  return { text: ahead ? `in ${spanText((then - now) / 1000)}` : `${spanText((now - then) / 1000)} ago`, title: at };
}

function deviceName({ platform, instance }) {
  return `${visibleText(platform)} ${visibleText(instance)}`;
}

function deviceRows(devices, now) {
  return devices.map((device) => [
    deviceName(device),
    { text: statusText(device, now), level: STATUS_LEVELS[device.status] ?? "" },
    agoCell(device.login_at, now),
    agoCell(device.heard_at, now),
    device.address === null ? "none" : `${visibleText(device.address)}, ${visibleText(device.transport)}`,
    device.address === null ? "–" : versionsText(device),
    String(device.session),
  ]);
}

function statusText({ status, background, until }, now) {
  const also = [background ? "in the background" : "", until ? `ends ${agoCell(until, now).text}` : ""];
  return [visibleText(status), ...also.filter((text) => text)].join(", ");
}

function versionsText({ app_version: app, sdk_version: sdk }) {
  return [app ? `app ${visibleText(app)}` : "", sdk ? `SDK ${visibleText(sdk)}` : ""].filter((text) => text).join(", ") || "–";
}

/** The newest first. */
function changeRows(changes, now) {
  return changes.toReversed().map((change) => [
    String(change.change),
    { text: timeText(Date.parse(change.at), now), title: `${change.at}, ${agoCell(change.at, now).text}` },
    visibleText(change.kind),
    deviceName(change.device),
    change.address === null ? "–" : visibleText(change.address),
    change.forced_off.map((device) => `${deviceName(device)} (${visibleText(device.status)})`).join(", ") || "–",
    change.callback === null ? "none" : "yes",
  ]);
}

/** The user in one sentence. */
function userText({ status, devices, change, kicked_at: kickedAt }, now) {
  const kicked = kickedAt === null ? "" : `; kicked ${agoCell(kickedAt, now).text}`;
  return `${visibleText(status)}, ${amountText(devices.length, "device")}, ${amountText(change, "change")}${kicked}`;
}
