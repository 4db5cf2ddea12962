// The dialog that asks for the key of the service.

import { $ } from "./dom.js";
import { ServiceError, onKey } from "./service.js";
import { text } from "./words.js";

let asking = null;

/** Ask the user for the key, once for all requests that wait for it. */
function askForKey(wrong) {
  asking ??= new Promise((resolve, reject) => {
    const dialog = $("key-dialog");
    $("key-title").dataset.text = wrong ? "key-wrong" : "key-title";
    $("key-title").textContent = text($("key-title").dataset.text);
    $("key").value = "";
    $("key-form").onsubmit = () => resolve($("key").value); // and the dialog closes
    dialog.oncancel = () => reject(new ServiceError(401));
    dialog.showModal();
  }).finally(() => (asking = null));
  return asking;
}

onKey(askForKey);
