"""The web page without a server: a folder of static files in which the browser itself denoises.

The page is that of `service`; `static/service.js` replaces its calls to the server by a worker that runs the bundled
networks in ONNX Runtime's build for browsers. From the bottom up: `runtime` (that build, from the registry of npm),
`settings` (the constants of the algorithms, for the JavaScript), and `build` (the folder).
"""
