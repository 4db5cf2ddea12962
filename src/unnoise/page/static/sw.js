// The service worker: it keeps all files of the page, answers from these alone, and never passes a request on.

const { VERSION, FILES, LATER, HEADERS, WORKER_POLICY } = self.BUILD;
const CACHE = `unnoise-${VERSION}`;
const here = (path) => new URL(path, self.registration.scope).href;

self.addEventListener("install", (event) => {
  event.waitUntil(keep().then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  event.waitUntil(forget().then(() => self.clients.claim()));
});

async function keep() {
  const cache = await caches.open(CACHE);
  await cache.addAll(FILES.map((path) => new Request(here(path), { cache: "no-cache" })));
}

/** Remove what earlier versions have kept. */
async function forget() {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith("unnoise-") && name !== CACHE).map((name) => caches.delete(name)));
}

self.addEventListener("fetch", (event) => {
  event.respondWith(answer(event.request));
});

async function answer(request) {
  const { origin, pathname } = new URL(request.url);
  const address = `${origin}${pathname}`.replace(/\/index\.html$/, "/");
  if (request.method !== "GET") return Response.error();
  const cache = await caches.open(CACHE);
  let kept = await cache.match(address);
  if (!kept && [...LATER, ...FILES].some((path) => here(path) === address)) {
    await cache.add(address); // a large file that few browsers need, or one that the browser has thrown away
    kept = await cache.match(address);
  }
  if (!kept) return new Response("", { status: 404 });
  const headers = new Headers(kept.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  if (request.destination === "worker") headers.set("Content-Security-Policy", WORKER_POLICY);
  return new Response(kept.body, { status: 200, headers });
}
