//! The key for the service: where it is read from, and whom it may be sent to.
//!
//! It comes from `KEYAPI_TOKEN` or a file, never from an argument, and leaves this module only as a secret that does not
//! print itself. No error here holds any part of it.

use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::config::ServiceSettings;
use crate::config::error::ConfigError;
use crate::config::file::{open_regular, text_of};
use crate::config::redact::quoted;

/// The environment variable of the key, the same that the vendor's own tools read (documented).
pub const TOKEN_VARIABLE: &str = "KEYAPI_TOKEN";

/// Folders that container runtimes mount secrets in; their files are readable by all inside the container by design.
const MOUNTED_SECRETS: [&str; 3] = ["/run/secrets", "/var/run/secrets", "/run/credentials"];

/// The largest file that is taken for a key, bytes.
const LARGEST_TOKEN_BYTES: u64 = 16 << 10;

/// There is no usable key. Always the person's to repair: exit 2.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Neither the variable nor a file.
    #[error("no key for the service: neither {TOKEN_VARIABLE} nor a token file is set")]
    Missing,
    /// The file is not there, or not readable.
    #[error("reading the key from {}: {source}", shown(path))]
    Read {
        /// The file as named.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others on this machine can read the file.
    #[error("the key in {} is readable by others (mode {mode:03o})", path.display())]
    Exposed {
        /// The file as named.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// What was read cannot be sent in a header.
    #[error("the key from {place} cannot be one: {why}")]
    Malformed {
        /// The variable, or the file.
        place: String,
        /// What is wrong with it, without any of it.
        why: &'static str,
        /// What would be right.
        right: &'static str,
    },
}

impl TokenError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Missing => format!(
                "set {TOKEN_VARIABLE}, or give --token-file FILE; to try the program without a key: \
                 keyapi-export run --config config/demo.toml"
            ),
            Self::Read { .. } => {
                "name a file that this user can read; the key itself belongs into no argument".to_owned()
            }
            Self::Exposed { path, .. } => format!("chmod 600 {}", path.display()),
            Self::Malformed { right, .. } => format!("{right}; a key is one word"),
        }
    }
}

/// Reads the key: from `service.token_file` where it is set, else from `variable`, the value of [`TOKEN_VARIABLE`].
///
/// White space around the key, such as a final newline, is not part of it.
///
/// # Errors
/// No key; a file that cannot be read or that its group or others can read (mounted secrets excepted); a key that is not
/// printable ASCII in one word.
pub fn read_token(service: &ServiceSettings, variable: Option<SecretString>) -> Result<SecretString, TokenError> {
    match &service.token_file {
        Some(path) => usable(&read_file(path)?, path.display().to_string()),
        None => usable(&variable.ok_or(TokenError::Missing)?, TOKEN_VARIABLE.to_owned()),
    }
}

/// The value of [`TOKEN_VARIABLE`] in this process; none where it is unset, empty or not text.
pub fn token_variable() -> Option<SecretString> {
    std::env::var(TOKEN_VARIABLE).ok().filter(|text| !text.trim().is_empty()).map(SecretString::from)
}

/// Checks that a key may be sent to `url`: https, or a loopback host; and no user name, query or fragment in it.
///
/// # Errors
/// [`ConfigError::BaseUrl`].
pub fn require_tls(url: &str) -> Result<(), ConfigError> {
    let refused = |url: String, why| Err(ConfigError::BaseUrl { url, why });
    let parsed = match reqwest::Url::parse(url) {
        Ok(parsed) => parsed,
        // What cannot be parsed may hold anything, so only its length is shown, or a word that holds nothing.
        Err(_) if is_no_value(url) => return refused(url.to_owned(), NO_VALUE),
        Err(_) => {
            let why = if url.contains("://") { "it is not an address" } else { "it does not begin with https://" };
            return refused(format!("({} characters)", url.chars().count()), why);
        }
    };
    let shown = format!("{}://{}", parsed.scheme(), parsed.host_str().unwrap_or_default());
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return refused(shown, "it holds a user name or password; the key has its own place");
    }
    if parsed.port() == Some(0) {
        return refused(shown, "its port is 0, where nothing can listen");
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return refused(shown, "it holds a query or fragment");
    }
    match parsed.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(&parsed) => Ok(()),
        "http" => refused(shown, "a key is sent only over TLS, loopback excepted"),
        "localhost" => {
            refused(shown, "`localhost` stands where https or http should; it is a host, as in http://localhost:8080")
        }
        _ => refused(shown, "its scheme is not https"),
    }
}

fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn read_file(path: &Path) -> Result<SecretString, TokenError> {
    let failed = |source| TokenError::Read { path: path.to_owned(), source };
    let file = open_regular(path).map_err(failed)?;
    // Asked of the open file, so that what is checked is what is read, also behind a link.
    refuse_exposed(path, &file.metadata().map_err(failed)?)?;
    let text = text_of(file, LARGEST_TOKEN_BYTES).map_err(failed)?;
    let too_long = || TokenError::Malformed {
        place: path.display().to_string(),
        why: "it is longer than any key",
        right: "write the key alone into the file",
    };
    text.map(SecretString::from).ok_or_else(too_long)
}

