"""What a browser sees that opens the server's address: the operator's web client, or a word that all is well."""

from homeserver.web.call import Call
from homeserver.web.replies import Answer, Reply, redirect
from homeserver.web.router import Access, route

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Hearth</title>
<body style="font-family: sans-serif; max-width: 36em; margin: 4em auto; line-height: 1.5">
<h1>It works: a Hearth is burning here</h1>
<p>This is a <a href="https://matrix.org">Matrix</a> homeserver. To chat, open a Matrix client and give it this
address as your homeserver.</p>
"""


class FrontDoorApi:
    """`web_client`: where `/` leads, if the operator has one."""

    def __init__(self, *, web_client: str | None) -> None:
        self._web_client = web_client

    @route("GET", "/", access=Access.PUBLIC)
    async def get_page(self, call: Call) -> Answer:
        return redirect(self._web_client) if self._web_client else Reply(200, _PAGE, "text/html; charset=utf-8")
