"""What a text of Discord is made of: a tree that knows neither Markdown nor HTML."""

from attrs import field, frozen


@frozen
class Text:
    text: str


@frozen
class Styled:
    """`style` is strong, em, underline, strike, spoiler, heading1..3, small, quote."""

    style: str
    children: "tuple[Node, ...]"


@frozen
class Code:
    """In a line (language None), or a block of its own."""

    text: str
    language: str | None = None


@frozen
class Link:
    """`children` are empty for a bare address."""

    url: str
    children: "tuple[Node, ...]" = ()


@frozen
class Mention:
    """`kind` is user, role, channel, everyone (id everyone or here), command (id is its name)."""

    kind: str
    id: str


@frozen
class CustomEmoji:
    id: str
    name: str
    is_animated: bool = False


@frozen
class Moment:
    """`style` is one letter of t T d D f F R."""

    seconds: int
    style: str


@frozen
class Item:
    children: "tuple[Node, ...]"


@frozen
class List:
    """`start` is None for one without numbers."""

    items: tuple[Item, ...]
    start: int | None = None


@frozen
class Break:
    """The end of a line."""


Node = Text | Styled | Code | Link | Mention | CustomEmoji | Moment | List | Break
Tree = tuple[Node, ...]


@frozen(kw_only=True)
class Named:
    """What a text names by id, each once, in order."""

    users: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    emoji: tuple[CustomEmoji, ...] = ()
    messages: tuple[tuple[str, str], ...] = field(default=())
