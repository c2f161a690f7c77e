"""At every boundary, a value stays one value.

No certname, group, class, parameter or setting becomes an option, a path outside, a word of a
shell or a piece of YAML, JSON, SQL, HOCON or ini; one test for each boundary, named after it.
"""

from __future__ import annotations

import json
import logging
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import yaml
from configobj import ConfigObj
from configobj.validate import ValidateError
from cryptography import x509 as lib
from hypothesis import given, settings
from hypothesis import strategies as st

from espm import command, ledger, log, x509
from espm.api import app, bodies, message, paging
from espm.ca import puppetserver_ca
from espm.ca.agent_http import API
from espm.classifier import documents, render
from espm.classifier.fallback import Fallback
from espm.config import checks
from espm.errors import InvalidCertname, InvalidClassification, InvalidRequest
from espm.ledger import open_ledger
from espm.model import CERTNAME, Catalogable, Certname, Classification, Node, NodeState
from espm.names import class_fault, environment_fault, parameter_fault
from espm_setup import auth_conf, auth_rules, puppet_conf, template
from espm_setup.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from espm.model import Json

SCRIPT = Path(__file__).parents[2] / "etc" / "espm_enc"

_TEXTS = [
    *("--all", "-d/etc", "-f", "-", "--", "--certname=x", "@/etc/passwd"),
    *("..", ".", "../../etc/passwd", "/etc/passwd", "a/../b", "a/b", "a\\b", ".hidden", "a..b"),
    *("$(id)", "`id`", "a;id", "a|id", "a&id", "a>b", "a<b", "a\nb", "a\rb", "a b", "a\tb", "'"),
    *("*", "?", "[a-z]*", "~", "~root", "{a,b}", "a,b", "$HOME", "${HOME}", "%{::x}", "%s", "%00"),
    *("a\0b", "a\x1b[31mb", "a\u2028b", "\u202egnp.exe", "\ufeffa", "\u0430", "a\n", '"'),
    *("!ruby/object:Gem::Requirement {}", "!!python/object/apply:os.system [id]", "<<", "*a"),
    *("&a b", "- a", "a: b", "# a", "a #b", "{a: b}", "[a]", "---", "...", "null", "yes", "0x10"),
    *('"}, "classes": {"evil": {}}, "x": {"', '\n"classes": {"evil": {}}}', "}", "\u0085a"),
    *("\x7f", "1e3", "'; DROP TABLE nodes; --", "x' OR '1'='1", "%", "\\", "a\\'b", "/*", "*/"),
    *("[section]", "key = value", "%(home)s", "a, b", "'''", '"""', "a = b # c"),
    *("${?x}", "include file(x)", "//", "a += b", "\\u0022", "a\r\nSet-Cookie: x=1"),
]

#: What somebody would send who wants to be more than a name.
HOSTILE = [*dict.fromkeys(_TEXTS)]
WITHOUT_NUL = [text for text in HOSTILE if "\0" not in text]

CERTNAMES = st.from_regex(CERTNAME, fullmatch=True).filter(
    lambda name: len(name) <= 64 and name not in {"ca", "localhost"}
).map(Certname)  # fmt: skip

#: Characters that mean nothing in URLs, file names, shells, YAML, SQL and log lines.
HARMLESS = re.compile(r"[a-z0-9_][a-z0-9_.-]*")


@given(CERTNAMES)
def test_a_certname_has_nothing_that_means_anything(name: Certname) -> None:
    """So what takes a Certname needs no quoting; and it is never two, nor a path."""
    assert HARMLESS.fullmatch(name)
    assert ".." not in name


@pytest.mark.parametrize("text", [text for text in HOSTILE if not CERTNAME.fullmatch(text)])
def test_what_wants_to_be_more_is_no_name(text: str) -> None:
    """Neither as certname nor as class, parameter or environment; a group has to exist."""
    with pytest.raises(InvalidCertname):
        Certname(text)
    assert class_fault(text)
    assert parameter_fault(text)
    assert environment_fault(text)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a program that says what it was given, a line for each word."""
    path = tmp_path_factory.mktemp("program") / "says"
    path.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    path.chmod(0o755)
    return path


@settings(max_examples=20)
@given(st.lists(CERTNAMES, min_size=1, max_size=3))
def test_argv_of_puppetserver_ca(program: Path, names: list[Certname]) -> None:
    """The command gets its options and one word of names, through no shell."""
    options = {"program": str(program), "config": "/etc/puppet.conf", "command_timeout": 20}
    ca = puppetserver_ca.PuppetserverCa(Any, None, options)  # type: ignore[arg-type]
    seen: list[bytes] = []
    run = command.run

    def spy(argv: list[str], **more: Any) -> command.Output:
        output = run(argv, **more)
        seen.append(output.stdout)
        return output

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "run", spy)
        assert ca._run("revoke", *names) is None
    words = seen[0].decode().splitlines()

    assert words[:2] == ["ca", "revoke"]
    assert words[3:] == ["--config", "/etc/puppet.conf"]
    assert words[2].partition("=")[::2] == ("--certname", ",".join(names))
    assert words[2].partition("=")[2].split(",") == names


@given(CERTNAMES)
def test_path_of_calls_to_the_ca(name: Certname) -> None:
    """The name is one segment; no client or server normalizes it into something else."""
    url = f"https://puppet.example.com:8140{API}/certificate_status/{name}"
    prepared = requests.Request("PUT", url).prepare()

    assert prepared.path_url == f"{API}/certificate_status/{name}"
    assert urlsplit(url).path.split("/")[-1] == name


@given(st.from_regex(r"[a-z0-9_]+", fullmatch=True))
def test_query_of_calls_to_the_compile_server(environment: str) -> None:
    """An environment is one parameter's value."""
    url = "https://puppet.example.com:8140/puppet/v3/environment_classes"
    prepared = requests.Request("GET", url, params={"environment": environment}).prepare()

    assert parse_qs(urlsplit(prepared.url or "").query) == {"environment": [environment]}


