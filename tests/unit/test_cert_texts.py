"""What is made of the words of ``puppet cert``: those that were recorded, line by line."""

from __future__ import annotations

import pytest

from espm.ca.cert_texts import Listed, blame, failed, fingerprint, listed, said, subject
from espm.errors import (
    BackendRefused,
    BackendUnavailable,
    CertificateUnknown,
    CertnameTaken,
    CsrPending,
    CsrUnknown,
    EspmError,
)
from espm.model.output import Output

NAME = "n.example.com"
HEX = "48:28:BA:01:02:03:04:05:06:07:08:09:0A:0B:0C:48"


def output(text: str, status: int = 0, stderr: str = "") -> Output:
    """Return how a command ended."""
    return Output(status, text.encode(), stderr.encode())


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f"err: Could not call generate: A Certificate already exists for {NAME}", CertnameTaken),
        (f"Error: A Certificate already exists for {NAME}", CertnameTaken),
        (f"err: x: {NAME} already has a signed certificate; ignoring", CertnameTaken),
        (f"err: x: {NAME} already has a requested certificate; ignoring", CsrPending),
        (f"err: Could not call sign: Could not find certificate request for {NAME}", CsrUnknown),
        (f'Error: Could not find CSR for: "{NAME}".', CsrUnknown),
        (f"err: x: Could not find a serial number for {NAME}", CertificateUnknown),
        (f"err: x: Could not find a certificate for {NAME}", CertificateUnknown),
        (f"err: Could not find certificate for {NAME}", CertificateUnknown),
        (
            "err: x: contains subject alternative names (DNS:a), which are disallowed.",
            BackendRefused,
        ),
        ("err: x: a subjectAltName outside the DNS label space: IP", BackendRefused),
        ("err: x: request extensions that are not permitted: basicConstraints", BackendRefused),
        ("err: x: CSR subject contains a wildcard, which is not allowed: /CN=*", BackendRefused),
        ("err: Could not call generate: invalid key", BackendRefused),
        (
            "err: x: .tmp file already exists for /serial; Aborting",
            BackendUnavailable,
        ),
        ("err: Could not call revoke: PEM_read_bio_X509_CRL: no start line", BackendUnavailable),
        ("err: something that nobody has recorded", BackendRefused),
    ],
)
def test_words_mean_an_error(text: str, kind: type[EspmError]) -> None:
    """With success as the exit code, as up to 2.7.17, and on either output."""
    for ended in (output(text), output("", 24, text), output(f"\x1b[1;35m{text}\x1b[0m")):
        assert failed(ended)
        assert type(blame(ended, "sign", NAME)) is kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (1, BackendRefused),
        (23, BackendRefused),
        (64, BackendRefused),
        (66, CertificateUnknown),
        (73, CsrPending),
        (74, CertnameTaken),
    ],
)
def test_exit_codes_mean_an_error_where_no_words_do(status: int, kind: type[EspmError]) -> None:
    """Those of the helper, and those by which Puppet says that it cannot work at all."""
    ended = output("warning: /File[/ssl/ca/signed]: Could not stat; permission denied", status)

    assert failed(ended)
    assert type(blame(ended, "sign", NAME)) is kind


def test_success_is_no_failure() -> None:
    """Neither are warnings and notices, whatever is in them."""
    text = f"notice: Revoked certificate with serial 15\nWarning: err: `puppet cert` for {NAME}\n"

    assert not failed(output(text, stderr="Warning: `puppet cert` is deprecated"))


def test_what_puppet_said_is_for_the_log_only() -> None:
    """A message has no path and no other name in it; the cause has all."""
    error = blame(output("err: Could not write /etc/puppet/ssl/private_keys/x"), "sign", NAME)

    assert "/etc" not in str(error)
    assert "/etc/puppet/ssl" in str(error.__cause__)


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        (f"  pend1.example.com ({HEX})", Listed("pend1.example.com", " ")),
        (f"+ foo.example.com   ({HEX})", Listed("foo.example.com", "+")),
        (f'+ "foo.example.com" ({HEX})', Listed("foo.example.com", "+")),
        (f"+ s.example.com ({HEX}) (alt names: DNS:puppet, DNS:s)", Listed("s.example.com", "+")),
        (f"- p2.example.com    ({HEX}) (certificate revoked)", Listed("p2.example.com", "-")),
        (f"- exp.example.com ({HEX}) (certificate has expired)", Listed("exp.example.com", "-")),
        (f'  "n.example.com" (SHA256) {HEX}', Listed("n.example.com", " ")),
        (f'+ "n.example.com" (SHA256) {HEX} (alt names: "DNS:a") **', Listed("n.example.com", "+")),
        (f'+ "n.example.com" (SHA256) {HEX} 2031-11-20T01:20:18Z', Listed("n.example.com", "+")),
    ],
)
def test_lines_of_list_are_understood(line: str, entry: Listed) -> None:
    """Those of each version, among notices."""
    assert listed(output(f"notice: Rebuilding inventory file\n{line}\n")) == [entry]


def test_colours_are_taken_off() -> None:
    """All versions write them, also into a pipe."""
    assert said(output("\x1b[mNotice: done\x1b[0m")) == "Notice: done\n"


@pytest.mark.parametrize("line", ["ca {}", "ca (SHA256) {}", "\x1b[mca {}\x1b[0m"])
def test_a_fingerprint_is_read_whatever_the_version(line: str) -> None:
    """Up to 2.7 the digest is not named; a shorter one is another digest's."""
    told = fingerprint(output(line.format(":".join(["AB"] * 32))))

    assert told == "ab" * 32
    assert fingerprint(output(line.format(HEX))) == ""
    assert fingerprint(output("err: Could not call fingerprint: x")) == ""


def test_the_subject_is_read_from_what_is_printed() -> None:
    """As OpenSSL writes it, of any age."""
    text = "Certificate:\n    Data:\n        Issuer: CN = a\n        Subject: CN=Puppet CA: b\n"

    assert subject(output(text)) == "CN=Puppet CA: b"
    assert subject(output("err: Could not find certificate for ca\n")) == ""