#[cfg(unix)]
fn refuse_exposed(path: &Path, metadata: &std::fs::Metadata) -> Result<(), TokenError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 && !is_mounted(path) {
        return Err(TokenError::Exposed { path: path.to_owned(), mode });
    }
    Ok(())
}

/// Whether the file itself, links followed, lies where secrets are mounted.
#[cfg(unix)]
fn is_mounted(path: &Path) -> bool {
    std::fs::canonicalize(path).is_ok_and(|real| MOUNTED_SECRETS.iter().any(|folder| real.starts_with(folder)))
}

#[cfg(not(unix))]
fn refuse_exposed(_path: &Path, _metadata: &std::fs::Metadata) -> Result<(), TokenError> {
    Ok(())
}

/// The file as named, unless the name is one word: whoever gives the key itself in place of a file would find it in the log.
fn shown(path: &Path) -> String {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => quoted(&path.display().to_string()),
        _ => format!("the file that --token-file names (a word of {} characters)", path.as_os_str().len()),
    }
}

fn usable(token: &SecretString, place: String) -> Result<SecretString, TokenError> {
    use secrecy::ExposeSecret;
    let text = token.expose_secret().trim();
    match mistake(text) {
        Some((why, right)) => Err(TokenError::Malformed { place, why, right }),
        None => Ok(SecretString::from(text)),
    }
}

/// What is said of such a word.
const NO_VALUE: &str = "it is what a program writes where it has no value";

/// Whether this is what programs and templates write where they have no value.
fn is_no_value(text: &str) -> bool {
    ["undefined", "null", "none", "nil", "nan", "false", "true"]
        .iter()
        .any(|word| text.trim().eq_ignore_ascii_case(word))
}

/// Whether this is the place for a value in a template, not filled in.
fn is_placeholder(text: &str) -> bool {
    let pairs = [("${", "}"), ("$(", ")"), ("{{", "}}"), ("<", ">"), ("%", "%")];
    pairs.iter().any(|(opens, closes)| text.starts_with(opens) && text.ends_with(closes))
}

/// Quotation marks that shells, files and word processors put around a word.
const QUOTES: [char; 9] = ['"', '\'', '`', '“', '”', '„', '‘', '’', '«'];

