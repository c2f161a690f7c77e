"""The steps of the demonstration: each shows what is done, what comes of it, and checks it."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING, Any

from tests.live import scene
from tests.live.agent import Agent
from tests.live.curl import Curl
from tests.live.stack import ENC, Stack

if TYPE_CHECKING:
    from pathlib import Path

    from tests.live.lab import Lab
    from tests.live.narrator import Narrator

NODE = "web-1.example.com"
OTHER = "web-2.example.com"
FOREIGN = "old-server.example.com"


class Story:
    """The steps, in the order in which `play` calls them."""

    def __init__(self, narrator: Narrator, root: Path, lab: Lab) -> None:
        self.narrator = narrator
        self.root = root
        self.lab = lab
        self.stack = Stack(lab, root / "espm", groups=scene.groups(root))
        self.curl = Curl(narrator)
        self.file, self.classes = scene.probe(root, "page", "hello, cloud")
        self.serial = ""
        self.serving = 0
        self.agent = Agent(lab, NODE)

    def play(self) -> None:
        """Do all steps."""
        self.set_up()
        self.start()
        self.look_around()
        self.launch()
        self.boot()
        self.change()
        self.leave_others_alone()
        self.retire_without_ca()
        self.retire()
        self.take_back()

    def set_up(self) -> None:
        """The administrator runs espm_setup once."""
        tell = self.narrator
        tell.step("The administrator sets espm up, once")
        tell.command("espm_setup --create --apply " + " ".join(self._telling_options()))
        tell.say('"..." are its port, its name, and the private server\'s paths.')
        with tell.waiting("espm_setup (it makes keys and reloads Puppet Server)"):
            self.stack.set_up()
        tell.output(self.stack.printed.text)
        tell.check(self.stack.ini.exists(), "the configuration is written")
        enc = "external_nodes"
        tell.check(
            enc in self.lab.puppet_conf.read_text(), "Puppet Server asks espm_enc from now on"
        )

    def _telling_options(self) -> list[str]:
        """Return what a reader wants to see: on a usual Puppet Server the rest is found out."""
        return ["-d", shlex.quote(str(self.stack.etc)), "--user", self.stack.user, "..."]

    def start(self) -> None:
        """A process supervisor starts the daemon."""
        tell = self.narrator
        tell.step(f"espm starts, as the user '{self.stack.user}'")
        tell.command(f"espm -c {self.stack.ini}")
        self.stack.start()
        tell.output(self.stack.log.read_text())
        self.serving = len(self.stack.log.read_text())
        self.curl.connect(self.stack)

    def look_around(self) -> None:
        """The platform asks who it is and what there is."""
        tell = self.narrator
        tell.step("The cloud platform, with the two values from above, looks around")
        who = self.curl("GET", "/v1/whoami", expect=200)
        tell.check(who["platform"] == "default", "the platform is known", who)
        found = self.curl("GET", "/v1/groups", expect=200)
        tell.check([g["name"] for g in found["groups"]] == ["base"], "the group is there", found)
        classes = self.curl("GET", "/v1/classes", expect=200, part=_few)["classes"]
        names = {each["name"] for each in classes}
        tell.check({"espm_probe", "espm_probe::motd"} <= names, f"Puppet has {len(names)} classes")

    def launch(self) -> None:
        """One call for the node, its classification and its certificate."""
        tell = self.narrator
        tell.step(f"The platform launches {NODE}: one call")
        body = {
            "certname": NODE,
            "groups": ["base"],
            "classes": self.classes,
            "parameters": {"owner": "team blue"},
            "certificate": {},
        }
        answer = self.curl("POST", "/v1/nodes", body, expect=201)
        given = answer["certificate"]
        self.serial = given["serial"]
        self.agent = scene.launched(self.lab, NODE, given)
        tell.say("What Puppet Server is told of the node, whenever it asks (the ENC's document):")
        done = self._enc(NODE)
        tell.check("team blue" in done.stdout, "the document has the node's parameters", done)

    def _enc(self, name: str) -> subprocess.CompletedProcess[str]:
        """Show what `espm_enc` says of a node."""
        self.narrator.command(f"espm_enc {name}")
        argv = [str(ENC), "-d", str(self.stack.enc), name]
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
        self.narrator.output(done.stdout + done.stderr)
        return done

    def boot(self) -> None:
        """The instance boots with the three files and runs its agent."""
        tell = self.narrator
        tell.step("The instance boots with the key, the certificate and the CA that came back")
        for path in (self.agent.key, self.agent.cert, self.agent.ca_file):
            tell.output(str(path.relative_to(self.agent.root)))
        self._run_agent("hello, cloud")
        motd = self.root / "seen/motd"
        tell.command("cat motd")
        tell.output(motd.read_text())
        wanted = "role from-the-group, owned by team blue"
        tell.check(wanted in motd.read_text(), "so did the group's class, with both parameters")

    def change(self) -> None:
        """The platform changes the classification."""
        tell = self.narrator
        tell.step("The platform changes what the node is")
        _, classes = scene.probe(self.root, "page", "hello again, cloud")
        body = {"groups": ["base"], "classes": classes, "parameters": {"owner": "team blue"}}
        self.curl("PUT", f"/v1/nodes/{NODE}", body, expect=200)
        self._run_agent("hello again, cloud")

    def _run_agent(self, content: str) -> None:
        tell = self.narrator
        tell.command("puppet agent --onetime --no-daemonize --detailed-exitcodes --verbose")
        run = self.agent.run()
        tell.output(run.output)
        tell.check(run.changed, "the agent applied its catalog", run.output)
        tell.command(f"cat {self.file.name}")
        tell.output(self.file.read_text())
        tell.check(self.file.read_text() == content, "the class reached the node")

    def leave_others_alone(self) -> None:
        """A node that espm did not make is out of its reach."""
        tell = self.narrator
        tell.step("A node that somebody else made is none of espm's business")
        tell.command(f"puppetserver ca generate --certname {FOREIGN}")
        tell.output(self.lab.cli("ca", "generate", "--certname", FOREIGN).stdout)
        held = self.lab.cadir / "signed" / f"{FOREIGN}.pem"
        before = held.read_bytes()
        self.curl("GET", f"/v1/nodes/{FOREIGN}", expect=404)
        self.curl("DELETE", f"/v1/nodes/{FOREIGN}", expect=404)
        self.curl("POST", "/v1/nodes", {"certname": FOREIGN, "certificate": {}}, expect=409)
        tell.check(held.read_bytes() == before, "its certificate is untouched")

    def retire_without_ca(self) -> None:
        """A node is retired while Puppet's CA hangs, and the revocation follows by itself."""
        tell = self.narrator
        tell.step(f"Puppet Server hangs; the platform retires {OTHER} all the same")
        added = {"certname": OTHER, "certificate": {}}
        serial = self.curl("POST", "/v1/nodes", added, expect=201)["certificate"]["serial"]
        tell.command(f"kill -STOP {self.lab.pid}")
        self.lab.suspend()
        try:
            path, header = f"/v1/nodes/{OTHER}", "Prefer: respond-async"
            job = self.curl("DELETE", path, header=header, expect=202)
            done = self._enc(OTHER)
            tell.check(done.returncode == 1, "it gets no catalog any more, from this moment on")
        finally:
            tell.command(f"kill -CONT {self.lab.pid}")
            self.lab.resume()
        tell.say("The CA is back, and nobody has to ask again:")
        self._await_job(job["job"])
        crl = self.curl.text("/v1/crl", pipe="openssl crl -noout -text | grep -A 1 Serial")
        tell.check(serial in scene.crl_serials(crl.encode()), f"the CRL has {serial}")

    def _await_job(self, ident: str) -> None:
        """Return when a job is done, and show it."""
        client, path = self.stack.client(), f"/v1/jobs/{ident}"
        with self.narrator.waiting("the job"):
            self.stack.wait_until(lambda: client.get(path).json()["state"] == "done", path, 60)
        self.curl("GET", path, expect=200)

    def retire(self) -> None:
        """The node goes, and can't come back."""
        tell = self.narrator
        tell.step(f"The platform retires {NODE}: one call")
        self.curl("DELETE", f"/v1/nodes/{NODE}", expect=204)
        tell.check(self.stack.document(NODE) is None, "the ENC's document is gone")
        crl = self.curl.text("/v1/crl", pipe="openssl crl -noout -text | grep -A 1 Serial")
        serials = scene.crl_serials(crl.encode())
        tell.check(self.serial in serials, f"the CRL has the certificate: {self.serial}", serials)
        (self.agent.ssldir / "crl.pem").unlink()
        tell.command("puppet agent --onetime --no-daemonize --detailed-exitcodes --verbose")
        run = self.agent.run()
        tell.output(run.output)
        refused = not run.succeeded and "revoked" in run.output
        tell.check(refused, "Puppet refuses the agent: its certificate is revoked", run.output)

    def take_back(self) -> None:
        """The administrator switches espm off without a trace."""
        tell = self.narrator
        tell.step("espm goes without a trace")
        offset = len(self.stack.log.read_text())
        tell.say("Until now the daemon has written a line for each request and each change:")
        tell.output(self.stack.log.read_text()[self.serving :])
        tell.command(f"kill -TERM {self.stack.pid}")
        code = self.stack.stop()
        tell.output(self.stack.log.read_text()[offset:])
        tell.check(code == 0, "the daemon ended in order", code)
        tell.command("espm_setup --unapply")
        with tell.waiting("espm_setup (it reloads Puppet Server)"):
            done = self.stack.setup("--unapply")
        tell.output(done)
        text = self.lab.puppet_conf.read_text() + self.lab.auth_conf.read_text()
        tell.check("espm_enc" not in text, "Puppet's files have nothing of espm any more")


def _few(answer: Any) -> Any:
    """Return an answer with the classes of our own module only, and how many others there are."""
    own = [each for each in answer["classes"] if each["name"] in {"espm_probe", "espm_probe::motd"}]
    others = f"... {len(answer['classes']) - len(own)} more"
    unparsable = f"... {len(answer['unparsable'])} files"
    return answer | {"classes": [*own, others], "unparsable": unparsable}
