"""Directives as `httpd -t` sees them: grammar, contexts and messages."""

import pytest

from harness.checklist import line, ours, smoke
from harness.httpd import Httpd

FLAGS_OF_THE_SERVER = (
    "WSGIDontWriteBytecode WSGICaseSensitivity WSGIRestrictEmbedded "
    "WSGIRestrictStdin WSGIRestrictStdout WSGIRestrictSignal WSGIPerInterpreterGIL WSGIFreeThreading "
    "WSGIDestroyInterpreter WSGIVerboseDebugging WSGIServerMetrics"
).split()

FLAGS_OF_A_DIRECTORY = (
    "WSGIPassAuthorization WSGIChunkedRequest WSGIScriptReloading WSGIErrorOverride WSGIMapHEADToGET "
    "WSGIEnableSendfile WSGIIgnoreActivity"
).split()

# A valid line of each directive, by where it may stand.
GLOBAL_ONLY = [
    "WSGIPythonHome /usr",
    "WSGIPythonPath /tmp",
    "WSGIPythonEggs /tmp",
    "WSGIPythonWarnings ignore",
    "WSGIPythonOptimize 1",
    "WSGIPythonHashSeed 1",
    "WSGISwitchInterval 0.01",
    *(f"{name} On" for name in FLAGS_OF_THE_SERVER),
]
SERVER_AND_HOST = [
    "WSGIScriptAlias /x /tmp/x.wsgi",
    "WSGIScriptAliasMatch ^/x /tmp/x.wsgi",
    "WSGIImportScript /tmp/x.wsgi process-group=%{GLOBAL} application-group=%{GLOBAL}",
]
NOT_IN_HTACCESS = ["WSGIApplicationGroup %{GLOBAL}", "WSGIHandlerScript name /tmp/x.py", "WSGIPassApacheRequest On"]
FILE_INFO = [
    "WSGICallableObject another",
    "WSGITrustedProxies 10.0.0.1",
    "WSGITrustedProxyHeaders X-Forwarded-For",
    *(f"{name} On" for name in FLAGS_OF_A_DIRECTORY),
]


@pytest.fixture(scope="module")
def bench():
    """An httpd that is only ever asked for a configtest."""
    httpd = Httpd(python_home=None)
    yield httpd
    httpd.discard()


@pytest.fixture
def accepts(bench):
    def check(config):
        result = bench.configtest(config)
        assert result.returncode == 0, result.stderr
        assert "Syntax OK" in result.stderr

    return check


@pytest.fixture
def refuses(bench):
    """Demands that httpd refuses the configuration with this text, naming the line."""

    def check(config, *texts):
        result = bench.configtest(config)
        assert result.returncode != 0, f"was accepted: {config}"
        message = " ".join(result.stderr.split())
        for text in texts:
            assert text in message, result.stderr
        assert "Syntax error on line" in message, result.stderr

    return check


def within(section, line_):
    return f"<{section}>\n{line_}\n</{section.split()[0]}>"


# -- WSGIScriptAlias and WSGIScriptAliasMatch


@smoke
@line("CFG-01")
@pytest.mark.parametrize("arguments", ["", "/x"])
@pytest.mark.parametrize("name", ["WSGIScriptAlias", "WSGIScriptAliasMatch"])
def test_an_alias_needs_at_least_two_arguments(refuses, name, arguments):
    refuses(f"{name} {arguments}", "requires at least two arguments")


@line("CFG-02")
@pytest.mark.parametrize("option", ["foo=bar", "foo", "Process-Group=x", "=x", "process-group", '""'])
def test_an_unknown_alias_option_is_refused(refuses, option):
    refuses(f"WSGIScriptAlias /x /tmp/x.wsgi {option}", "Invalid option to WSGI script alias definition")


@line("CFG-03")
@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("process-group=", "Invalid name for WSGI process group"),
        ("application-group=", "Invalid name for WSGI application group"),
        ("callable-object=", "Invalid name for WSGI callable object"),
    ],
)
def test_an_empty_alias_option_is_refused_with_a_message_of_its_own(refuses, option, message):
    refuses(f"WSGIScriptAlias /x /tmp/x.wsgi {option}", message)


@line("CFG-04")
@pytest.mark.parametrize("value", ["maybe", "", "1", "true"])
def test_pass_authorization_takes_on_or_off(refuses, value):
    refuses(f"WSGIScriptAlias /x /tmp/x.wsgi pass-authorization={value}", "Invalid value for authorization flag")


@line("CFG-04")
@pytest.mark.parametrize("value", ["on", "OFF", "On", "oFf"])
def test_pass_authorization_is_taken_in_any_case(accepts, value):
    accepts(f"WSGIScriptAlias /x /tmp/x.wsgi pass-authorization={value}")


