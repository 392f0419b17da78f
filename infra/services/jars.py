"""Fetches the Delta JARs with the resolver inside Spark (Ivy) and verifies them against pinned checksums."""

import hashlib
import shutil
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

import pyspark

from infra.runtime.errors import CustomsError, TryAgainError, ended
from infra.runtime.settings import REPOSITORY, get_settings
from infra.runtime.spark import JARS, is_from_wheel, java_home

ENVS = REPOSITORY / "infra" / "envs"
PINS = ENVS / "jars.sha256"
_SYSTEM_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


def pinned() -> dict[str, str]:
    """Return file name to SHA-256 of the JARs."""
    lines = PINS.read_text(encoding="ascii").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def wrong_jars(folder: Path = JARS) -> list[str]:
    """Return the pinned JARs that are missing in a folder or differ from their checksum."""
    return [
        name
        for name, digest in pinned().items()
        if not (folder / name).is_file() or hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest
    ]


def _certificate_bundle() -> Path | None:
    """Return the machine's bundle of trusted certificates: pip's if one is configured, else the system's."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    configured = [line.partition("=")[2].strip("'\"") for line in listing.splitlines() if ".cert=" in line]
    default = ssl.get_default_verify_paths().cafile
    return next((Path(p) for p in [*configured, default, *_SYSTEM_BUNDLES] if p and Path(p).is_file()), None)


def _trust_options(folder: Path) -> list[str]:
    """Return options that let the wheel's Java trust what the machine trusts; it knows public authorities only."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import NoEncryption, pkcs12

    bundle = _certificate_bundle()
    if bundle is None:
        return []
    certificates = dict.fromkeys(x509.load_pem_x509_certificates(bundle.read_bytes()))
    store = folder / "trust.p12"
    entries = [pkcs12.PKCS12Certificate(c, f"ca{i}".encode()) for i, c in enumerate(certificates)]
    store.write_bytes(pkcs12.serialize_java_truststore(entries, NoEncryption()))
    return [f"-Djavax.net.ssl.trustStore={store}", "-Djavax.net.ssl.trustStoreType=PKCS12"]


def _proxy_options() -> list[str]:
    """Return the proxy of this session as Java options: Java does not read the usual variables."""
    options = []
    for scheme in ("http", "https"):
        if proxy := getproxies().get(scheme):
            address = urlsplit(proxy if "//" in proxy else f"//{proxy}")
            options += [f"-D{scheme}.proxyHost={address.hostname}", f"-D{scheme}.proxyPort={address.port or 80}"]
    return options


def fetch() -> None:
    """Fetch the pinned JARs into ``.jars/``; nothing is left there unless all checksums are right.

    Raises:
        TryAgainError: the repository could not be reached.
        CustomsError: a file differs from its pinned checksum.
    """
    if not wrong_jars():
        return
    resolver = next((Path(pyspark.__file__).parent / "jars").glob("ivy-*.jar"))
    home = java_home()
    with tempfile.TemporaryDirectory(prefix="customs-jars-") as scratch:
        folder = Path(scratch)
        # an empty cache of its own: Ivy breaks where a half-filled local Maven cache exists
        trust = _trust_options(folder) if is_from_wheel(home) else []
        command = [home / "bin" / "java", *trust, *_proxy_options(), "-jar", resolver]
        command += ["-settings", get_settings().ivy_settings or ENVS / "ivysettings.xml", "-ivy", ENVS / "jars.ivy.xml"]
        command += ["-cache", folder / "cache", "-confs", "default", "-types", "jar"]
        command += ["-retrieve", f"{folder}/jars/[artifact]-[revision].[ext]"]
        done = subprocess.run([str(part) for part in command], check=False, timeout=600)
        if done.returncode != 0 or not (folder / "jars").is_dir():
            raise TryAgainError("The Delta JARs could not be fetched: see the lines above.")
        if wrong := wrong_jars(folder / "jars"):
            raise CustomsError(f"{', '.join(wrong)} missing or not what {PINS} pins: refused.")
        JARS.mkdir(exist_ok=True)
        for name in pinned():
            shutil.copy(folder / "jars" / name, JARS / name)


if __name__ == "__main__":
    sys.exit(ended(fetch))
