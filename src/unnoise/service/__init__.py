"""The HTTP service and its web page; needs the extra `serve`.

From the bottom up: `limits` and `problems` (what is allowed, and how a refusal is reported), `jobs` (progress of a
request), `operations` (what is done with an image), `request_body` (from the network to bytes), `pool` (threads),
`telemetry` (metrics and logs), `middleware` (authentication, hosts, headers, slow clients), `schemas` and `app` (the
routes), and `server` (sockets).
"""