@line("CFG-05")
def test_a_regular_expression_that_does_not_compile_is_refused(refuses):
    refuses('WSGIScriptAliasMatch "(" /tmp/x.wsgi', "Regular expression could not be compiled")


@line("CFG-06")
def test_a_preloaded_alias_of_an_undefined_process_group_is_refused(refuses):
    refuses(
        "WSGIScriptAlias /x /tmp/x.wsgi process-group=none application-group=%{GLOBAL}",
        "process group not yet configured",
    )


@line("CFG-07")
@pytest.mark.parametrize(
    "options",
    [
        "process-group=none",
        "process-group=%{GLOBAL}",
        "application-group=a process-group=%{ENV:X}",
        "application-group=%{GLOBAL} process-group=%{GLOBAL} callable-object=x pass-authorization=On",
        "application-group=a application-group=b",
    ],
)
def test_alias_options_are_accepted(accepts, options):
    accepts(f"WSGIScriptAlias /x /tmp/x.wsgi {options}\nWSGIScriptAliasMatch ^/y /tmp/x.wsgi {options}")


@line("CFG-37")
@pytest.mark.parametrize(
    "arguments",
    [
        '"/a b" "/tmp/with blank.wsgi" application-group="a b"',
        "'/a b' '/tmp/x.wsgi' callable-object='x'",
        '/x /tmp/x.wsgi application-group="a b" callable-object=y',
    ],
)
def test_quoted_arguments_are_one_value(accepts, arguments):
    accepts(f"WSGIScriptAlias {arguments}")


# -- flags and values


@line("CFG-20")
@pytest.mark.parametrize("value", ["maybe", "1", "yes", ""])
@pytest.mark.parametrize("name", [*FLAGS_OF_THE_SERVER, *FLAGS_OF_A_DIRECTORY])
def test_a_flag_must_be_on_or_off(refuses, name, value):
    expected = f"{name} must be one of: Off | On" if value else name
    refuses(f"{name} {value}", expected)


@line("CFG-20")
@pytest.mark.parametrize("value", ["on", "OFF", "On"])
def test_flags_are_taken_in_any_case(accepts, value):
    accepts("\n".join(f"{name} {value}" for name in [*FLAGS_OF_THE_SERVER, *FLAGS_OF_A_DIRECTORY]))


@line("CFG-20")
def test_map_head_to_get_also_takes_auto(accepts, refuses):
    accepts("WSGIMapHEADToGET auto")
    refuses("WSGIMapHEADToGET maybe", "Off | On | Auto")


@line("CFG-27")
@pytest.mark.parametrize("value", ["-1", "4294967296", "abc", "1x", "0x10"])
def test_a_hash_seed_out_of_range_is_refused(refuses, value):
    refuses(f"WSGIPythonHashSeed {value}", '"random" or an integer in range')


@line("CFG-27")
@pytest.mark.parametrize("value", ["0", "4294967295", "random"])
def test_a_hash_seed_in_range_is_accepted(accepts, value):
    accepts(f"WSGIPythonHashSeed {value}")


@line("CFG-28")
@pytest.mark.parametrize("value", ["0", "x", "-1"])
def test_a_switch_interval_that_is_not_positive_is_refused(refuses, value):
    refuses(f"WSGISwitchInterval {value}", "positive number of seconds")


@ours
@pytest.mark.parametrize("value", ["nan", "inf", "1x"])
def test_a_switch_interval_that_is_no_plain_number_is_refused(refuses, value):
    refuses(f"WSGISwitchInterval {value}", "positive number of seconds")


@line("CFG-28")
@pytest.mark.parametrize("value", ["0.002", "1", "5e-3"])
def test_a_positive_switch_interval_is_accepted(accepts, value):
    accepts(f"WSGISwitchInterval {value}")


@line("CFG-30")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "Location of import script not supplied"),
        ("/tmp/x.wsgi", "Name of WSGI"),
        ("/tmp/x.wsgi process-group=%{GLOBAL}", "Name of WSGI application group required"),
        ("/tmp/x.wsgi application-group=%{GLOBAL}", "Name of WSGI process group required"),
        ("/tmp/x.wsgi process-group=%{GLOBAL} foo=bar", "Invalid option to WSGI import script definition"),
        ("/tmp/x.wsgi process-group=none application-group=%{GLOBAL}", "process group not yet configured"),
    ],
)
def test_an_import_script_without_what_it_needs_is_refused(refuses, arguments, message):
    refuses(f"WSGIImportScript {arguments}", message)


def test_python_warnings_may_be_repeated(accepts):
    accepts("WSGIPythonWarnings ignore\nWSGIPythonWarnings error::DeprecationWarning")


@pytest.mark.parametrize(
    "name", ["WSGIPythonHome", "WSGIPythonPath", "WSGICallableObject", "WSGIApplicationGroup", "WSGIPythonHashSeed"]
)
@pytest.mark.parametrize("arguments", ["", "a b"])
def test_a_directive_of_one_argument_takes_exactly_one(refuses, name, arguments):
    refuses(f"{name} {arguments}", name)


