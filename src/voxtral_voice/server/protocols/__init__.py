"""What stands between a socket and the app: uvicorn's protocols, with an end to everything that a client can draw out.

    heads    PatientHttp       HTTP: how long a request's head may take, how large it may be
    full     RefusingHttp      the same for a server that is full: refused with the head of the request
    frames   BoundedWebSocket  WebSocket: what is no message yet
    buffers  PacedWebSocket    the same for clients that are slow, silent or greedy

The server runs `full` and `buffers`; each goes on where the one above it ends. Keys and sessions are not known here.
"""
