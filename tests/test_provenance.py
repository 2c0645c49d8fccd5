"""Content credentials: a picture that is signed here with the real library, as it is and altered."""

import io
from datetime import datetime, timedelta
from pathlib import Path

import pytest

c2pa = pytest.importorskip("c2pa", reason="c2pa-python is not installed")

from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # noqa: E402

from stream.check.checker import check_file  # noqa: E402
from stream.check.order import CheckOptions  # noqa: E402
from stream.check.provenance import provenance_of  # noqa: E402

PORTRAIT = Path(__file__).parent.parent / "stream" / "assets" / "grace_hopper.jpg"
BEGIN = datetime(2026, 1, 1)
TAKEN = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
MANIFEST = {
    "claim_generator_info": [{"name": "a camera", "version": "1"}],
    "title": "portrait",
    "assertions": [
        {
            "label": "c2pa.actions",
            "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": TAKEN}]},
        }
    ],
}


def certificate(subject: str, key: ec.EllipticCurvePrivateKey, issuer: str, by: ec.EllipticCurvePrivateKey):
    """As the specification wants it: an authority, or one who signs."""
    authority = subject == issuer
    names = [
        x509.Name([x509.NameAttribute(oid, word) for oid in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)])
        for word in (subject, issuer)
    ]
    usage = x509.KeyUsage(not authority, False, False, False, False, authority, authority, False, False)
    builder = (
        x509.CertificateBuilder(issuer_name=names[1], subject_name=names[0])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGIN)
        .not_valid_after(BEGIN + timedelta(days=36500))
        .add_extension(x509.BasicConstraints(authority, None), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), False)
        .add_extension(usage, True)
    )
    if not authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
    return builder.sign(by, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    authority, leaf = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    chain = certificate("Camera Inc", leaf, "Authority", authority)
    chain += certificate("Authority", authority, "Authority", authority)
    private = leaf.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    info = c2pa.C2paSignerInfo(
        alg=c2pa.C2paSigningAlg.ES256, sign_cert=chain, private_key=private, ta_url=None
    )
    out = io.BytesIO()
    with PORTRAIT.open("rb") as source:
        c2pa.Builder(MANIFEST).sign(c2pa.Signer.from_info(info), "image/jpeg", source, out)
    path = tmp_path_factory.mktemp("signed") / "signed.jpg"
    path.write_bytes(out.getvalue())
    return path


def test_who_signed_is_told_and_that_nobody_vouches_for_him(signed: Path):
    report = check_file(signed, CheckOptions()).report
    assert report.error is None
    assert report.provenance.status == "untrusted"
    assert "Camera Inc" in report.provenance.text
    assert "a camera" in report.provenance.text
    assert report.fake is not None  # what is signed is judged all the same


def test_an_altered_picture_is_told(signed: Path, tmp_path: Path):
    data = bytearray(signed.read_bytes())
    data[-5000] ^= 1
    (tmp_path / "altered.jpg").write_bytes(data)
    assert provenance_of(tmp_path / "altered.jpg").status == "broken"


def test_most_files_have_none(tmp_path: Path):
    assert provenance_of(PORTRAIT).status == "absent"
    (tmp_path / "text.jpg").write_text("not a picture")
    assert provenance_of(tmp_path / "text.jpg").status in ("absent", "not read", "broken")
