//! Completions as a shell uses them, where that shell is there.

use std::io::Write as _;
use std::process::{Command, Stdio};

use assert_cmd::cargo::CommandCargoExt as _;

/// The script of a shell.
fn script(shell: &str) -> String {
    let output = Command::cargo_bin("keyapi-export").unwrap().args(["completions", shell]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// What a shell makes of a script on its standard input; none where there is no such shell.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn told_by(shell: &[&str], script: &str) -> Option<String> {
    let started = Command::new(shell[0]).args(&shell[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = started else {
        eprintln!("skipped: {} is not there", shell[0]);
        return None;
    };
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{} refuses the script", shell[0]);
    Some(String::from_utf8(output.stdout).unwrap())
}

/// The words that bash offers for a command line whose last word is being typed.
fn offered(line: &[&str]) -> Option<Vec<String>> {
    let words: Vec<String> = line.iter().map(|word| format!("'{word}'")).collect();
    let (current, before) = (line[line.len() - 1], line[line.len() - 2]);
    let script = format!(
        "{}\nCOMP_WORDS=({})\nCOMP_CWORD={}\n\
         registered=$(complete -p keyapi-export)\nfunction=${{registered#*-F }}\nfunction=${{function%% *}}\n\
         $function keyapi-export '{current}' '{before}' || true\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        script("bash"),
        words.join(" "),
        line.len() - 1,
    );
    let told = told_by(&["bash", "--norc", "--noprofile", "-s"], &script)?;
    Some(told.lines().map(str::to_owned).collect())
}

/// Nothing was completed past the command, because the program's name has a hyphen.
#[test]
fn bash_completes_commands_flags_and_values() {
    let calls: [(&[&str], &[&str]); 5] = [
        (&["keyapi-export", "ru"], &["run"]),
        (&["keyapi-export", "run", "--reg"], &["--region"]),
        (&["keyapi-export", "run", "--region", "US", "--token"], &["--token-file"]),
        (&["keyapi-export", "run", "--partition", ""], &["day", "month", "none"]),
        (&["keyapi-export", "status", "--st"], &["--state"]),
    ];
    for (line, expected) in calls {
        let Some(offered) = offered(line) else { return };
        assert_eq!(offered, expected, "{line:?}");
    }
}

#[test]
fn the_other_shells_can_read_their_scripts() {
    for shell in [&["zsh", "-n"][..], &["fish", "--no-execute"]] {
        told_by(shell, &script(shell[0]));
    }
}
