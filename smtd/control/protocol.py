"""What travels on the control socket: one JSON object a line.

A client sends one request, `{"verb": "status", …}`, and reads answers until the daemon closes: as a
rule one, `{"ok": true, "result": {…}}` or `{"ok": false, "error": "…", "code": 1}`; `events` with
`follow` sends one for each event. docs/control.md lists the verbs.
"""

from __future__ import annotations

#: Bytes that a request may have, and seconds that a client may take to send it.
LARGEST_REQUEST, PATIENCE = 65_536, 10.0
#: Clients that are served at once.
MOST_CLIENTS = 100
