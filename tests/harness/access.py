"""Sites whose access scripts are led by the test: a request's header says what the function that is asked does."""

import base64
import hashlib
import json
import re
import secrets

from .site import Site

MODULES = (
    "authn_core", "authn_file", "auth_basic", "auth_digest", "authz_user", "access_compat", "auth_form", "session",
    "session_cookie", "request", "proxy", "proxy_http",
)  # fmt: skip

# Header `X-Answer`: a Python expression, the result of whatever is asked. `environ` and `arguments` are what it got.
PUPPET = """
import json, os, sys, threading, time

calls = []
kept = []

def raises(exception):
    raise exception

def generates(*items):
    for item in items:
        if isinstance(item, BaseException):
            raise item
        yield item

def keeps(*objects):
    kept.extend(objects)

def says(text):
    print(text)

def tells(environ, value):
    # httpd escapes what is not plain.
    environ["wsgi.errors"].write("told " + json.dumps(value).encode().hex() + chr(10))

def lingers(environ):
    # Uses the environ in another thread until that is refused, and says how.
    def call_late():
        refusals = []
        for call in (
            lambda: environ["wsgi.errors"].write(""),
            environ["mod_ssl.is_https"],
            lambda: environ["mod_ssl.var_lookup"]("SSL_PROTOCOL"),
        ):
            try:
                while True:
                    call()
                    time.sleep(0.005)
            except Exception as failure:
                refusals.append(type(failure).__name__)
        print("refused late:", *refusals, file=sys.stderr)
    threading.Thread(target=call_late).start()

def puppet(environ, *arguments):
    expression = environ.get("HTTP_X_ANSWER")
    names = {**globals(), "environ": environ, "arguments": arguments}
    return eval(expression, names) if expression else True

def check_password(environ, user, password):
    return puppet(environ, user, password)

def get_realm_hash(environ, user, realm):
    return puppet(environ, user, realm)

def groups_for_user(environ, user):
    return puppet(environ, user)

def allow_access(environ, host):
    return puppet(environ, host)
"""

# Knows `me` with the password `secret`, whatever the headers say.
KNOWN = """
def check_password(environ, user, password):
    return password == "secret" if user == "me" else None
"""


def basic(user="me", password="secret"):
    """The header of basic authentication."""
    text = f"{user}:{password}".encode()
    return ("Authorization", "Basic " + base64.b64encode(text).decode())


def answer(expression):
    """The header that says what the asked function does."""
    return ("X-Answer", expression)


def realm_hash(user="me", realm="realm", password="secret"):
    return hashlib.md5(f"{user}:{realm}:{password}".encode()).hexdigest()


def digest(site, path, headers=(), user="me", password="secret"):
    """A GET with digest authentication, after the challenge for it (RFC 7616)."""
    challenge = site.get(path, headers).header("WWW-Authenticate")
    fields = dict(re.findall(r'(\w+)="?([^",]*)"?', challenge))
    assert challenge.startswith("Digest ") and "auth" in fields["qop"]
    hashed, client_nonce = realm_hash(user, fields["realm"], password), secrets.token_hex(8)
    second = hashlib.md5(f"GET:{path}".encode()).hexdigest()
    response = hashlib.md5(f"{hashed}:{fields['nonce']}:00000001:{client_nonce}:auth:{second}".encode()).hexdigest()
    value = (
        f'Digest username="{user}", realm="{fields["realm"]}", nonce="{fields["nonce"]}", uri="{path}", qop=auth, '
        f'nc=00000001, cnonce="{client_nonce}", response="{response}", algorithm=MD5'
    )
    return site.get(path, [*headers, ("Authorization", value)])


class Guarded(Site):
    """A site with scripts that guard it: {puppet} and {known} in `config` are theirs, {door} is what makes them be asked
    behind the site's door.
    """

    def __init__(self, door, config="", modules=(), **settings):
        super().__init__(door, config, modules=(*MODULES, *modules), **settings)
        for name, source in (("puppet", PUPPET), ("known", KNOWN)):
            self.write(f"{name}.py", source)
        self.page("index.html", "open")

    def write(self, name, text):
        """Writes a file beside the scripts; returns its path."""
        path = self.root / name
        path.write_text(text)
        path.chmod(0o644)
        return path

    def page(self, name, text):
        """Writes a static file; directories are made."""
        path = self.root / "htdocs" / name
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def _fill(self, config):
        names = {"puppet": self.root / "puppet.py", "known": self.root / "known.py"}
        names["door"] = f"process-group={self.door.process_group}" if self.door.is_daemon else ""
        for name, value in names.items():
            config = config.replace(f"{{{name}}}", str(value))
        return super()._fill(config)

    def told(self):
        """What `tells()` of the puppet wrote last."""
        (*_, last) = self.log.matching(r"told ")
        return json.loads(bytes.fromhex(last.message.partition("told ")[2]))


def location(path, *lines):
    return "\n".join([f"<Location {path}>", *lines, "</Location>"]) + "\n"


BASIC = ("AuthType Basic", "AuthName realm", "AuthBasicProvider wsgi", "Require valid-user")
