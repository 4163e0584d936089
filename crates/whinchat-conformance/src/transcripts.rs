//! The files of `transcripts/`, as they are part of this crate.

macro_rules! files {
    ($folder:literal: $($name:literal)*) => {
        &[$((
            concat!($folder, "/", $name, ".txt"),
            include_str!(concat!("../transcripts/", $folder, "/", $name, ".txt")),
        )),*]
    };
}

pub(crate) const BROKER: &[(&str, &str)] = files! { "broker":
    "aliases"
    "auth"
    "client_id"
    "connack"
    "connect"
    "disconnect"
    "errors"
    "expiry"
    "fixed_header"
    "flow_control"
    "keep_alive"
    "order"
    "overlap"
    "packet_size"
    "properties"
    "publish"
    "qos1"
    "qos2"
    "requests"
    "resume"
    "retained"
    "session"
    "shared"
    "strings"
    "subscribe"
    "take_over"
    "topics"
    "unsubscribe"
    "will_delay"
    "wills"
};

pub(crate) const CLIENT: &[(&str, &str)] = files! { "client":
    "acknowledgements" "aliases" "auth" "connect" "disconnect" "flow_control" "keep_alive" "limits" "malformed"
    "publish" "resume" "subscribe"
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_is_missing() {
        for (folder, listed) in [("broker", BROKER), ("client", CLIENT)] {
            let path = format!("{}/transcripts/{folder}", env!("CARGO_MANIFEST_DIR"));
            let mut found: Vec<String> = std::fs::read_dir(path)
                .expect("the folder is there")
                .map(|entry| {
                    entry
                        .expect("an entry")
                        .file_name()
                        .into_string()
                        .expect("UTF-8")
                })
                .filter(|name| name.ends_with(".txt"))
                .map(|name| format!("{folder}/{name}"))
                .collect();
            found.sort();
            let listed: Vec<&str> = listed.iter().map(|(file, _)| *file).collect();
            assert_eq!(listed, found, "the list is in the order of the names");
        }
    }
}
