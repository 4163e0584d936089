//! User name and password: the options, where a password may come from, and the warning that it goes in clear text.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use whinchat_transport::{Endpoint, Url};

use super::{Failure, note};

/// Where a password is taken from if none is given.
const PASSWORD_VARIABLE: &str = "WHINCHAT_PASSWORD";

#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub(crate) struct LoginArgs {
    /// User name.
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,
    /// Password. Others on this machine can see it: rather use --password-file or the variable WHINCHAT_PASSWORD.
    #[arg(
        short = 'P',
        long = "pw",
        value_name = "PASSWORD",
        allow_hyphen_values = true,
        conflicts_with = "password_file"
    )]
    password: Option<String>,
    /// File whose first line is the password.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// What is sent in CONNECT. At least one of the two is there.
pub(crate) struct Login {
    pub(crate) user_name: Option<String>,
    pub(crate) password: Option<Vec<u8>>,
}

impl LoginArgs {
    /// Whether any of the options was given.
    pub(crate) fn is_given(&self) -> bool {
        self.username.is_some() || self.password.is_some() || self.password_file.is_some()
    }

    /// The options, else what the URL has, else the environment.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn login(&self, url: Url) -> Result<Option<Login>, Failure> {
        let user_name = self.username.clone().or(url.user_name);
        let password = match (&self.password, &self.password_file) {
            (Some(password), _) => Some(password.clone().into_bytes()),
            (None, Some(file)) => Some(first_line(file)?),
            // A password in the environment alone was meant for another call.
            (None, None) => url.password.or_else(|| {
                user_name.as_ref()?;
                std::env::var(PASSWORD_VARIABLE)
                    .ok()
                    .map(String::into_bytes)
            }),
        };
        Ok(
            (user_name.is_some() || password.is_some()).then_some(Login {
                user_name,
                password,
            }),
        )
    }

    /// Tells on stderr who can read the password, if somebody can.
    pub(crate) fn warn_of_clear_text(&self, endpoint: &Endpoint) {
        let Endpoint::Tcp { host, .. } = endpoint else {
            return;
        };
        if is_loopback(host) {
            return;
        }
        note(format_args!(
            "warning: the password goes to {host} in clear text"
        ));
        if self.password.is_some() {
            note(format_args!(
                "warning: others on this machine can see the password of -P; --password-file and {PASSWORD_VARIABLE} hide it"
            ));
        }
    }
}

fn first_line(file: &Path) -> Result<Vec<u8>, Failure> {
    let content = fs::read(file)
        .map_err(|error| Failure::Usage(format!("--password-file {}: {error}", file.display())))?;
    let line = content
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    Ok(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
}

fn is_loopback(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for (host, expected) in [
            ("localhost", true),
            ("127.0.0.9", true),
            ("::1", true),
            ("192.0.2.1", false),
            ("localhost.org", false),
        ] {
            assert_eq!(is_loopback(host), expected, "{host}");
        }
    }
}
