"""From URL to script: aliases, their order and their slashes, handlers, and the other modules that map URLs."""

import pytest

from harness.checklist import line

CONFIG = """
WSGIApplicationGroup %{GLOBAL}
<Directory {root}/htdocs/exec>
  Options ExecCGI
  AddHandler wsgi-script .wsgi
</Directory>
<Directory {root}/htdocs/typed>
  Options ExecCGI
  AddType application/x-httpd-wsgi .wsgi
</Directory>
<Directory {root}/htdocs/set>
  Options ExecCGI
  SetHandler wsgi-script
</Directory>
<Directory {root}/htdocs/noexec>
  AddHandler wsgi-script .wsgi
</Directory>
WSGIScriptAlias /one {apps}/environ.wsgi
WSGIScriptAlias /short {apps}/environ.wsgi
WSGIScriptAlias /short/long {apps}/named.wsgi
WSGIScriptAlias /ordered/long {apps}/named.wsgi
WSGIScriptAlias /ordered {apps}/environ.wsgi
WSGIScriptAlias /dir/ {apps}/
WSGIScriptAlias /dirx {apps}
WSGIScriptAlias /slash/ {apps}/environ.wsgi/
WSGIScriptAlias /m/two {apps}/environ.wsgi
WSGIScriptAliasMatch ^/match/([^/]+) {apps}/$1.wsgi
WSGIScriptAliasMatch /middle([0-9]) {apps}/environ.wsgi
WSGIScriptAliasMatch ^/(adm|fil) {apps}/environ.wsgi/$1
WSGIScriptAlias /wrong {apps}/environ.wsgi
Alias /wrong/static {root}/htdocs/static
WSGIScriptAlias /index {apps}/callables.wsgi application-group=index callable-object=in_its_group
<Directory {root}/htdocs/indexed>
  DirectoryIndex /index
</Directory>
<Directory {root}/htdocs/fallen>
  FallbackResource /index
</Directory>
RewriteEngine On
RewriteRule ^/rewritten-pt(.*) /one/from$1 [PT]
RewriteRule ^/rewritten-file$ {root}/htdocs/static/file.txt
RewriteRule ^/redirected$ /one [R=302]
<Location /one/status>
  SetHandler server-status
</Location>
<Location /one/none>
  SetHandler None
</Location>
<Location /one/no-path-info>
  AcceptPathInfo Off
</Location>
WSGIScriptAlias /linked {root}/links/linked.wsgi
WSGIScriptAlias /in-linked {root}/links/there/environ.wsgi
<Directory {root}/links>
  Options -FollowSymLinks
</Directory>
WSGIScriptAlias /sections {root}/sections/environ.wsgi
<Directory {root}/sections>
  AllowOverride FileInfo
</Directory>
<Files environ.wsgi>
  SetEnv FROM_FILES yes
</Files>
<Location /one/denied>
  Require all denied
</Location>
"""


@pytest.fixture(scope="module", autouse=True)
def files(site):
    """Static files and scripts below the document root."""
    links = site.root / "links"
    links.mkdir()
    (links / "linked.wsgi").symlink_to(site.apps / "environ.wsgi")
    (links / "there").symlink_to(site.apps)
    sections = site.root / "sections"
    sections.mkdir()
    (sections / "environ.wsgi").write_text((site.apps / "environ.wsgi").read_text())
    (sections / ".htaccess").write_text("SetEnv FROM_HTACCESS yes\n")
    static = site.root / "htdocs" / "static"
    static.mkdir()
    (static / "file.txt").write_text("static")
    for name in ("indexed", "fallen"):
        (site.root / "htdocs" / name).mkdir()
    for name in ("exec", "typed", "set", "noexec"):
        directory = site.root / "htdocs" / name
        directory.mkdir()
        (directory / "environ.wsgi").write_text((site.apps / "environ.wsgi").read_text())
        (directory / "plain.txt").write_text("plain")


@pytest.fixture
def split(site):
    """SCRIPT_NAME and PATH_INFO of a URL that reaches environ.wsgi."""

    def ask(target):
        values = site.json(target)["values"]
        return values["SCRIPT_NAME"], values["PATH_INFO"]

    return ask


@line("MAP-01")
@pytest.mark.parametrize(
    ("target", "path_info"), [("/one", ""), ("/one/", "/"), ("/one/x", "/x"), ("/one/x/y/", "/x/y/")]
)
def test_an_alias_maps_its_url_and_what_lies_below(split, target, path_info):
    assert split(target) == ("/one", path_info)


@line("MAP-01")
@pytest.mark.parametrize("target", ["/onex", "/on", "/one.txt"])
def test_an_alias_maps_nothing_that_only_begins_like_it(site, target):
    assert site.get(target).status == 404


@line("MAP-02")
def test_the_first_alias_that_matches_wins_over_a_longer_later_one(split):
    assert split("/short/long/x") == ("/short", "/long/x")


@line("MAP-02")
def test_a_longer_alias_listed_first_wins(site, split):
    assert site.get("/ordered/long/x").body == b"named.wsgi"
    assert split("/ordered/x") == ("/ordered", "/x")


@line("MAP-04")
@pytest.mark.parametrize("mount", ["/dir", "/dirx"])
def test_a_directory_as_target_serves_the_scripts_in_it(split, mount):
    assert split(f"{mount}/environ.wsgi/x/y") == (f"{mount}/environ.wsgi", "/x/y")