/// What is wrong with a text as a key, and what would be right. A key is opaque, so only what no key can be is refused.
fn mistake(text: &str) -> Option<(&'static str, &'static str)> {
    let begins = |word: &str| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let is_header = text.split_once(char::is_whitespace).is_some_and(|(word, _)| word.ends_with(':'));
    if text.is_empty() {
        Some(("it is empty", "write the key there"))
    } else if text.starts_with('\u{feff}') {
        Some(("it begins with a byte order mark", "save the file as plain UTF-8 without one"))
    } else if is_no_value(text) {
        Some((NO_VALUE, "look whether the secret that it comes from is set, and write the key there"))
    } else if is_placeholder(text) {
        Some(("it is the place for a key in a template, which nobody has filled in", "write the key there"))
    } else if text.starts_with(QUOTES) || text.ends_with(QUOTES) {
        Some(("it stands in quotes, which are not part of a key", "write it without quotes"))
    } else if begins("export ") || begins("KEYAPI_") {
        Some(("it begins with the name of a variable", "write what follows the = alone"))
    } else if begins("Bearer ") || begins("Basic ") || is_header {
        Some((
            "it begins with a word of the header, such as Bearer, which the program adds itself",
            "write the key without it",
        ))
    } else if text.contains(['\n', '\r']) {
        Some(("it has more than one line", "write the key alone, on one line"))
    } else if text.contains(char::is_whitespace) {
        Some(("it holds spaces", "write the key without them"))
    } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Some(("it holds characters outside ASCII", "copy the key again, whole"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn from_variable(text: &str) -> Result<SecretString, TokenError> {
        read_token(&ServiceSettings::default(), Some(SecretString::from(text)))
    }

    #[cfg(unix)]
    fn from_file(text: &str, mode: u32) -> Result<SecretString, TokenError> {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        read_token(&ServiceSettings { token_file: Some(path), ..ServiceSettings::default() }, None)
    }

    #[test]
    fn a_missing_key_says_where_to_put_it() {
        let error = read_token(&ServiceSettings::default(), None).unwrap_err();
        assert_eq!(error.to_string(), "no key for the service: neither KEYAPI_TOKEN nor a token file is set");
        assert!(error.hint().contains("--token-file"));
    }

    #[test]
    fn a_malformed_key_is_refused_without_a_word_of_it() {
        for text in ["", "  ", "two words-of-it", "schlüssel"] {
            let error = from_variable(text).unwrap_err();
            assert!(!format!("{error} {error:?} {}", error.hint()).contains("words-of-it"));
        }
        for space in ["", "\n", "\r\n", " ", "\t\n\n"] {
            assert_eq!(from_variable(&format!("sk_live_1{space}")).unwrap().expose_secret(), "sk_live_1");
        }
    }

    /// Quotes that a file of variables or a manifest leaves around a key were sent with it, and the service refused the key.
    #[test]
    fn what_somebody_wrote_around_a_key_is_named() {
        let key = "sk_live_never_told";
        let mistakes = [
            ("'KEY'", "quotes"),
            ("\"KEY\"\n", "quotes"),
            ("'KEY'\r\n", "quotes"),
            ("\"KEY", "quotes"),
            ("KEY'", "quotes"),
            ("`KEY`", "quotes"),
            ("“KEY”", "quotes"),
            ("Bearer KEY", "Bearer"),
            ("bearer KEY\n", "Bearer"),
            ("Authorization: Bearer KEY", "Bearer"),
            ("KEYAPI_TOKEN=KEY", "variable"),
            ("export KEYAPI_TOKEN='KEY", "variable"),
            ("KEY\n# the key", "more than one line"),
            ("KEY KEY", "spaces"),
            ("\u{feff}KEY", "byte order mark"),
            ("KEY…", "outside ASCII"),
        ];
        for (text, named) in mistakes {
            let error = from_variable(&text.replace("KEY", key).replace(&format!("{key}API"), "KEYAPI")).unwrap_err();
            assert!(error.to_string().contains(named), "{text:?}: {error}");
            assert!(!format!("{error} {error:?} {}", error.hint()).contains("never_told"), "{text:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_read_is_refused() {
        assert_eq!(from_file("sk_live_2\n", 0o600).unwrap().expose_secret(), "sk_live_2");
        assert_eq!(from_file("sk_live_2\n", 0o400).unwrap().expose_secret(), "sk_live_2");
        for mode in [0o640, 0o604, 0o644] {
            assert!(matches!(from_file("sk_live_2", mode), Err(TokenError::Exposed { .. })), "{mode:o}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_as_exposed_as_what_it_leads_to() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        std::fs::write(&target, "sk_live_3").unwrap();
        symlink(&target, &link).unwrap();
        let set = |mode| std::fs::set_permissions(&target, std::fs::Permissions::from_mode(mode)).unwrap();
        let read = |path: &Path| {
            read_token(&ServiceSettings { token_file: Some(path.to_owned()), ..ServiceSettings::default() }, None)
        };
        set(0o600);
        assert_eq!(read(&link).unwrap().expose_secret(), "sk_live_3");
        set(0o640);
        assert!(matches!(read(&link), Err(TokenError::Exposed { mode: 0o640, .. })));
        // A path that only begins like that of a mounted secret was believed once.
        let detour = Path::new("/run/secrets/../..").join(target.strip_prefix("/").unwrap());
        assert!(!is_mounted(&detour) && !is_mounted(&link));
    }

    #[test]
    fn a_key_in_place_of_a_file_is_not_told() {
        let settings =
            ServiceSettings { token_file: Some(PathBuf::from("sk_live_4_in_place")), ..ServiceSettings::default() };
        let error = read_token(&settings, None).unwrap_err();
        assert!(!format!("{error} {}", error.hint()).contains("sk_live"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_key_is_refused_before_all_of_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("endless");
        std::fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let settings = ServiceSettings { token_file: Some(path), ..ServiceSettings::default() };
        assert!(matches!(read_token(&settings, None), Err(TokenError::Malformed { .. })));
    }

    /// They were sent as keys, and the service's 401 was all that anybody saw.
    #[test]
    fn what_a_program_writes_for_no_value_is_no_key() {
        for text in
            ["undefined", "null", "None", " NIL\n", "${KEYAPI_TOKEN}", "$(cat key)", "{{ keyapi }}", "<key>", "%KEY%"]
        {
            let error = from_variable(text).unwrap_err();
            assert!(matches!(error, TokenError::Malformed { .. }), "{text}: {error}");
            assert!(error.hint().contains("write the key there"), "{text}");
        }
        for text in ["nullable-7", "undefined2", "$ecret-9", "none_of_these"] {
            assert_eq!(from_variable(text).unwrap().expose_secret(), text);
        }
    }

    #[test]
    fn an_address_that_is_none_says_what_is_wrong_with_it() {
        for (url, says) in [
            ("localhost://x", "it is a host, as in http://localhost"),
            ("undefined", "`service.base_url = undefined`"),
            ("null", "where it has no value"),
            ("127.0.0.1:8080", "(14 characters)"),
            ("127.0.0.1:8080", "does not begin with https://"),
            ("https://", "it is not an address"),
        ] {
            let text = require_tls(url).unwrap_err().to_string();
            assert!(text.contains(says), "{url}: {text}");
        }
    }

    #[test]
    fn a_key_goes_only_over_tls_or_to_this_machine() {
        for url in ["https://api.keyapi.ai", "http://127.0.0.1:8080", "http://localhost", "http://[::1]:1/prefix"] {
            require_tls(url).unwrap();
        }
        for url in
            ["http://api.keyapi.ai", "ftp://127.0.0.1", "api.keyapi.ai", "http://127.0.0.1.example", "https://h?q"]
        {
            assert!(require_tls(url).is_err(), "{url}");
        }
        let text = require_tls("https://user:hidden@host").unwrap_err().to_string();
        assert!(!text.contains("hidden"), "{text}");
    }
}
