/* Passkeys: adding one, confirming a login, and signing a statement. Progressive: without this file, or where the browser knows no
   passkeys, forms work with a code or a password. Options come from the server as JSON; answers go back in a hidden field. */
const bytes = text => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), c => c.charCodeAt(0));
const text = buffer => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const known = list => (list || []).map(one => ({ ...one, id: bytes(one.id) }));
const usable = () => Boolean(window.PublicKeyCredential && navigator.credentials);

const get = async options => {
  const made = await navigator.credentials.get({ publicKey: { ...options, challenge: bytes(options.challenge), allowCredentials: known(options.allowCredentials) } });
  const { authenticatorData, clientDataJSON, signature, userHandle } = made.response;
  const response = { authenticatorData: text(authenticatorData), clientDataJSON: text(clientDataJSON), signature: text(signature) };
  if (userHandle) response.userHandle = text(userHandle);
  return { id: made.id, rawId: text(made.rawId), type: made.type, response, clientExtensionResults: made.getClientExtensionResults() };
};

const create = async options => {
  const user = { ...options.user, id: bytes(options.user.id) };
  const made = await navigator.credentials.create({ publicKey: { ...options, user, challenge: bytes(options.challenge), excludeCredentials: known(options.excludeCredentials) } });
  const response = { clientDataJSON: text(made.response.clientDataJSON), attestationObject: text(made.response.attestationObject) };
  return { id: made.id, rawId: text(made.rawId), type: made.type, response, clientExtensionResults: made.getClientExtensionResults() };
};

const sentence = (error, origin) => {
  if (error.name === "NotAllowedError" || error.name === "AbortError") return "Nothing was signed: the passkey was not used, or its time ran out. Try again, or choose another way.";
  if (error.name === "SecurityError") return `Passkeys work only at ${origin}. Open the portal at that address.`;
  if (error.name === "InvalidStateError") return "This passkey is one of yours already.";
  return `The passkey could not be used (${error.name}).`;
};
const say = (form, words) => { const box = form.querySelector("[data-passkey-problem]"); box.textContent = words; box.hidden = !words; };
const missing = origin => (usable() ? (location.origin === origin ? "" : `Passkeys work only at ${origin}.`) : "This browser knows no passkeys.");

/* one ceremony for a form at a time; the form is sent as any other once the passkey has answered, by htmx where it would be */
const answered = new WeakSet();
const run = async (form, field, ceremony, origin, submitter) => {
  if (form.dataset.busy) return;
  form.dataset.busy = "1"; say(form, "");
  try {
    const answer = await ceremony();
    if (answer) form.elements[field].value = JSON.stringify(answer);
    if (form.hasAttribute("hx-post")) { answered.add(form); form.requestSubmit(submitter); return; }
    if (submitter?.name) { const chosen = document.createElement("input"); chosen.type = "hidden"; chosen.name = submitter.name; chosen.value = submitter.value; form.append(chosen); }
    HTMLFormElement.prototype.submit.call(form);
  } catch (error) {
    say(form, sentence(error, origin));
  } finally {
    delete form.dataset.busy;
  }
};

/* the challenge is the digest of what would be recorded now; nothing to sign means that the server has something to say instead */
const challenge = async (form, submitter) => {
  const data = new FormData(form, submitter);
  data.set("prepare", "passkey");
  const answer = await fetch(form.getAttribute("action") || location.href, { method: "POST", body: data, headers: { Accept: "application/json" } });
  if (answer.status >= 500) throw Object.assign(new Error("server"), { name: `error ${answer.status}` });
  const isJson = (answer.headers.get("Content-Type") || "").startsWith("application/json");
  return answer.ok && isJson ? (await answer.json()).publicKey : null;
};

/* heard on the way down, so that htmx sends nothing before the passkey has answered */
document.addEventListener("submit", event => {
  const form = event.target, box = form.querySelector("[data-confirm]");
  if (answered.delete(form) || !box || event.defaultPrevented || !form.querySelector("[name=method][value=passkey]").checked || missing(box.dataset.origin)) return;
  event.preventDefault(); event.stopPropagation();
  run(form, "assertion", async () => { const options = await challenge(form, event.submitter); return options && get(options); }, box.dataset.origin, event.submitter);
}, true);

document.addEventListener("submit", event => {
  const form = event.target, options = form.dataset.passkeyOptions && document.getElementById(form.dataset.passkeyOptions);
  if (!options || event.defaultPrevented) return;
  event.preventDefault();
  const wanted = JSON.parse(options.textContent), origin = form.dataset.origin, why = missing(origin);
  if (why) { say(form, why); return; }
  run(form, "credential", () => (wanted.creation_options ? create(wanted.creation_options.publicKey) : get(wanted.request_options.publicKey)), origin, null);
});

/* the way with the passkey is offered first where it works; the secret's field shows only where the secret is chosen */
const show = form => { const secret = form.querySelector("[data-secret]"); if (secret) secret.hidden = form.querySelector("[name=method][value=passkey]").checked; };
document.addEventListener("change", event => { if (event.target.name === "method" && event.target.form?.querySelector("[data-confirm]")) show(event.target.form); });
const offer = () => document.querySelectorAll("[data-confirm]:not([data-offered])").forEach(box => {
  const why = missing(box.dataset.origin), note = box.querySelector("[data-passkey-missing]"), form = box.closest("form");
  if (why) { if (note) note.textContent = `The rules of this decision ask for your passkey. ${why}`; return; }
  box.dataset.offered = "1"; box.hidden = false;
  if (note) note.remove();
  box.querySelector("[data-passkey-choice]").hidden = false;
  form.querySelector("[name=method][value=passkey]").checked = !form.querySelector("[data-secret] [aria-invalid=true]");
  show(form);
});
offer();
document.addEventListener("htmx:after:swap", offer);
