"""The keys and the certificate of one run, by which its processes know each other over TLS. Needs the package cryptography."""

from __future__ import annotations

import datetime

import distributed
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# Always, because clocks of machines differ: what ends the use of a certificate is that its key is forgotten with the run.
_BEGIN, _END = datetime.datetime(1970, 1, 1), datetime.datetime(2100, 1, 1)
_NAME = 'easycluster-dask'


def security_of_this_run() -> distributed.Security:
    """TLS both ways with one new key, which scheduler, workers and clients all have and nobody else."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(_NAME)]), critical=False)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_BEGIN)
        .not_valid_after(_END)
        .sign(private, hashes.SHA256())
    )
    key = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    public = certificate.public_bytes(serialization.Encoding.PEM).decode()
    return distributed.Security(
        require_encryption=True,
        tls_ca_file=public,
        **{'tls_%s_%s' % (role, kind): text
           for role in ('client', 'scheduler', 'worker') for kind, text in (('key', key), ('cert', public))},
    )  # fmt: skip
