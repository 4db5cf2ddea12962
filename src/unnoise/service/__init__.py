"""The service: pictures cleaned over HTTP, and the page for a browser.

A wing of the house: only the command line leads into it, and nothing else needs its libraries (the extra `serve`). From
the ground up: `limits` and `problems` (what is allowed, and how a refusal is told), `tasks` (one request's work),
`work` (what is done with a picture), `bodies` (from the wire to bytes), `pool` (threads), `watch` (metrics and logs),
`door` (who may come in), `schemas` and `app` (the addresses), and `server` (sockets).
"""