@given(CERTNAMES)
def test_file_name_of_a_document(name: Certname) -> None:
    """A document is in its directory, visible, and nothing else's name."""
    path = Path("/opt/espm/enc") / documents._file(name)

    assert str(path.parent) == "/opt/espm/enc"
    assert documents._is_ours(path.name)
    assert path.stem == name


@pytest.mark.parametrize("argument", WITHOUT_NUL)
def test_argument_of_espm_enc(directory: Path, program: Path, argument: str) -> None:
    """It is refused before anything is opened; neither a document nor the fallback answers."""
    (directory / "a.json").write_text(render.head(1, 1, "present") + '\n"classes": {}}\n')
    ran = subprocess.run(
        ["/bin/sh", SCRIPT, "-d", directory, "-f", program, argument],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    if HARMLESS.fullmatch(argument) and ".." not in argument:
        assert (ran.returncode, ran.stdout) == (0, f"{argument}\n")
    else:
        assert (ran.returncode, ran.stdout) == (1, "")
        assert "espm_enc: " in ran.stderr


@pytest.mark.parametrize("word", [text for text in HOSTILE if not re.search(r"[\s\0]", text)])
def test_words_of_the_fallback_of_espm_enc(directory: Path, program: Path, word: str) -> None:
    """The administrator's words reach the old ENC as they are: no globs, no shell, no options."""
    ran = subprocess.run(
        ["/bin/sh", SCRIPT, "-d", directory, "-f", program, "-f", word, "web1.example.com"],
        capture_output=True,
        timeout=20,
        check=False,
    )

    assert ran.stdout.decode().split("\n") == [word, "web1.example.com", ""]


@settings(max_examples=20)
@given(CERTNAMES)
def test_argv_of_the_fallback(program: Path, name: Certname) -> None:
    """The name is the last word, and the words of the configuration stay as they are."""
    asked = Fallback([str(program), "*", "$(id)", "-x"])
    seen: list[bytes] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("espm.classifier.fallback._parsed", seen.append)
        assert not asked.knows(name)

    assert seen == [f"*\n$(id)\n-x\n{name}\n".encode()]


VALUES = st.recursive(
    st.sampled_from(HOSTILE) | st.text(max_size=10) | st.integers(-(2**63), 2**63 - 1),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(HOSTILE).filter(lambda key: key != "<<"), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@given(VALUES.filter(lambda value: "\ud800" not in repr(value)))
def test_values_in_a_document(value: Json) -> None:
    """A value is data to every reader: no tag, alias, merge or second document comes of it."""
    said = Catalogable("production", {"ntp": {"x": value}}, {"role": value})
    text = f"{render.head(1, 1, 'present')}\n{render.body(said)}"

    for read in (json.loads, yaml.safe_load):
        found = read(text)
        assert [*found] == ["espm", "environment", "classes", "parameters"]
        assert found["classes"] == {"ntp": {"x": value}}
        assert found["parameters"] == {"role": value}
    assert len(text.splitlines()) == 4
    assert text.startswith('{"espm": {"generation": 1, "version": 1, "state": "present"},\n')


def test_a_merge_key_in_a_document() -> None:
    """Psych merges ``<<`` even when it is quoted, so it is refused."""
    said = Catalogable("production", {}, {"role": {"<<": {"a": 1}}})
    with pytest.raises(InvalidClassification):
        render.body(said)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ledger.SqlLedger]:
    """Return a ledger of our own."""
    url = f"sqlite:///{tmp_path_factory.mktemp('ledger')}/ledger.db"
    ledger.upgrade(url)
    with open_ledger(url) as opened:
        yield opened


@pytest.mark.parametrize("text", WITHOUT_NUL)
def test_sql_of_the_ledger(database: ledger.SqlLedger, text: str) -> None:
    """Every text is a bound parameter: it is stored and found as it is, and finds nothing else."""
    name = Certname(f"n{HOSTILE.index(text)}.example.com")
    said = Classification("production", (text,), {"ntp": {"x": text}}, {"role": {text: text}})
    node, intent = database.reserve(name, text, said, request_id=text)
    database.activate(intent)

    assert database.node(text, name).classification == said
    assert [each.certname for each in database.page(text, state=None, after=None, limit=9)] == [
        name
    ]
    assert database.job(text, intent.ident).certname == name
    assert node.platform == text


@pytest.mark.parametrize("text", HOSTILE)
def test_line_of_the_log(text: str) -> None:
    """A value can neither begin a line nor colour a terminal."""
    arguments = ("127.0.0.1", text)
    record = logging.LogRecord("espm", logging.INFO, "", 1, "%s asked for %s", arguments, None)
    line = log.Formatter().format(record)

    assert len(line.splitlines()) == 1
    assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]", line)


