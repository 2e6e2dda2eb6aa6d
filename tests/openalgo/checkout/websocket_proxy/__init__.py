"""In OpenAlgo this imports the server and 29 adapters. Whoever runs it here has made a mistake."""

from mischief import note

note("server")
raise RuntimeError("websocket_proxy/__init__.py was run")
