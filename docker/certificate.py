"""Makes a self-signed certificate for the decision service, for networks without a CA: give it a folder and names."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAYS = 366
RENEW_BEFORE = 60  # days left at which the next `up` makes another


def certificate(names: list[str], now: datetime) -> tuple[bytes, bytes]:
    """Return certificate and key (PEM) for these host names."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))  # clocks differ
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return built.public_bytes(Encoding.PEM), secret


def still_good(path: Path, now: datetime) -> bool:
    """Whether there is a certificate that lasts."""
    if not path.is_file():
        return False
    return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc - now > timedelta(days=RENEW_BEFORE)


def main(folder: Path, names: list[str]) -> None:
    """Make both files unless they are there and last."""
    now = datetime.now(UTC)
    cert, key = folder / "cert.pem", folder / "key.pem"
    if still_good(cert, now):
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    public, secret = certificate(names, now)
    cert.unlink(missing_ok=True)  # a certificate that is there has its key beside it
    key.unlink(missing_ok=True)
    with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as new:
        new.write(secret)
    cert.write_bytes(public)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
