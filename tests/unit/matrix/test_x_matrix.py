"""The Authorization header of servers. Source: server-server API, "Request Authentication"."""

import pytest

from matrix import signing, unpadded_base64
from matrix.errors import BadSignature
from matrix.ids import ServerName
from matrix.signing import SigningKey
from matrix.x_matrix import MAX_CHARACTERS, BadXMatrix, XMatrix, sign_request, signed_forms

ORIGIN, DESTINATION = ServerName("from.test"), ServerName("to.test")
KEY = SigningKey.from_seed("key1", b"1" * 32)
EXAMPLE = XMatrix(ORIGIN, DESTINATION, "ed25519:key1", "ABCDEF")


def test_the_example_of_the_specification_is_read() -> None:
    header = (
        'X-Matrix origin="origin.hs.example.com",destination="destination.hs.example.com",'
        'key="ed25519:key1",sig="ABCDEF"'
    )
    assert XMatrix.parse(header) == XMatrix(
        ServerName("origin.hs.example.com"), ServerName("destination.hs.example.com"), "ed25519:key1", "ABCDEF"
    )


@pytest.mark.parametrize(
    "header",
    [
        'X-Matrix origin="from.test",destination="to.test",key="ed25519:key1",sig="ABCDEF"',
        "X-Matrix origin=from.test,destination=to.test,key=ed25519:key1,sig=ABCDEF",
        'x-matrix sig="ABCDEF",KEY="ed25519:key1",Origin=from.test,destination="to.test"',
        'X-Matrix   origin="from.test" \t, \tdestination="to.test" , key="ed25519:key1",sig="ABCDEF"',
        'X-Matrix origin="from\\.test",destination="to.test",key="ed25519:\\key1",sig="ABCDEF"',
        'X-Matrix origin="from.test",destination="to.test",key="ed25519:key1",sig="ABCDEF",new=x',
        'X-Matrix origin="from.test",destination="to.test",key="ed25519:key1",signature="ABCDEF"',
    ],
)
def test_every_way_to_write_the_header_is_read(header: str) -> None:
    assert XMatrix.parse(header) == EXAMPLE


def test_a_server_of_old_does_not_name_the_destination() -> None:
    assert XMatrix.parse('X-Matrix origin=a.test,key="ed25519:1",sig="AB/+"').destination is None


def test_names_with_ports_and_addresses_need_no_quotes() -> None:
    assert XMatrix.parse("X-Matrix origin=[2001:db8::1]:8448,key=ed25519:1,sig=AB==").origin == "[2001:db8::1]:8448"


def test_the_header_is_written_as_servers_of_old_want_it() -> None:
    assert EXAMPLE.header() == ('X-Matrix origin="from.test",destination="to.test",key="ed25519:key1",sig="ABCDEF"')


@pytest.mark.parametrize(
    "header",
    [
        "",
        "X-Matrix",
        "Bearer abc",
        'X-Matrix origin="a.test"',
        'X-Matrix origin="a.test",key="ed25519:1"',
        'X-Matrix key="ed25519:1",sig="AB"',
        'X-Matrix origin="a.test,key="ed25519:1",sig="AB"',
        'X-Matrix origin="a.test" key="ed25519:1" sig="AB"',
        'X-Matrix origin="a.test",origin="b.test",key="ed25519:1",sig="AB"',
        'X-Matrix origin="a/b",key="ed25519:1",sig="AB"',
        'X-Matrix origin="a.test",destination="",key="ed25519:1",sig="AB"',
        'X-Matrix origin="a.test",key="rsa:1",sig="AB"',
        'X-Matrix origin="a.test",key="ed25519:",sig="AB"',
        'X-Matrix origin="a.test",key="ed25519:1",sig="AB\x00"',
        'X-Matrix origin="a.test",key="ed25519:1",sig="AB',
        'X-Matrix origin="a.test",key="ed25519:1",sig="' + "A" * MAX_CHARACTERS + '"',
        "X-Matrix " + "," * 1000,
        'X-Matrix origin="' + "\\a" * 1500,
    ],
)
def test_what_is_malformed_is_refused(header: str) -> None:
    with pytest.raises(BadXMatrix):
        XMatrix.parse(header)


def _verify(header: str, method: str, target: str, destination: str, body: bytes) -> None:
    """Raises: BadSignature, if the signature is of none of the forms."""
    parsed = XMatrix.parse(header)
    for signed in signed_forms(method, target, parsed.origin, ServerName(destination), body):
        try:
            return signing.verify_bytes(signed, parsed.signature, KEY.verify_key)
        except BadSignature:
            continue
    raise BadSignature("of no form")


def test_a_signed_request_verifies() -> None:
    content = {"pdus": [], "ts": 1}
    header = sign_request("PUT", "/_matrix/federation/v1/send/1?a=b", ORIGIN, DESTINATION, content, KEY)
    for body in (b'{"pdus":[],"ts":1}', b'{ "ts": 1, "pdus": [] }'):
        _verify(header, "PUT", "/_matrix/federation/v1/send/1?a=b", DESTINATION, body)


@pytest.mark.parametrize(
    ("method", "target", "destination", "body"),
    [
        ("POST", "/target", DESTINATION, b'{"a":1}'),
        ("PUT", "/target?more", DESTINATION, b'{"a":1}'),
        ("PUT", "/target", "other.test", b'{"a":1}'),
        ("PUT", "/target", DESTINATION, b'{"a":2}'),
        ("PUT", "/target", DESTINATION, b'{"a":1},"destination":"to.test"'),
        ("PUT", "/target", DESTINATION, b"no JSON"),
        ("PUT", "/target", DESTINATION, b""),
    ],
)
def test_the_signature_covers_all_of_the_request(method: str, target: str, destination: str, body: bytes) -> None:
    header = sign_request("PUT", "/target", ORIGIN, DESTINATION, {"a": 1}, KEY)
    with pytest.raises(BadSignature):
        _verify(header, method, target, destination, body)


def test_a_body_that_cannot_be_written_again_is_verified_as_it_came() -> None:
    body = b'{"pdus":[' + b"[" * 900 + b"]" * 900 + b',{"n":1' + b"0" * 40 + b"}]}"
    rest = b',"destination":"to.test","method":"PUT","origin":"from.test","uri":"/target"}'
    signature = unpadded_base64.encode(KEY.sign(b'{"content":' + body + rest))
    _verify(f'X-Matrix origin="from.test",key="ed25519:key1",sig="{signature}"', "PUT", "/target", DESTINATION, body)


def test_no_body_and_an_empty_object_are_signed_differently() -> None:
    header = sign_request("GET", "/target", ORIGIN, DESTINATION, None, KEY)
    _verify(header, "GET", "/target", DESTINATION, b"")
    with pytest.raises(BadSignature):
        _verify(header, "GET", "/target", DESTINATION, b"{}")
