//! What a person meets first: help, usage errors, and that every one of them is told on stderr with exit code 2.

use assert_cmd::Command;

/// The program with nothing of this machine's environment that could change what it says.
fn program(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("keyapi-export").unwrap();
    command.args(arguments);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("KEYAPI_") || name == "COLUMNS" {
            command.env_remove(name);
        }
    }
    command
}

/// What a successful call prints; it prints nothing else.
fn told(arguments: &[&str]) -> String {
    let output = program(arguments).assert().success().get_output().clone();
    assert!(output.stderr.is_empty());
    String::from_utf8(output.stdout).unwrap()
}

/// What a call that cannot be meant prints: nothing on stdout, exit code 2.
fn refused(command: &mut Command) -> String {
    let output = command.assert().code(2).get_output().clone();
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn the_help_names_the_commands_and_the_exit_codes() {
    insta::assert_snapshot!(told(&["--help"]));
}

#[test]
fn the_help_of_run_names_every_flag_with_default_key_and_variable() {
    insta::assert_snapshot!(told(&["run", "--help"]));
}

#[test]
fn the_short_help_of_run_fits_a_screen() {
    insta::assert_snapshot!(told(&["run", "-h"]));
}

#[test]
fn completions_are_printed_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(told(&["completions", shell]).contains("max-in-flight"), "{shell}");
    }
}

#[test]
fn a_manual_page_is_printed_for_the_program_and_for_each_command() {
    let pages =
        [vec!["man"], vec!["man", "run"], vec!["man", "status"], vec!["man", "verify"], vec!["man", "simulate"]];
    for page in pages {
        let title = page.get(1).map_or("keyapi-export".to_owned(), |name| format!("keyapi-export-{name}"));
        let roff = told(&page);
        assert!(roff.contains(&format!("\n.TH {title} 1 ")), "{roff}");
    }
    assert!(told(&["man", "run"]).contains("KEYAPI_EXPORT_BUDGET__MAX_CREDITS"));
    let unknown = refused(&mut program(&["man", "rum"]));
    assert!(unknown.contains("there is no command `rum`") && unknown.contains("hint: name one of "), "{unknown}");
}

#[test]
fn a_call_that_cannot_be_meant_ends_with_2_and_says_what_would_be_right() {
    let calls: [&[&str]; 15] = [
        &["export"],
        &["resume"],
        &["run", "--resume"],
        &["run", "--key", "sk_live_do_not_tell"],
        &["run", "--sales-flag", "yes"],
        &["run", "--is-ad", "maybe"],
        &["run", "--min-duration", "5s"],
        &["run", "--max-credits", "1e5"],
        &["run", "--regions", "US"],
        &["run", "--region", "U S"],
        &["run", "--from", "-7"],
        &["run", "--qps", "0"],
        &["run", "--partition", "week"],
        &["run", "--sales-flag", "3"],
        &["run", "--config", "no/such/file.toml"],
    ];
    let told: Vec<String> = calls.iter().map(|call| format!("{call:?}\n{}", refused(&mut program(call)))).collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_setting_that_cannot_be_meant_ends_with_2_and_names_its_place() {
    let told = [
        refused(program(&["run"]).env("KEYAPI_EXPORT_PACE__QQS", "1")),
        refused(&mut program(&["run", "--max-in-flight", "0"])),
        refused(&mut program(&["run", "--base-url", "http://api.keyapi.ai"])),
        refused(program(&["status"]).env("KEYAPI_EXPORT_LOG", "loud=very")),
    ];
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_simulator_that_cannot_be_says_what_could() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let wrong: [(&[&str], &str); 6] = [
        (&["--last-page", "0"], "hint: `keyapi-export simulate --help` names every setting"),
        (&["--listen", &address], "hint: name another address"),
        (&["--rows", "-5"], "invalid value '-5' for '--rows <ROWS>'"),
        (&["--rows", "many"], "for '--rows <ROWS>': write a whole number in digits alone"),
        (&["--server-error", "few"], "write a number, such as 0.01"),
        (&["--listen", "here"], "write ADDRESS:PORT"),
    ];
    for (flags, told) in wrong {
        let said = refused(&mut program(&[&["simulate"], flags].concat()));
        assert!(said.contains(told), "{flags:?}: {said}");
    }
}

#[test]
fn a_key_is_never_an_argument_and_never_repeated() {
    let told = refused(&mut program(&["run", "--token", "sk_live_do_not_tell"]));
    assert!(told.contains("--token-file"), "{told}");
    assert!(!told.contains("sk_live_do_not_tell"), "{told}");
}
