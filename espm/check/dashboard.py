"""Checks of the dashboard of an old Puppet: its tasks, its ENC, the class that withholds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from espm import host as hosts
from espm.check import tools
from espm.check.finding import Finding, State, counted
from espm.check.puppet import unused
from espm.rake import Rake, folded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from espm.check.finding import Context


def tasks(context: Context) -> Iterator[Finding]:
    """Look whether the dashboard's tasks run, and what they can do."""
    context.classifier.ping()
    groups = counted(len(context.classifier.groups()), "group")
    if "node:parameters" in _rake(context).tasks():
        yield Finding("dashboard", State.OK, f"its tasks can be run; {groups}")
        return
    what = f"its tasks can be run, but none gives a node parameters; {groups}"
    remedy = "nothing, if no platform sends parameters: they are refused; 1.2.7 and later have it"
    yield Finding("dashboard", State.WARN, what, remedy)


def external_node(context: Context) -> Iterator[Finding]:
    """Look whether what the tasks did can be read back."""
    options = context.config.classifier_options
    if not tools.settings(context, options).get("tools.external_node"):
        what = "what the tasks did is not read back, for the helper knows no external_node"
        remedy = f"set external_node in {options['tools']}.conf"
        yield Finding("external_node", State.WARN, what, remedy)
        return
    connected = hosts.connect(options)
    output = connected.call("enc", unused(), timeout=options["command_timeout"])
    if output.status:
        said = " ".join(output.stderr[:400].decode("utf-8", "replace").split())
        what = f"it does not answer (exit status {output.status}): {said}"
        remedy = "see whether the dashboard's web server runs, and the script's ENC_BASE_URL"
        yield Finding("external_node", State.FAIL, what, remedy)
        return
    yield Finding("external_node", State.OK, "it answers; what the tasks did is read back")


def withheld_class(context: Context) -> Iterator[Finding]:
    """Look whether the dashboard has the class by which catalogs are withheld."""
    name = str(context.config.classifier_options["withheld_class"])
    known = {folded(each) for each in _rake(context).names("nodeclass:list")}
    if folded(name) in known:
        what = f"the dashboard has {name}; Puppet's code must not"
        yield Finding("withheld class", State.OK, what)
        return
    what = f"the dashboard has no class {name}, so a node being deleted gets catalogs of site.pp"
    remedy = f"add it: rake -f RAKEFILE nodeclass:add name={name} RAILS_ENV=production"
    yield Finding("withheld class", State.WARN, what, remedy)


def _rake(context: Context) -> Rake:
    options = context.config.classifier_options
    return Rake(hosts.connect(options), options["command_timeout"])
