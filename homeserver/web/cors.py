"""The CORS headers that every answer carries, whatever its status.

Source: client-server API, "Web Browser Clients".
"""

METHODS = "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH"

HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": METHODS,
    "Access-Control-Allow-Headers": "X-Requested-With, Content-Type, Authorization, Date",
}

# Ready to be written: a header block is put together from bytes, not from a mapping, on the hot path.
BLOCK = b"".join(f"{name}: {value}\r\n".encode() for name, value in HEADERS.items())

# Browsers keep a pre-flight's result for so long (Chromium caps it at two hours), which saves a round trip a request.
MAX_AGE = {"Access-Control-Max-Age": "86400"}
