"""Authorities and certificates, made for a test."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
DAY = datetime.timedelta(days=1)


@dataclass
class Identity:
    """A certificate and its key, as PEM files too."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    files: tuple[Path, Path]


def identity(folder: Path, name: str, issuer: Identity | None = None, *, days: int = 1, use: x509.ObjectIdentifier | None = None) -> Identity:
    """``issuer`` None makes an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"), x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(
        subject if issuer is None else issuer.certificate.subject, subject, key.public_key(), 0xA1B2C3, NOW - 3 * DAY, NOW + days * DAY
    ).add_extension(x509.BasicConstraints(issuer is None, None), True)
    if use is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([use]), False)
    if name == "localhost":
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
    certificate = builder.sign(key if issuer is None else issuer.key, SHA256())
    files = folder / f"{name}.pem", folder / f"{name}.key"
    files[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Identity(certificate, key, files)
