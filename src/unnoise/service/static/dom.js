// Elements of the page, and what is said in it.

export const $ = (id) => document.getElementById(id);

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** Let screen readers say a text. */
export function announce(said) {
  $("live").textContent = said;
}

/** Show a text beside the download button, or on the start page. */
export function showAlert(said) {
  const alert = $($("work").hidden ? "welcome-alert" : "alert");
  alert.textContent = said;
  alert.hidden = false;
}

export function hideAlert() {
  $("alert").hidden = $("welcome-alert").hidden = true;
}

/** Return a function that calls `action` once it has not been called for a while. */
export function debounced(action, milliseconds) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, milliseconds);
  };
}
