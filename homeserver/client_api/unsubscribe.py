"""Where the link leads that ends mails: a page with one button, and what mail programs ask on their own.

The page itself ends nothing, since programs that look after people's mail open every link in it.

Source: RFC 8058, "Mail Receivers When Unsubscribing"; the path is Synapse's, which proxies let through.
"""

from homeserver.services.push.unsubscribing import PATH, Unsubscribing
from homeserver.web.call import Call
from homeserver.web.pages import page
from homeserver.web.replies import Answer
from homeserver.web.router import Access, Body, route
from matrix.errors import MatrixError
from matrix.ids import UserId

_TITLE = "End these mails"
MAX_FORM_BYTES = 1_024


class UnsubscribeApi:
    def __init__(self, *, unsubscribing: Unsubscribing) -> None:
        self._unsubscribing = unsubscribing

    @route("GET", PATH, access=Access.PUBLIC)
    async def show(self, call: Call) -> Answer:
        try:
            _, _, address = self._read(call)
        except MatrixError as error:
            return page("This did not work", error.message, status=error.status)
        # To the same address: the token stays in the query.
        form = '<form method="post"><button>Send me no more mails</button></form>'
        return page(_TITLE, f"{address} gets a mail when there is something to read.", form=form)

    @route("POST", PATH, access=Access.PUBLIC, body=Body.JSON, max_body_bytes=MAX_FORM_BYTES)
    async def end(self, call: Call) -> Answer:
        """What is in the body does not matter: it is a form with nothing in it, or says that one click was enough."""
        try:
            user_id, app_id, address = self._read(call)
        except MatrixError as error:
            return page("This did not work", error.message, status=error.status)
        await self._unsubscribing.end(user_id, app_id, address)
        return page("Done", f"{address} gets no more of these mails.")

    def _read(self, call: Call) -> tuple[UserId, str, str]:
        """Whose mails to which address. Raises: MatrixError."""
        query = call.query
        user_id = query.parsed("user_id", UserId)
        app_id, address = query.text("app_id"), query.text("pushkey")
        self._unsubscribing.check(user_id, app_id, address, query.text("access_token"))
        return user_id, app_id, address
