"""Keys as clients make them: really signed, from seeds, so that a test can name them."""

import hashlib
from typing import Any

from attrs import frozen
from nacl.bindings import crypto_sign_seed_keypair

from matrix import signing, unpadded_base64
from matrix.signing import SigningKey

Json = dict[str, Any]


def make_key(name: str, *, version: str | None = None) -> SigningKey:
    """The key of this name; its id is the version given, else its own public key, as of cross-signing keys."""
    seed = hashlib.sha256(name.encode()).digest()
    public, secret = crypto_sign_seed_keypair(seed)
    return SigningKey(f"ed25519:{version or unpadded_base64.encode(public)}", seed, secret)


def public_of(key: SigningKey) -> str:
    return unpadded_base64.encode(bytes(key.verify_key))


def device_key(user_id: str, device_id: str) -> SigningKey:
    return make_key(f"{user_id} {device_id}", version=device_id)


def device_keys(user_id: str, device_id: str, **more: Any) -> Json:
    """The identity keys of a device, signed by it."""
    key = device_key(user_id, device_id)
    keys = {
        "user_id": user_id,
        "device_id": device_id,
        "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
        "keys": {f"curve25519:{device_id}": "3C5BFWi2Y8MaVvjM8M22DBmh24PmgR0nPvJOIArzgyI", key.key_id: public_of(key)},
        **more,
    }
    return signing.sign_json(keys, user_id, key)


def one_time_keys(user_id: str, device_id: str, *names: str, **more: Any) -> Json:
    """Signed one-time keys by `signed_curve25519:<name>`."""
    key = device_key(user_id, device_id)
    return {
        f"signed_curve25519:{name}": signing.sign_json({"key": f"curve {name}", **more}, user_id, key) for name in names
    }


@frozen
class Identity:
    """The three cross-signing keys of a user."""

    user_id: str
    master: SigningKey
    self_signing: SigningKey
    user_signing: SigningKey

    def uploaded(self) -> Json:
        """The body of /keys/device_signing/upload."""
        return {
            "master_key": self.public("master"),
            "self_signing_key": signing.sign_json(self.public("self_signing"), self.user_id, self.master),
            "user_signing_key": signing.sign_json(self.public("user_signing"), self.user_id, self.master),
        }

    def public(self, usage: str) -> Json:
        key: SigningKey = getattr(self, usage)
        return {"user_id": self.user_id, "usage": [usage], "keys": {key.key_id: public_of(key)}}

    def sign(self, usage: str, obj: Json) -> Json:
        """The object with only this key's signature."""
        key: SigningKey = getattr(self, usage)
        return signing.sign_json({**obj, "signatures": {}}, self.user_id, key)


def identity(user_id: str, name: str = "") -> Identity:
    return Identity(user_id, *(make_key(f"{user_id} {name} {usage}") for usage in ("msk", "ssk", "usk")))
