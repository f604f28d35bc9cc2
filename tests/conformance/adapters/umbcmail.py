"""umbcmail: runs `twistd umbcmail run` of this checkout with a configuration made from a template.

  UMBCMAIL_CMD       another command; {config} in it is replaced by the path of the configuration file. The command
                     must stay in the foreground and end on SIGTERM. Default: the twistd beside the interpreter
                     that runs this (or beside .venv/bin/python of the checkout).
  UMBCMAIL_TEMPLATE  the template; default is umbcmail.toml.in beside this file.

Names in the template (each as @NAME@):
  HOSTNAME, LOCAL_DOMAIN, PORT_MX, PORT_MSA, PORT_TLS, CERT, KEY, WORK, USER, PASSWORD, SIZE_LIMIT,
  RCPT_LIMIT, RETRY_SECONDS, TRUSTED, UNTRUSTED
  ROUTES        the routes as TOML tables, one [[route]] with domain and next_hops for each

All paths given to the product lie in the work directory of the run, which is removed at the end.
"""
import os
import re
import shlex
import sys

from _common import Process


def fill(ctx, template):
    """The template with all names put in."""
    routes = '\n'.join('[[route]]\ndomain = "%s"\nnext_hops = [%s]\n' % (
        d, ', '.join('"%s:%d"' % h for h in hosts)) for d, hosts in ctx.routes)
    names = dict(HOSTNAME=ctx.hostname, LOCAL_DOMAIN=ctx.local_domain, PORT_MX=ctx.ports['mx'],
                 PORT_MSA=ctx.ports['msa'], PORT_TLS=ctx.ports['tls'], CERT=ctx.cert, KEY=ctx.key, WORK=ctx.work,
                 USER=ctx.user, PASSWORD=ctx.password, SIZE_LIMIT=ctx.size_limit, RCPT_LIMIT=ctx.rcpt_limit,
                 RETRY_SECONDS=ctx.retry_seconds, TRUSTED=ctx.trusted, UNTRUSTED=ctx.untrusted, ROUTES=routes)
    unknown = set(re.findall(r'@([A-Z_]+)@', template)) - set(names)
    if unknown:
        raise RuntimeError('unknown names in the template: %s' % ', '.join(sorted(unknown)))
    return re.sub(r'@([A-Z_]+)@', lambda m: str(names[m[1]]), template)


def default_command(root):
    """twistd of the interpreter that runs this, or of the checkout's environment."""
    for python in (sys.executable, os.path.join(root, '.venv', 'bin', 'python')):
        twistd = os.path.join(os.path.dirname(python), 'twistd')
        if os.path.exists(twistd):
            return shlex.quote(twistd) + ' -n --pidfile= umbcmail run --config {config}'
    raise RuntimeError('no twistd found; say script/bootstrap, or set UMBCMAIL_CMD')


def start(ctx):
    here = os.path.dirname(os.path.abspath(__file__))
    root = os.path.dirname(os.path.dirname(os.path.dirname(here)))
    command = os.environ.get('UMBCMAIL_CMD') or default_command(root)
    template = os.environ.get('UMBCMAIL_TEMPLATE', os.path.join(here, 'umbcmail.toml.in'))
    with open(os.path.join(ctx.work, 'users'), 'w') as f:
        f.write('%s:{PLAIN}%s\n' % (ctx.user, ctx.password))
    config = os.path.join(ctx.work, 'umbcmail.toml')
    with open(template, encoding='utf-8') as f:
        text = fill(ctx, f.read())
    with open(config, 'w', encoding='utf-8') as f:
        f.write(text)
    argv = shlex.split(command)
    argv = [a.replace('{config}', config) for a in argv] if '{config}' in command else argv + [config]
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, (os.environ.get('PYTHONPATH'), root))))
    return Process(argv, env=env, cwd=ctx.work, logfile=os.path.join(ctx.work, 'umbcmail.out'), ports=ctx.ports)
