"""Certificates for the tests of TLS, made by openssl."""
import subprocess


def make_certificate(folder, name, issuer=None, days=2):
    """A certificate for 127.0.0.1 in name.pem and name.key, its own issuer or signed by one."""
    key, certificate = f"{folder}/{name}.key", f"{folder}/{name}.pem"
    signed = ["-CA", f"{folder}/{issuer}.pem", "-CAkey", f"{folder}/{issuer}.key"] if issuer else []
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", str(days), "-subj",
                    f"/CN={name}",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate,
                    *signed], check=True, capture_output=True)
    return certificate, key