# -- contexts


@line("CFG-21")
@pytest.mark.parametrize("directive", GLOBAL_ONLY)
def test_a_directive_of_the_whole_server_is_refused_within_a_virtual_host(refuses, directive):
    refuses(within("VirtualHost *:1", directive), "cannot occur within <VirtualHost")


@line("CFG-22")
@pytest.mark.parametrize("directive", [*GLOBAL_ONLY, *SERVER_AND_HOST])
def test_a_directive_of_a_server_is_refused_within_a_directory(refuses, directive):
    refuses(within("Directory /tmp", directive), "not allowed")


@line("CFG-22")
@pytest.mark.parametrize("section", ["VirtualHost *:1", "Directory /tmp", "Location /x", "Files x"])
def test_a_directive_of_a_directory_is_accepted_in_each_section(accepts, section):
    accepts(within(section, "\n".join([*FILE_INFO, *NOT_IN_HTACCESS])))


@line("CFG-23")
@pytest.mark.parametrize("name", ["WSGIAccessScript", "WSGIAuthUserScript", "WSGIAuthGroupScript"])
def test_a_directive_of_access_control_is_refused_outside_of_sections(refuses, accepts, name):
    for context in (f"{name} /a.py", within("VirtualHost *:1", f"{name} /a.py")):
        refuses(context, f"{name} not allowed")
    for section in ("Directory /tmp", "Location /x", "Files x", 'If "true"'):
        accepts(within(section, f"{name} /a.py"))


def test_a_directive_of_a_server_is_accepted_within_a_virtual_host(accepts):
    accepts(within("VirtualHost *:1", "\n".join(SERVER_AND_HOST)))


@line("CFG-26")
def test_a_directive_of_a_directory_is_accepted_within_if(accepts):
    accepts(within('If "true"', "\n".join([*FILE_INFO, *NOT_IN_HTACCESS])))


def test_everything_at_once_is_accepted_at_server_level(accepts):
    accepts("\n".join([*GLOBAL_ONLY, *SERVER_AND_HOST, *NOT_IN_HTACCESS, *FILE_INFO]))


def test_an_unknown_directive_is_unknown_to_httpd(refuses):
    refuses("WSGINoSuchDirective On", "Invalid command 'WSGINoSuchDirective'")


# -- the module


@smoke
def test_if_module_mod_wsgi_c_is_true(refuses):
    refuses(within("IfModule mod_wsgi.c", "WSGINoSuchDirective On"), "WSGINoSuchDirective")


def test_if_module_wsgi_module_is_true(refuses):
    refuses(within("IfModule wsgi_module", "WSGINoSuchDirective On"), "WSGINoSuchDirective")


def test_log_level_knows_the_module(accepts, refuses):
    accepts("LogLevel warn wsgi:debug")
    refuses("LogLevel no_such_module:debug", "no_such_module")


@ours
@pytest.mark.parametrize(
    ("directive", "value", "accepted"),
    [
        ("WSGIPythonHashSeed", "abc", "random"),
        ("WSGISwitchInterval", "x", "positive number of seconds"),
        ("WSGIPassAuthorization", "maybe", "Off | On"),
        ("WSGIPythonOptimize", "abc", "must be a number: 0, 1 or 2"),
    ],
)
def test_a_refusal_names_directive_value_and_what_is_accepted(refuses, directive, value, accepted):
    refuses(f"{directive} {value}", directive, value, accepted)


# -- telemetry


@line("CFG-34")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("udp:127.0.0.1:9", "target must be 'unix:/path'"),
        ("unix:/p interval=0.1", "interval must be at least"),
        ("unix:/p 5", "second argument must be 'interval=N'"),
    ],
)
def test_a_telemetry_service_is_a_unix_socket_and_an_interval(refuses, arguments, message):
    refuses(f"WSGITelemetryService {arguments}", message)


@line("CFG-34")
@pytest.mark.parametrize("arguments", ["unix:/p", "unix:/p interval=0.5", "unix:/p interval=10"])
def test_a_telemetry_service_is_accepted(accepts, arguments):
    accepts(f"WSGITelemetryService {arguments}\nWSGISlowRequests 0.5\nWSGITelemetryOptions +CaptureUserAgent")


@line("CFG-35")
@pytest.mark.parametrize(
    ("flags", "message"),
    [("+CaptureUserAgent All", "cannot mix +/- form"), ("CaptureEverything", "unknown flag")],
)
def test_telemetry_options_are_known_flags_of_one_form(refuses, flags, message):
    refuses(f"WSGITelemetryOptions {flags}", message)


def test_slow_requests_take_a_time(refuses):
    refuses("WSGISlowRequests -1", "must be non-negative")