@given(st.sampled_from(HOSTILE) | st.text(st.characters(codec="utf-8"), max_size=20))
def test_value_in_espm_ini(text: str) -> None:
    """espm_setup writes what configobj reads back as this one value, or refuses it."""
    try:
        written = template.render({"a": {"one": text, "list": [text]}, "b": {"key": "x"}})
    except SetupError:
        return
    read = ConfigObj(written.splitlines(), interpolation=False)

    assert read == {"a": {"one": text, "list": [text]}, "b": {"key": "x"}}


@pytest.mark.parametrize("text", [*HOSTILE, ""])
def test_programs_and_files_of_espm_ini(text: str) -> None:
    """A path of the configuration is absolute, so it is no option wherever it is an argument."""
    try:
        assert checks.path(text).startswith("/")
    except ValidateError:
        return


AUTH_CONF = """authorization: {
    version: 1
    rules: [
        {match-request: {path: "/puppet-ca/v1/certificate_status", type: path, method: [get, put]}
         allow: ALLOWED
         sort-order: 500
         name: NAMED}
    ]
}
"""


@pytest.mark.parametrize("text", [text for text in HOSTILE if "$" not in text and text != "*"])
def test_rule_in_auth_conf(text: str) -> None:
    """Whom another rule lets in, ours lets in as well, and nobody whose name is only like it."""
    before = AUTH_CONF.replace("ALLOWED", json.dumps([text])).replace("NAMED", json.dumps(text))
    after = auth_conf.applied(before, "espm.example.com", (auth_conf.STATUS,))
    ours, *_, theirs = auth_rules.rules(after)[1]

    cli = {"extensions": {"pp_cli_auth": "true"}}
    assert ours.allow == ("espm.example.com", cli, text)
    assert (theirs.allow, theirs.name) == ((text,), text)
    assert auth_conf.removed(after) == before


@pytest.mark.parametrize("text", HOSTILE)
def test_command_in_puppet_conf(text: str) -> None:
    """A word that Puppet would split or replace something in is refused; others stay one word."""
    try:
        lines = puppet_conf.settings(["/usr/bin/espm_enc", "-d", text])
    except SetupError:
        return

    assert lines[1].removeprefix("external_nodes = ").split() == ["/usr/bin/espm_enc", "-d", text]
    assert len("\n".join(lines).splitlines()) == 2


@given(CERTNAMES)
def test_subject_of_a_csr(name: Certname) -> None:
    """The name is the whole common name."""
    csr = lib.load_pem_x509_csr(x509.new_csr(name, KEY))

    assert csr.subject.rfc4514_string() == f"CN={name}"


KEY = x509.new_key()


@given(CERTNAMES)
def test_link_of_a_page(name: Certname) -> None:
    """The name of a page's last node is the value of one parameter of the next one's path."""
    now = datetime.now(UTC)
    node = Node(1, name, "cloud", NodeState.ACTIVE, 1, Classification(), now, now)
    link = paging.answer(paging.Page(None, None, 1), [node, node]).headers["Link"]
    path = link.removeprefix("<").removesuffix('>; rel="next"')

    assert parse_qs(urlsplit(path).query) == {"limit": ["1"], "after": [name]}


@pytest.mark.parametrize("text", HOSTILE)
def test_request_id_of_a_caller(text: str) -> None:
    """What comes back as a header field and goes into the log has nothing that means anything."""
    assert not app._REQUEST_ID.fullmatch(text) or re.fullmatch(r"[A-Za-z0-9._-]+", text)


@pytest.mark.parametrize("text", HOSTILE)
def test_names_in_a_body(text: str) -> None:
    """A hostile name is quoted in the problem that refuses it, and is no member of anything."""
    with pytest.raises(InvalidRequest) as caught:
        bodies.new_node({"certname": "a.example.com", text: 1, "classes": {f"A{text}": {}}})

    answer = message.encoded({"errors": [*caught.value.faults]})
    assert json.loads(answer)["errors"] == [*caught.value.faults]
    assert all(fault.isprintable() for fault in caught.value.faults)
