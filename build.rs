//! Finds httpd, writes the bindings, compiles the shim.
//!
//! httpd is found through `apxs` (environment `APXS`, then `apxs`, `apxs2`). bindgen reads
//! `apache-headers/bindings.h` only; the bindings are never committed, since the tails of httpd's
//! structs differ between releases.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

const HTTPD_REMEDY: &str = "Debian and Ubuntu: apt-get install apache2-dev    Fedora and RHEL: dnf install httpd-devel";
const CLANG_REMEDY: &str =
    "Debian and Ubuntu: apt-get install libclang-dev    Fedora and RHEL: dnf install clang-devel";
const CC_REMEDY: &str = "Debian and Ubuntu: apt-get install gcc libc6-dev    Fedora and RHEL: dnf install gcc";

/// Functions that the wrapper uses of httpd, APR and the shim; no others are let in.
const FUNCTIONS: &[&str] = &[
    "ap_add_version_component",
    "ap_allow_options",
    "ap_auth_type",
    "ap_bucket_error_create",
    "ap_check_cmd_context",
    "ap_context_document_root",
    "ap_context_prefix",
    "ap_copy_scoreboard_worker",
    "ap_directory_walk",
    "ap_discard_request_body",
    "ap_document_root",
    "ap_escape_html2",
    "ap_exists_config_define",
    "ap_exists_scoreboard_image",
    "ap_file_walk",
    "ap_get_brigade",
    "ap_get_limit_req_body",
    "ap_get_scoreboard_(global|process)",
    "ap_get_server_banner",
    "ap_get_server_built",
    "ap_get_server_description",
    "ap_get_server_name",
    "ap_get_server_port",
    "ap_get_useragent_host",
    "ap_getword_conf",
    "ap_hook_check_access",
    "ap_hook_check_config",
    "ap_hook_child_init",
    "ap_hook_handler",
    "ap_hook_map_to_storage",
    "ap_hook_monitor",
    "ap_hook_post_config",
    "ap_hook_test_config",
    "ap_hook_translate_name",
    "ap_internal_redirect_handler",
    "ap_mpm_query",
    "ap_pass_brigade",
    "ap_psignature",
    "ap_regcomp",
    "ap_regexec",
    "ap_regfree",
    "ap_register_auth_provider",
    "ap_run_generate_log_id",
    "ap_run_http_scheme",
    "ap_runtime_dir_relative",
    "ap_satisfies",
    "ap_server_root_relative",
    "ap_set_content_length",
    "ap_set_content_type",
    "ap_show_mpm",
    "ap_some_auth_required",
    "ap_state_query",
    "ap_walk_config",
    "apr_brigade_cleanup",
    "apr_brigade_create",
    "apr_bucket_(transient|eos|flush|heap|file|pool|immortal)_create",
    "apr_bucket_file_enable_mmap",
    "apr_initialize",
    "apr_os_file_get",
    "apr_os_file_put",
    "apr_palloc",
    "apr_pool_cleanup_null",
    "apr_pool_cleanup_register",
    "apr_pool_create_ex",
    "apr_pool_destroy",
    "apr_pool_userdata_(get|setn)",
    "apr_proc_other_child_register",
    "apr_proc_other_child_unregister",
    "apr_pstrmemdup",
    "apr_stat",
    "apr_strerror",
    "apr_table_addn",
    "apr_table_elts",
    "apr_table_get",
    "apr_table_make",
    "apr_table_set",
    "wsgi_shim_.*",
];
/// Types that it names; what they are made of comes along.
const TYPES: &[&str] = &[
    "module",
    "request_rec",
    "conn_rec",
    "server_rec",
    "command_rec",
    "cmd_parms",
    "worker_score",
    "apr_proc_t",
    "apr_table_entry_t",
    "ap_regex_t",
    "ap_regmatch_t",
    "authn_provider",
    "authz_provider",
    "apr_bucket_brigade",
    "apr_bucket",
    "apr_status_t",
];
/// Constants and variables, as patterns.
const VARIABLES: &[&str] = &[
    "MODULE_MAGIC_.*",
    "OK",
    "DECLINED",
    "HTTP_.*",
    "OR_.*",
    "RSRC_CONF",
    "ACCESS_CONF",
    "AP_AUTH_INTERNAL_.*",
    "AUTH[NZ]_PROVIDER_.*",
    "REMOTE_(HOST|NAME)",
    "SATISFY_ANY",
    "GLOBAL_ONLY",
    "NOT_IN_HTACCESS",
    "APR_HOOK_.*",
    "AP_FILTER_ERROR",
    "AP_MPMQ_.*",
    "AP_SQ_.*",
    "AP_REG_.*",
    "OPT_EXECCGI",
    "AP_REQ_REJECT_PATH_INFO",
    "APR_FINFO_MIN",
    "APR_OC_REASON_.*",
    "APR_READ",
    "APR_FOPEN_.*",
    "ap_coredumpdir_configured",
    "ap_server_argv0",
    "ap_server_conf",
    "ap_unixd_config",
];