@line("MAP-05")
@pytest.mark.parametrize("target", ["/dir/", "/dirx/"])
def test_the_directory_itself_gets_403(site, log, target):
    log.expect("WSGI0136.*Attempt to invoke directory")
    assert site.get(target).status == 403


@line("MAP-06")
def test_an_alias_with_a_trailing_slash_needs_it_in_the_url(site):
    assert site.get("/dir").status == 404


@line("MAP-07")
def test_a_trailing_slash_of_the_alias_needs_one_of_a_file_target(new_site, split):
    assert split("/slash/x")[1] == "/x"
    other = new_site("WSGIScriptAlias /slash/ {apps}/environ.wsgi\n").start()
    other.log.allow("WSGI0322")
    other.log.expect("WSGI0135.*Target WSGI script not found")
    assert other.get("/slash/x").status == 404


@line("MAP-08")
@pytest.mark.parametrize("target", ["/dir/missing.wsgi", "/match/missing"])
def test_a_missing_script_gets_404(site, log, target):
    log.expect("WSGI0135.*Target WSGI script not found")
    assert site.get(target).status == 404


@line("MAP-09")
def test_urls_differ_by_case_and_are_compared_decoded(site, split):
    assert site.get("/One").status == 404
    assert split("/%6fne/x") == ("/one", "/x")


@line("MAP-10")
def test_doubled_slashes_map_like_single_ones(site):
    values = site.json("//m//two//x")["values"]
    assert (values["SCRIPT_NAME"], values["PATH_INFO"], values["REQUEST_URI"]) == ("/m/two", "/x", "//m//two//x")


@line("MAP-11")
def test_a_group_of_the_regular_expression_names_the_target(site, split):
    assert split("/match/environ/rest") == ("/match/environ", "/rest")
    assert site.get("/match/named").body == b"named.wsgi"


@line("MAP-12")
def test_an_unanchored_regular_expression_matches_in_the_middle(split):
    assert split("/a/b/middle7/x")[1] == "/x"


@line("MAP-13")
def test_a_group_after_the_script_stays_in_path_info(split):
    assert split("/adm/x") == ("", "/adm/x")


@line("MAP-14")
def test_an_alias_of_mod_alias_wins_whatever_the_order(site, split):
    assert site.get("/wrong/static/file.txt").body == b"static"
    assert split("/wrong/other") == ("/wrong", "/other")


@line("MAP-15")
def test_a_rewritten_url_reaches_the_alias_with_pt_and_a_file_without(site, split):
    assert split("/rewritten-pt/x") == ("/one", "/from/x")
    assert site.get("/rewritten-file").body == b"static"
    assert site.get("/redirected").header("Location").endswith("/one")


@pytest.mark.parametrize("target", ["/index", "/indexed/", "/fallen/missing"])
def test_the_options_of_an_alias_hold_however_httpd_comes_to_its_url(site, target):
    assert site.get(target).body == b"another in index"


@line("MAP-16")
def test_set_handler_overrides_the_alias_and_none_does_not(site, split):
    assert b"Apache Server Status" in site.get("/one/status").body
    assert split("/one/none") == ("/one", "/none")


@line("MAP-17")
def test_a_script_by_add_handler_without_exec_cgi_gets_403(site, log):
    log.expect("WSGI0134.*Options ExecCGI is off")
    assert site.get("/noexec/environ.wsgi").status == 403


@line("MAP-17", "MAP-18")
@pytest.mark.parametrize("directory", ["exec", "typed", "set"])
def test_a_script_by_handler_or_type_with_exec_cgi_runs_with_path_info(split, directory):
    assert split(f"/{directory}/environ.wsgi/x") == (f"/{directory}/environ.wsgi", "/x")


@line("MAP-17")
def test_a_file_of_another_type_beside_it_is_served_as_it_is(site):
    assert site.get("/exec/plain.txt").body == b"plain"


@line("MAP-17")
def test_a_missing_script_by_handler_gets_404(site, log):
    log.expect("WSGI0135")
    assert site.get("/exec/missing.wsgi").status == 404


@line("MAP-21")
def test_accept_path_info_off_with_path_info_gets_404(site, log):
    log.expect("WSGI0137.*AcceptPathInfo off disallows")
    assert site.get("/one/no-path-info").status == 404


def test_access_control_comes_before_the_application(site, log):
    log.expect("AH01630")
    assert site.get("/one/denied").status == 403


def test_an_encoded_slash_is_refused_by_httpd_by_default(site):
    assert site.get("/one/a%2Fb").status == 404


def test_dot_segments_are_removed_before_the_alias_is_sought(split):
    assert split("/nowhere/../one/a/./b/../c") == ("/one", "/a/c")


@pytest.mark.parametrize("rest", ["", "/", "/x", "/x//y", "/x/..%3b"])
@pytest.mark.parametrize("alias", ["/linked", "/in-linked"])
def test_symbolic_links_are_refused_where_they_are_not_allowed(site, log, alias, rest):
    log.expect("AH00037")
    assert site.get(alias + rest).status == 403


@pytest.mark.parametrize("rest", ["", "/", "/x", "/x//y/", "/x/.hidden"])
def test_sections_and_htaccess_hold_for_a_script_whatever_follows_it(site, rest):
    values = site.json(f"/sections{rest}")["values"]
    assert (values["FROM_FILES"], values["FROM_HTACCESS"]) == ("yes", "yes")
    assert values["SCRIPT_FILENAME"] == f"{site.root}/sections/environ.wsgi"
    assert values["PATH_INFO"] == rest.replace("//", "/")
