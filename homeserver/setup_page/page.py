"""`/_hearth/setup`: a form without scripts; the token of its link is what proves that the operator sends it."""

from importlib import resources
from typing import Any, Protocol
from urllib.parse import parse_qs

from attrs import frozen

from homeserver.web.call import Call
from homeserver.web.replies import Answer, Reply
from homeserver.web.router import Access, route
from matrix.errors import MatrixError
from matrix.ids import ServerName, UserId, is_new_localpart

PATH = "/_hearth/setup"
# A name, a token and two passwords, each percent-encoded.
MAX_FORM_BYTES = 16 * 1024
MIN_PASSWORD = 8
# Longer ones cost hashing time and are no better.
MAX_PASSWORD_BYTES = 512

# Nobody may frame the page, script it, keep it, or learn its address (which holds the token) from a link on it.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class FirstUser(Protocol):
    """Makes the first account, once."""

    async def is_open(self, token: str) -> bool:
        """Can the account be made with this token?"""
        ...

    async def create(self, token: str, localpart: str, password: str) -> UserId:
        """The new administrator. Raises: MatrixError, whose message the page shows."""
        ...


class FormFault(Exception):
    """What to tell the person at the form."""


@frozen
class Form:
    token: str
    localpart: str
    password: str


class SetupPage:
    """The form, its style, and what it says when the account is made.

    `base_url` is what clients connect to; None: what the form was sent to.
    """

    def __init__(self, *, first_user: FirstUser, server_name: ServerName, base_url: str | None = None) -> None:
        self._first_user = first_user
        self._server_name = server_name
        self._base_url = base_url
        self._style = resources.files("homeserver.setup_page").joinpath("style.css").read_bytes()

    @route("GET", PATH, access=Access.PUBLIC)
    async def show_form(self, call: Call) -> Answer:
        token = call.query.text("token", "")
        if not token:
            return self._refusal("This link is not complete")
        if not await self._first_user.is_open(token):
            return self._refusal("This link has been used or is too old")
        return self._form(200, token=token)

    @route("GET", f"{PATH}/style.css", access=Access.PUBLIC)
    async def style(self, call: Call) -> Answer:
        return Reply(200, self._style, "text/css; charset=utf-8", headers=_HEADERS)

    @route("POST", PATH, access=Access.PUBLIC, max_body_bytes=MAX_FORM_BYTES)
    async def submit(self, call: Call) -> Answer:
        # The token is the protection against forged requests; what a browser itself calls foreign is refused first.
        if call.headers.get("sec-fetch-site") not in (None, "same-origin", "none"):
            return self._refusal("This link is not complete")
        fields = _fields(call.body)
        token, localpart = fields.get("token", ""), fields.get("localpart", "")
        try:
            form = read_form(fields, self._server_name)
            user_id = await self._first_user.create(form.token, form.localpart, form.password)
        except FormFault as fault:
            return self._form(400, token=token, localpart=localpart, fault=str(fault))
        except MatrixError as error:
            return self._form(error.status, token=token, localpart=localpart, fault=error.message)
        return self._page("done.html", 200, user_id=user_id, base_url=self._base_url_of(call))

    def _base_url_of(self, call: Call) -> str:
        if self._base_url is not None:
            return self._base_url.rstrip("/")
        scheme = "https" if call.is_secure else "http"
        return f"{scheme}://{call.headers.get('host') or self._server_name}"

    def _refusal(self, fault: str) -> Reply:
        return self._page("incomplete.html", 403, fault=fault)

    def _form(self, status: int, *, token: str, localpart: str = "", fault: str | None = None) -> Reply:
        return self._page("form.html", status, token=token, localpart=localpart, fault=fault)

    def _page(self, template: str, status: int, **values: Any) -> Reply:
        text = _render(template, server_name=self._server_name, path=PATH, min_password=MIN_PASSWORD, **values)
        return Reply(status, text, "text/html; charset=utf-8", headers=_HEADERS)


def _render(template: str, **values: Any) -> str:
    # Here, not above: a server needs it once in its life.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("homeserver.setup_page")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined).get_template(template).render(values)


def read_form(fields: dict[str, str], server_name: ServerName) -> Form:
    """The form as it was filled in. A whole user id of this server is taken for its localpart.

    Raises: FormFault.
    """
    localpart = fields.get("localpart", "").strip().lower().removeprefix("@").removesuffix(f":{server_name}")
    password = fields.get("password", "")
    if not is_new_localpart(localpart):
        raise FormFault("A user name is made of the letters a to z, digits and . _ = / + -")
    if password != fields.get("password_again", ""):
        raise FormFault("The two passwords differ.")
    if len(password) < MIN_PASSWORD:
        raise FormFault(f"The password must have at least {MIN_PASSWORD} characters.")
    if len(password.encode("utf-8", "surrogatepass")) > MAX_PASSWORD_BYTES:
        raise FormFault(f"The password must have at most {MAX_PASSWORD_BYTES} bytes.")
    return Form(fields.get("token", ""), localpart, password)


def _fields(body: bytes) -> dict[str, str]:
    """A form's fields, the last of each name; none of a body that is no form."""
    try:
        parsed = parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=10, errors="strict")
    except ValueError:
        return {}
    return {name: values[-1] for name, values in parsed.items()}
