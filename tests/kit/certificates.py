"""Certificates by the openssl command: right ones, and wrong ones named for their defect."""

import datetime
import itertools
import pathlib
import subprocess

_CA = """basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
subjectAltName = URI:spiffe://{trust_domain}
"""
_LEAF = """basicConstraints = critical,{constraints}
keyUsage = critical,{usage}
extendedKeyUsage = serverAuth,clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = critical,{names}
"""
_numbers = itertools.count()


def openssl(*arguments, **options):
    done = subprocess.run(["openssl", *(str(a) for a in arguments)], capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


def _time(offset_s):
    return (datetime.datetime.utcnow() + datetime.timedelta(seconds=offset_s)).strftime("%Y%m%d%H%M%SZ")


class Svid:
    """Three PEM files, and what they are."""

    def __init__(self, certificate, key, bundle, spiffe_id):
        self.certificate, self.key, self.bundle, self.spiffe_id = certificate, key, bundle, spiffe_id

    def serial(self):
        """As Lanyard writes it: lower-case hex without leading zero bytes."""
        text = openssl("x509", "-in", self.certificate, "-noout", "-serial").strip().partition("=")[2].lower()
        return text[2:] if text.startswith("00") else text


class Authority:
    """A self-signed authority of a trust domain, in its own folder."""

    def __init__(self, folder, trust_domain="example.org"):
        self.trust_domain = trust_domain
        self.folder = pathlib.Path(folder) / f"ca-{next(_numbers)}"
        self.folder.mkdir(mode=0o755)
        self.bundle, self._key = self.folder / "ca.pem", self.folder / "ca.key"
        (self.folder / "index.txt").touch()
        (self.folder / "openssl.cnf").write_text(
            f"[ca]\ndefault_ca = d\n[d]\ndir = {self.folder}\nnew_certs_dir = {self.folder}\n"
            f"database = {self.folder}/index.txt\ncertificate = {self.bundle}\nprivate_key = {self._key}\n"
            "default_md = sha256\nrand_serial = yes\nunique_subject = no\npolicy = p\n[p]\ncommonName = optional\n"
            "[req]\ndistinguished_name = dn\nx509_extensions = v3\nprompt = no\n"
            f"[dn]\nCN = {trust_domain} {self.folder.name}\n[v3]\n" + _CA.format(trust_domain=trust_domain))
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-keyout", self._key, "-out", self.bundle, "-config", self.folder / "openssl.cnf")

    def svid(self, path, starts_s=-60, ends_s=3600, uris=None, constraints="CA:FALSE", usage="digitalSignature",
             more=""):
        """An SVID for spiffe://<trust domain><path>; the other arguments make it wrong."""
        spiffe_id = f"spiffe://{self.trust_domain}{path}"
        stem = self.folder / f"svid-{next(_numbers)}"
        key, request, certificate, extensions = (pathlib.Path(f"{stem}.{end}") for end in ("key", "csr", "pem", "ext"))
        names = ",".join(f"URI:{uri}" for uri in (uris or [spiffe_id]))
        extensions.write_text(_LEAF.format(constraints=constraints, usage=usage, names=names) + more)
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/",
                "-keyout", key, "-out", request)
        openssl("ca", "-batch", "-config", self.folder / "openssl.cnf", "-in", request, "-out", certificate,
                "-notext", "-startdate", _time(starts_s), "-enddate", _time(ends_s), "-extfile", extensions)
        return Svid(certificate, key, self.bundle, spiffe_id)
