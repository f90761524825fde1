"""Signing in as a person of Slack: by a user token (xoxp-), or by what a browser holds (xoxc- and its cookie)."""

from collections.abc import Callable, Sequence

from appservice.bridges.core.errors import LoginLost, NetworkError, Refused
from appservice.bridges.core.ids import JsonDict
from appservice.bridges.core.network import LoginField, LoginFlow
from appservice.bridges.core.outgoing import Login
from appservice.bridges.slack.api import Account, SlackApi
from appservice.bridges.slack.ids import login_id, person_id
from appservice.bridges.slack.scopes import NEEDED_USER_SCOPES
from appservice.bridges.slack.team import Team
from matrix.ids import UserId

FLOWS: Sequence[LoginFlow] = (
    LoginFlow(
        id="token",
        name="User token",
        instructions=(
            "On https://api.slack.com/apps open the app of this bridge, *OAuth & Permissions*, and install it to your"
            " workspace as yourself. Send the **User OAuth Token** (it begins with `xoxp-`)."
        ),
        fields=(LoginField(id="token", label="User OAuth Token", pattern=r"xoxp-[A-Za-z0-9-]+"),),
    ),
    LoginFlow(
        id="browser",
        name="From the browser",
        instructions=(
            "Brings typing, presence, read markers and pressed buttons too. Open Slack in a private window of your"
            " browser and sign in. In the developer tools, under *Storage*, *Cookies*, copy the value of `d` (it begins"
            " with `xoxd-`); and in the *Console* `JSON.parse(localStorage.localConfig_v2).teams` shows your `token`"
            " (it begins with `xoxc-`). Close the window without signing out."
        ),
        fields=(
            LoginField(id="token", label="Token (xoxc-)", pattern=r"xoxc-[A-Za-z0-9-]+"),
            LoginField(id="cookie", label="Cookie d (xoxd-)", pattern=r"xoxd-[A-Za-z0-9%/+=._-]+"),
        ),
    ),
)


async def log_in(api: SlackApi, find_team: Callable[[str], Team | None], user_id: UserId, values: JsonDict) -> Login:
    """Tries the token. Raises: Refused, with what is wrong with it."""
    token, cookie = str(values.get("token", "")).strip(), str(values.get("cookie") or "").strip()
    if not token.startswith(("xoxp-", "xoxc-")):
        raise Refused("a user's token begins with xoxp- or xoxc-; that of a bot or an app is of no use here")
    if token.startswith("xoxc-") and not cookie:
        raise Refused("a token from the browser needs its cookie `d` (it begins with xoxd-)")
    account = Account(token, cookie=cookie or None)
    try:
        answer, headers = await api.call_with_headers(account, "auth.test")
    except LoginLost as error:
        raise Refused(f"Slack does not take this token: {error}") from error
    _check_scopes(account, headers.get("x-oauth-scopes") or "")
    team, user = str(answer["team_id"]), str(answer["user_id"])
    if find_team(team) is None:
        raise Refused(f"this bridge is not for the workspace {answer.get('team')}: the app has to be installed there")
    credentials = {"token": token} | ({"cookie": cookie} if cookie else {})
    name = f"{answer.get('user')} ({answer.get('team')})"
    return Login(
        id=login_id(team, user), user_id=user_id, person=person_id(team, user), name=name, credentials=credentials
    )


def _check_scopes(account: Account, granted: str) -> None:
    if account.is_browser:
        return
    missing = NEEDED_USER_SCOPES - {scope.strip() for scope in granted.split(",")}
    if missing:
        raise Refused(f"the token lacks the scopes {', '.join(sorted(missing))}: add them to the app's user scopes")


async def revoke(team: Team, login: Login) -> None:
    """A token of our app's ends here. The browser's is left alone: its owner may still be using it."""
    account = team.account(login)
    if account.is_browser:
        return
    try:
        await team.api.call(account, "auth.revoke")
    except NetworkError:
        # It was revoked before, or Slack is away: it is forgotten all the same.
        return
