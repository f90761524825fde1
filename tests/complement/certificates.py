"""Certificates of Complement's own authority, whose key each test package makes for itself."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

AUTHORITY = Path("complement", "ca")
_DAY = timedelta(days=1)


def write_certificate(directory: Path, server_name: str) -> None:
    """`server.crt` and `server.key`, signed by the authority in the directory."""
    authority = x509.load_pem_x509_certificate((directory / AUTHORITY / "ca.crt").read_bytes())
    authority_key = serialization.load_pem_private_key((directory / AUTHORITY / "ca.key").read_bytes(), None)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, server_name)]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(server_name)]), critical=False)
        .sign(authority_key, hashes.SHA256())  # type: ignore[arg-type]  # an RSA key
    )
    pem = serialization.Encoding.PEM
    (directory / "server.crt").write_bytes(certificate.public_bytes(pem))
    (directory / "server.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
