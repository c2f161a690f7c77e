"""The configuration of a private Puppet Server, as text: everything in one scratch directory.

Kept apart from `lab`, which runs the server, because a server is configured in three languages and
many lines have a reason.
"""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

from tests.live import lab_auth

OUR_MODULES = Path(__file__).parent / "modules"
PACKAGED_MODULES = Path("/usr/share/puppet/modules")

# A certname tells who the server is; where it is, clients know as `localhost`.
SERVER = "puppet.espm.test"

DIRECTORIES = (
    *("etc", "conf.d", "services.d", "ssl", "var", "run", "log", "home", "tmp"),
    *("code/modules", "code/environments/production/manifests"),
)


def write_all(root: Path, port: int) -> None:
    """Write the whole configuration of a server that will listen on 127.0.0.1:port."""
    for name in DIRECTORIES:
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "etc/puppet.conf").write_text(_puppet_conf(root, port))
    (root / "logback.xml").write_text(_LOGBACK.format(root=root))
    (root / "services.d/bootstrap.cfg").write_text(_SERVICES)
    for name, text in _conf_d(root, port).items():
        (root / "conf.d" / name).write_text(text)


def _puppet_conf(root: Path, port: int) -> str:
    """Return puppet.conf: read by Puppet, by Puppet Server and by `puppetserver ca`.

    `puppetserver ca` reads a value up to the first blank, so lists have none. A cadir of its own,
    because `ca setup` run by root replaces /var/lib/puppet/ssl/ca by a symbolic link when cadir is
    the default one below confdir; csr_attributes, because it would look in /etc/puppet for them
    (puppetserver-ca 2.4.0, lib/puppetserver/ca/config/puppet.rb and utils/config.rb).
    """
    return f"""\
[main]
certname = {SERVER}
dns_alt_names = localhost,IP:127.0.0.1
server = localhost
serverport = {port}
user = {pwd.getpwuid(os.geteuid()).pw_name}
group = {grp.getgrgid(os.getegid()).gr_name}
vardir = {root}/var
rundir = {root}/run
logdir = {root}/log
ssldir = {root}/ssl
codedir = {root}/code
basemodulepath = {root}/code/modules:{OUR_MODULES}:{PACKAGED_MODULES}
csr_attributes = {root}/etc/csr_attributes.yaml
keylength = 2048
strict_variables = true

[server]
cadir = {root}/ca
"""


def _conf_d(root: Path, port: int) -> dict[str, str]:
    """Return the files of conf.d by name. Without metrics.conf Puppet Server does not start."""
    return {
        "auth.conf": lab_auth.shipped(),
        "ca.conf": "certificate-authority: {\n}\n",
        "global.conf": f"global: {{ logging-config: {root}/logback.xml }}\n",
        "metrics.conf": "metrics: { server-id: localhost }\n",
        "product.conf": "product: { check-for-updates: false }\n",
        "puppetserver.conf": _PUPPETSERVER.format(root=root),
        "web-routes.conf": _ROUTES,
        "webserver.conf": _WEBSERVER.format(port=port),
    }


_PUPPETSERVER = """\
jruby-puppet: {{
    ruby-load-path: [/usr/lib/puppetserver/ruby/vendor_ruby]
    gem-home: {root}/var/jruby-gems
    gem-path: [${{jruby-puppet.gem-home}}, /usr/lib/puppetserver/vendored-jruby-gems]
    server-conf-dir: {root}/etc
    server-code-dir: {root}/code
    server-var-dir: {root}/var
    server-run-dir: {root}/run
    server-log-dir: {root}/log
    max-active-instances: 1
}}
"""

# TLS 1.2, because Ruby's Net::HTTP (net/http.rb, begin_transport) takes the session tickets of TLS
# 1.3 for an answer, and waits for one for 30 s before it uses a kept connection again: the native
# commands and agents of Puppet 7 would often take that long.
_WEBSERVER = """\
webserver: {{
    ssl-protocols: [TLSv1.2]
    client-auth: want
    ssl-host: 127.0.0.1
    ssl-port: {port}
}}
"""

_ROUTES = """\
web-router-service: {
    "puppetlabs.services.ca.certificate-authority-service/certificate-authority-service": /puppet-ca
    "puppetlabs.services.master.master-service/master-service": /puppet
    "puppetlabs.services.puppet-admin.puppet-admin-service/puppet-admin-service": /puppet-admin-api
    "puppetlabs.trapperkeeper.services.status.status-service/status-service": /status
}
"""

# The packaged list without what only costs start-up time here: the metrics web service, and
# analytics, which would also ask the vendor for news.
_SERVICES = """\
puppetlabs.services.ca.certificate-authority-service/certificate-authority-service
puppetlabs.services.config.puppet-server-config-service/puppet-server-config-service
puppetlabs.services.jruby-pool-manager.jruby-pool-manager-service/jruby-pool-manager-service
puppetlabs.services.jruby.jruby-metrics-service/jruby-metrics-service
puppetlabs.services.jruby.jruby-puppet-service/jruby-puppet-pooled-service
puppetlabs.services.master.master-service/master-service
puppetlabs.services.puppet-admin.puppet-admin-service/puppet-admin-service
puppetlabs.services.puppet-profiler.puppet-profiler-service/puppet-profiler-service
puppetlabs.services.request-handler.request-handler-service/request-handler-service
puppetlabs.services.versioned-code-service.versioned-code-service/versioned-code-service
puppetlabs.trapperkeeper.services.authorization.authorization-service/authorization-service
puppetlabs.trapperkeeper.services.metrics.metrics-service/metrics-service
puppetlabs.trapperkeeper.services.scheduler.scheduler-service/scheduler-service
puppetlabs.trapperkeeper.services.status.status-service/status-service
puppetlabs.trapperkeeper.services.watcher.filesystem-watch-service/filesystem-watch-service
puppetlabs.trapperkeeper.services.webrouting.webrouting-service/webrouting-service
puppetlabs.trapperkeeper.services.webserver.jetty9-service/jetty9-service
"""

_LOGBACK = """\
<configuration>
    <appender name="FILE" class="ch.qos.logback.core.FileAppender">
        <file>{root}/log/puppetserver.log</file>
        <encoder>
            <pattern>%d{{yyyy-MM-dd'T'HH:mm:ss.SSSXXX}} %-5p [%t] [%c{{2}}] %m%n</pattern>
        </encoder>
    </appender>
    <logger name="org.eclipse.jetty" level="WARN"/>
    <root level="INFO"><appender-ref ref="FILE"/></root>
</configuration>
"""
