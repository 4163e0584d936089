//! Places and URLs as people write them.

use std::fmt::Write as _;

use whinchat_transport::{Endpoint, Url};

use super::super::steps::Steps;

/// What must show in no message.
const SECRET: &str = "s3cr3t";

/// A text is a place or is refused, and a place is the same when it is written and read again. What a URL carries comes
/// out as it was put in behind percent signs. No message shows what stands where a password does.
pub fn endpoint(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        check_place(text);
        check_secret(text);
    }
    let mut steps = Steps(data);
    let (user, password) = (steps.piece(), steps.piece());
    let (name, value) = (steps.piece(), steps.piece());
    let text = |bytes| std::str::from_utf8(bytes).ok();
    if let (Some(user), Some(name), Some(value)) = (text(user), text(name), text(value)) {
        check_url(user, password, name, value);
    }
}

fn check_place(text: &str) {
    match text.parse::<Endpoint>() {
        Ok(endpoint) => {
            let written = endpoint.to_string();
            assert_eq!(written.parse(), Ok(endpoint.clone()), "{written:?}");
            if let Endpoint::Tcp { host, .. } = endpoint {
                assert!(!host.is_empty());
                assert!(!host.contains(|c: char| c.is_whitespace() || c.is_control()));
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The text as a password that nobody has written with percent signs, and around one.
fn check_secret(text: &str) {
    let texts = [
        format!("mqtt://user:{text}{SECRET}@host:1"),
        format!("mqtt://user:{SECRET}{text}@host:1"),
        format!("user:{SECRET}{text}@host"),
    ];
    for text in texts {
        let message = match text.parse::<Url>() {
            // Behind a question mark it may be an option: `h:1?client_id=a@b`.
            Ok(url) if !url.options.is_empty() => continue,
            Ok(url) => format!("{url:?}"),
            Err(error) => error.to_string(),
        };
        assert!(!message.contains(SECRET), "{text:?}: {message}");
        if let Err(error) = text.parse::<Endpoint>() {
            assert!(!error.to_string().contains(SECRET), "{text:?}: {error}");
        }
    }
}

fn check_url(user: &str, password: &[u8], name: &str, value: &str) {
    let text = format!(
        "mqtt://{}:{}@host:7?{}={}",
        escaped(user.as_bytes()),
        escaped(password),
        escaped(name.as_bytes()),
        escaped(value.as_bytes())
    );
    let url: Url = text.parse().expect("a URL");
    assert_eq!(url.endpoint, Endpoint::tcp("host", 7));
    assert_eq!(url.user_name.as_deref(), Some(user));
    assert_eq!(url.password.as_deref(), Some(password));
    let option = (name.to_owned(), value.to_owned());
    assert_eq!(url.options, [option]);
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => text.push(char::from(*byte)),
            _ => write!(text, "%{byte:02x}").expect("a string takes all"),
        }
        text
    })
}
