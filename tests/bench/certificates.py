"""The certificates every contender gets: P-256 root, intermediate and two leaves with SPIFFE IDs.

The leaves also carry a DNS name, because nginx insists on one when it verifies an upstream.
"""

import pathlib
import subprocess

TRUST_DOMAIN = "bench.test"
CLIENT_ID = f"spiffe://{TRUST_DOMAIN}/client"
SERVER_ID = f"spiffe://{TRUST_DOMAIN}/server"
SERVER_NAME = f"server.{TRUST_DOMAIN}"

_AUTHORITY = f"""
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
subjectAltName = URI:spiffe://{TRUST_DOMAIN}
"""

_LEAF = """
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth,clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = URI:{id},DNS:{name}
"""


def _openssl(*arguments, **options):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, **options)


def _issue(directory, name, extensions, issuer):
    key, request, certificate = (directory / f"{name}.{end}" for end in ("key", "csr", "crt"))
    extension_file = directory / f"{name}.ext"
    extension_file.write_text(extensions)
    _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
    _openssl("req", "-new", "-key", key, "-subj", f"/O=Lanyard benchmark/CN={name}", "-out", request)
    signer = ["-signkey", key] if issuer is None else [
        "-CA", directory / f"{issuer}.crt", "-CAkey", directory / f"{issuer}.key", "-CAcreateserial"]
    _openssl("x509", "-req", "-in", request, "-days", "2", "-sha256", "-extfile", extension_file, "-out", certificate,
             *signer)


def mint(directory: pathlib.Path):
    """Writes root.crt and, for client and server: .key, .chain (leaf, intermediate), .pem (chain and key)."""
    _issue(directory, "root", _AUTHORITY, None)
    _issue(directory, "intermediate", _AUTHORITY + "authorityKeyIdentifier = keyid\n", "root")
    intermediate = (directory / "intermediate.crt").read_text()
    for name, spiffe_id in (("client", CLIENT_ID), ("server", SERVER_ID)):
        _issue(directory, name, _LEAF.format(id=spiffe_id, name=f"{name}.{TRUST_DOMAIN}"), "intermediate")
        chain = (directory / f"{name}.crt").read_text() + intermediate
        (directory / f"{name}.chain").write_text(chain)
        (directory / f"{name}.pem").write_text(chain + (directory / f"{name}.key").read_text())
        _openssl("verify", "-x509_strict", "-CAfile", directory / "root.crt", "-untrusted",
                 directory / "intermediate.crt", directory / f"{name}.crt")