fn main() {
    println!("cargo:rerun-if-changed=apache-headers");
    for name in ["APXS", "WSGI_DEFAULT_PYTHON"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let flags = httpd_flags();
    let bindings = write_bindings(&out, &flags);
    compile("wsgi_shim", Path::new("apache-headers/shim.c"), &flags, &[]);
    write_stubs(&out, &bindings);
    // A process's symbols are httpd's own at run time, so nothing is linked here but the shim; a
    // misspelt one still fails at LoadModule, since rustc links with BIND_NOW.
    println!("cargo:rustc-env=WSGI_DEFAULT_PYTHON={}", default_python());
}

/// Preprocessor flags for httpd's and APR's headers, from apxs and apr-1-config.
fn httpd_flags() -> Vec<String> {
    let apxs = find_apxs();
    let mut flags = vec!["-Iapache-headers".to_owned(), format!("-I{}", query(&apxs, "INCLUDEDIR"))];
    // Without APR's own flags (_GNU_SOURCE, _LARGEFILE64_SOURCE) fields of off_t size may differ.
    for config in [query(&apxs, "APR_CONFIG"), query(&apxs, "APU_CONFIG")] {
        let output = run(&config, &["--cppflags", "--includes"])
            .or_else(|| run(&config, &["--includes"]))
            .unwrap_or_else(|| fail(&format!("{config}, named by {apxs}, does not run"), HTTPD_REMEDY));
        flags.extend(output.split_whitespace().map(str::to_owned));
    }
    flags
}

fn find_apxs() -> String {
    if let Ok(named) = env::var("APXS") {
        if run(&named, &["-q", "INCLUDEDIR"]).is_some() {
            return named;
        }
        fail(&format!("APXS={named} does not answer `-q INCLUDEDIR`"), HTTPD_REMEDY);
    }
    ["apxs", "apxs2"]
        .into_iter()
        .find(|name| run(name, &["-q", "INCLUDEDIR"]).is_some())
        .unwrap_or_else(|| fail("neither apxs nor apxs2 was found (set APXS to name it)", HTTPD_REMEDY))
        .to_owned()
}

fn query(apxs: &str, name: &str) -> String {
    run(apxs, &["-q", name]).unwrap_or_else(|| fail(&format!("`{apxs} -q {name}` failed"), HTTPD_REMEDY))
}

fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn write_bindings(out: &Path, flags: &[String]) -> String {
    let include = &flags[1]["-I".len()..];
    if !Path::new(include).join("httpd.h").exists() {
        fail(&format!("httpd.h is not in {include}"), HTTPD_REMEDY);
    }
    // bindgen panics where libclang is missing; the one line below says more than the panic does.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let bindings = std::panic::catch_unwind(|| {
        bindgen::Builder::default()
            .header("apache-headers/bindings.h")
            .clang_args(flags)
            .allowlist_function(FUNCTIONS.join("|"))
            .allowlist_type(TYPES.join("|"))
            .allowlist_var(VARIABLES.join("|"))
            .derive_debug(false)
            .generate_comments(false)
            .wrap_unsafe_ops(true)
            .generate()
    });
    std::panic::set_hook(hook);
    let bindings = match bindings {
        Ok(Ok(bindings)) => bindings.to_string(),
        Ok(Err(err)) => fail(&format!("httpd's headers could not be read: {err}"), HTTPD_REMEDY),
        Err(_) => fail("libclang, which bindgen needs, could not be loaded", CLANG_REMEDY),
    };
    fs::write(out.join("bindings.rs"), &bindings).expect("OUT_DIR is writable");
    bindings
}

fn compile(name: &str, source: &Path, flags: &[String], more: &[&Path]) {
    let mut build = cc::Build::new();
    build.file(source).warnings(true).extra_warnings(false);
    for flag in flags {
        build.flag(flag);
    }
    build.includes(more);
    if name == "ap_stubs" {
        // Linked by the test binary alone (src/lib.rs); the module must not carry it.
        build.cargo_metadata(false);
    }
    if let Err(err) = build.try_compile(name) {
        fail(&format!("{} does not compile: {err}", source.display()), CC_REMEDY);
    }
}

/// The static library of `apache-headers/stub.c`, one stub for every symbol of httpd's in the bindings.
fn write_stubs(out: &Path, bindings: &str) {
    let mut names: BTreeSet<&str> = bindings
        .lines()
        .filter_map(|line| {
            let line = line.trim();
            line.strip_prefix("pub fn ").or_else(|| line.strip_prefix("pub static mut "))
        })
        .filter_map(|rest| rest.split(['(', ':']).next())
        .filter(|name| name.starts_with("ap_"))
        .collect();
    // What the shim calls beyond the bindings.
    names.extend([
        "ap_log_error_",
        "ap_log_rerror_",
        "ap_get_server_module_loglevel",
        "ap_get_request_module_loglevel",
        "ap_get_conn_socket",
        "ap_get_core_module_config",
    ]);
    let text: String = names.iter().map(|name| format!("STUB({name})\n")).collect();
    fs::write(out.join("stubs.inc"), text).expect("OUT_DIR is writable");
    compile("ap_stubs", Path::new("apache-headers/stub.c"), &[], &[out]);
    println!("cargo:rustc-link-search=native={}", out.display());
}

/// The interpreter used where a configuration names none.
fn default_python() -> String {
    env::var("WSGI_DEFAULT_PYTHON").unwrap_or_else(|_| "/usr/bin/python3".to_owned())
}

#[allow(clippy::print_stderr, reason = "a build script speaks to whoever builds")]
fn fail(problem: &str, remedy: &str) -> ! {
    eprintln!("\nmod_wsgi_rs cannot be built: {problem}\n  {remedy}\n");
    exit(1)
}
