//! What an operator gets to read when a configuration is wrong, and that the printed one is right.

use std::{ffi::OsString, path::Path};

use whinchat_broker::{
    QueueOverflow,
    config::{Auto, ByteSize, Config, LogFormat, Seconds},
};

fn environment(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    variables
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)))
        .collect()
}

#[track_caller]
fn expect_error(text: &str, message: &str) {
    let error = Config::parse("whinchat.toml", text).expect_err("the text is wrong");
    assert_eq!(error.to_string(), message);
}

mod default_file {
    use super::*;

    #[test]
    fn says_nothing_that_does_not_hold_anyway() {
        assert_eq!(
            Config::parse("default", &Config::default_file()),
            Ok(Config::default())
        );
    }

    #[test]
    fn without_its_comment_signs_it_is_the_default() {
        let uncommented: String = Config::default_file()
            .lines()
            .map(|line| {
                line.strip_prefix('#')
                    .filter(|rest| !rest.starts_with(' '))
                    .unwrap_or(line)
            })
            .map(|line| format!("{line}\n"))
            .collect();
        assert!(
            uncommented.contains("\npacket_size = \"2MiB\"\n"),
            "{uncommented}"
        );
        assert!(uncommented.contains("\n[[listener]]\n"), "{uncommented}");
        assert_eq!(
            Config::parse("default", &uncommented),
            Ok(Config::default())
        );
    }

    #[test]
    fn may_be_served_without_a_login() {
        assert_eq!(Config::default().check(false), Ok(()));
    }
}

#[test]
fn a_file_is_read() {
    let text = r#"
        ack = "memory"
        threads = 2
        mqtt.maximum_qos = 1

        [[listener]]
        name = "office"
        url = "0.0.0.0:1883"
        anonymous = true
        limits = { packet_size = "64KiB" }

        [[listener]]
        url = "unix:/run/whinchat.sock"

        [limits]
        keep_alive_max = "10m"
        session_expiry_max = "30d"
        queue_overflow = "drop-oldest"
        memory_size = "1GiB"

        [admin]
        listen = "[::1]:9000"

        [log]
        format = "json"

        [sys]
        interval = "none"
    "#;
    let config = Config::parse("t", text).unwrap();
    assert_eq!(config.general.threads, Auto::Set(2));
    assert_eq!(config.mqtt.maximum_qos, 1);
    assert_eq!(config.listeners.len(), 2);
    assert_eq!(config.listeners[0].display_name(), "office");
    assert_eq!(
        config.limits_of(&config.listeners[0]).packet_size,
        ByteSize::kib(64)
    );
    assert_eq!(
        config.limits_of(&config.listeners[0]).keep_alive_max,
        Some(Seconds::new(600))
    );
    assert_eq!(
        config.limits_of(&config.listeners[1]).packet_size,
        ByteSize::mib(2)
    );
    assert_eq!(
        config.listeners[1].url.to_string(),
        "unix:/run/whinchat.sock"
    );
    assert_eq!(config.limits.queue_overflow, QueueOverflow::DropOldest);
    assert_eq!(config.limits.memory_bytes(), 1 << 30);
    assert_eq!(config.admin.listen.unwrap().get().to_string(), "[::1]:9000");
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.sys.interval, None);
    assert_eq!(config.check(false), Ok(()));
}

mod errors {
    use super::*;

    #[test]
    fn an_unknown_key_names_the_nearest() {
        expect_error(
            "[limits]\n\npacket_sise = \"1MiB\"\n",
            "whinchat.toml:3: unknown key limits.packet_sise; perhaps packet_size is meant",
        );
        expect_error(
            "[limit]\nx = 1\n",
            "whinchat.toml:1: unknown key [limit]; perhaps [limits] is meant",
        );
        expect_error(
            "ackk = \"memory\"\n",
            "whinchat.toml:1: unknown key ackk; perhaps ack is meant",
        );
        expect_error(
            "zzz = 1\n",
            "whinchat.toml:1: unknown key zzz; `whinchat config default` lists all there are",
        );
        expect_error(
            "[[listener]]\nurl = \"[::1]:1\"\nanonymus = true\n",
            "whinchat.toml:3: unknown key listener.anonymus; perhaps anonymous is meant",
        );
    }

    #[test]
    fn a_key_under_the_wrong_heading_is_sent_to_the_right_one() {
        expect_error(
            "[mqtt]\npacket_size = \"1MiB\"\n",
            "whinchat.toml:2: unknown key mqtt.packet_size; perhaps packet_size under [limits] is meant",
        );
        expect_error(
            "[limits]\nack = \"memory\"\n",
            "whinchat.toml:2: unknown key limits.ack; perhaps ack before the first heading is meant",
        );
    }

    #[test]
    fn a_bad_value_says_what_was_expected() {
        expect_error(
            "[limits]\npacket_size = \"2 megabytes\"\n",
            "whinchat.toml:2: limits.packet_size = \"2 megabytes\": expected a size with its unit (B, KiB, MiB, GiB, \
             TiB), such as \"64KiB\", from 256B to 268435460B",
        );
        expect_error(
            "[limits]\nsend_window = -1\n",
            "whinchat.toml:2: limits.send_window = -1: expected a whole number, from 1 to 65535",
        );
        expect_error(
            "[limits]\nconnect_timeout = 10\n",
            "whinchat.toml:2: limits.connect_timeout = 10: expected a time with its unit (ms, s, m, h, d), such as \
             \"10s\", from 100ms to 1h",
        );
        expect_error(
            "[log]\nlevel = \"verbose\"\n",
            "whinchat.toml:2: log.level = \"verbose\": expected \"off\" or \"error\" or \"warn\" or \"info\" or \
             \"debug\" or \"trace\"",
        );
    }

    #[test]
    fn all_of_them_are_said_in_the_order_of_the_lines() {
        expect_error(
            "[sys]\ninterval = \"0s\"\n[limits]\ntopic_levels = 0\ntopik_size = \"1B\"\n",
            "whinchat.toml:2: sys.interval = \"0s\": expected \"none\" or a time with its unit (ms, s, m, h, d), such \
             as \"10s\", from 1s to 1d\n\
             whinchat.toml:4: limits.topic_levels = 0: expected a whole number, from 1 to 65535\n\
             whinchat.toml:5: unknown key limits.topik_size; perhaps topic_size is meant",
        );
    }

    #[test]
    fn an_ack_level_that_cannot_be_chosen_is_refused_with_the_reason() {
        expect_error(
            "ack = \"replicated\"\n",
            "whinchat.toml:1: ack = \"replicated\": this version has no cluster yet: \"synced\" is the strongest level",
        );
    }

    #[test]
    fn what_is_no_list_of_topic_filters_is_none() {
        for value in ["\"a\"", "[1]", "[\"a/#/b\"]", "[\"\"]", "[\"$share/g/a\"]"] {
            let text = format!("[acks]\nmemory = {value}\n");
            let error = Config::parse("t", &text).unwrap_err().to_string();
            assert!(
                error.starts_with("t:2: acks.memory = ")
                    && error.contains("a list of topic filters that are not shared"),
                "{error}"
            );
        }
        let config = Config::parse("t", "[acks]\nmemory = [\"a,b\", \"c/#\"]").unwrap();
        assert_eq!(config.acks.memory.iter().count(), 2);
    }

    #[test]
    fn the_admin_port_is_for_this_machine() {
        for address in ["0.0.0.0:9883", "[::]:9883", "192.0.2.1:9883"] {
            let error = Config::parse("t", &format!("[admin]\nlisten = \"{address}\"\n"))
                .unwrap_err()
                .to_string();
            assert!(
                error.ends_with("nobody logs in there: use 127.0.0.1 or [::1]"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_limit_of_the_whole_broker_is_none_of_a_listener() {
        expect_error(
            "[[listener]]\nurl = \"[::1]:1\"\n[listener.limits]\nsubscriptions = 5\n",
            "whinchat.toml:4: subscriptions is a limit of the whole broker: it belongs under [limits], not under a \
             listener",
        );
    }

    #[test]
    fn a_listener_has_two_brackets_and_a_url() {
        expect_error(
            "[listener]\nurl = \"[::1]:1\"\n",
            "whinchat.toml:1: listener: expected a heading in two brackets, one for each listener: [[listener]]",
        );
        expect_error(
            "[[listener]]\nname = \"a\"\n",
            "whinchat.toml:1: a listener needs a url, such as url = \"mqtt://127.0.0.1:1883\"",
        );
    }

    #[test]
    fn a_transport_that_is_not_there_is_refused() {
        let error =
            Config::parse("t", "[[listener]]\nurl = \"mqtts://0.0.0.0:8883\"\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "t:2: listener.url = \"mqtts://0.0.0.0:8883\": expected mqtt://HOST:PORT, ADDRESS:PORT or unix:PATH"
        );
    }

    #[test]
    fn what_is_not_toml_has_its_line() {
        let error = Config::parse("t", "[limits]\nsend_window = = 2\n").unwrap_err();
        assert_eq!(error.problems()[0].line(), Some(2), "{error}");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Config::load(Some(Path::new("/nowhere/whinchat.toml")), [])
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("/nowhere/whinchat.toml: cannot be read: "),
            "{error}"
        );
    }
}

mod access {
    use super::*;

    fn check(text: &str, has_authenticator: bool) -> Result<(), String> {
        Config::parse("t", text)
            .unwrap()
            .check(has_authenticator)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_listener_for_other_machines_needs_a_login_or_says_that_it_is_open() {
        for url in [
            "0.0.0.0:1883",
            "[::]:1883",
            "192.0.2.7:1883",
            "broker.example:1883",
            "[::ffff:192.0.2.7]:1883",
        ] {
            let listener = format!("[[listener]]\nurl = \"{url}\"\n");
            let error = check(&listener, false).unwrap_err();
            assert!(
                error.contains("\nanonymous = true\n"),
                "the line to add: {error}"
            );
            assert_eq!(
                check(&format!("{listener}anonymous = true\n"), false),
                Ok(())
            );
            assert!(check(&format!("{listener}anonymous = false\n"), false).is_err());
            assert_eq!(check(&listener, true), Ok(()));
        }
    }

    #[test]
    fn a_local_listener_needs_neither() {
        for url in [
            "127.0.0.1:1883",
            "127.9.9.9:1883",
            "[::1]:1883",
            "localhost:1883",
            "unix:/run/w.sock",
        ] {
            assert_eq!(
                check(&format!("[[listener]]\nurl = \"{url}\"\n"), false),
                Ok(())
            );
        }
    }

    #[test]
    fn anonymous_clients_are_let_in_only_where_that_is_said_or_safe() {
        use whinchat_broker::access::admits_anonymous;
        let listener = |text: &str| Config::parse("t", text).unwrap().listeners.remove(0);
        let local = listener("[[listener]]\nurl = \"127.0.0.1:1\"\n");
        assert_eq!(admits_anonymous(&local, false), Ok(true));
        assert_eq!(admits_anonymous(&local, true), Ok(false));
        let closed = listener("[[listener]]\nurl = \"127.0.0.1:1\"\nanonymous = false\n");
        assert_eq!(admits_anonymous(&closed, false), Ok(false));
        let open = listener("[[listener]]\nurl = \"0.0.0.0:1\"\nanonymous = true\n");
        assert_eq!(admits_anonymous(&open, true), Ok(true));
    }

    #[test]
    fn two_listeners_at_one_place_are_refused() {
        let twice =
            "[[listener]]\nurl = \"[::1]:1883\"\n[[listener]]\nurl = \"mqtt://[::1]:1883\"\n";
        assert_eq!(
            check(twice, false).unwrap_err(),
            "two listeners have the url mqtt://[::1]:1883"
        );
        let chosen = "[[listener]]\nurl = \"[::1]:0\"\n[[listener]]\nurl = \"[::1]:0\"\n";
        assert_eq!(check(chosen, false), Ok(()));
        let named = "[[listener]]\nname = \"a\"\nurl = \"[::1]:1\"\n[[listener]]\nname = \"A\"\nurl = \"[::1]:2\"\n";
        assert_eq!(
            check(named, false).unwrap_err(),
            "two listeners have the name A"
        );
    }
}

mod environment_variables {
    use super::*;

    #[test]
    fn they_win_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("whinchat.toml");
        std::fs::write(&file, "[limits]\nsend_window = 7\ntopic_levels = 9\n").unwrap();
        let variables = environment(&[
            ("WHINCHAT__LIMITS__SEND_WINDOW", "8"),
            ("WHINCHAT__SYS__INTERVAL", "none"),
        ]);
        let config = Config::load(Some(&file), variables).unwrap();
        assert_eq!(
            (config.limits.send_window, config.limits.topic_levels),
            (8, 9)
        );
        assert_eq!(config.sys.interval, None);
    }

    #[test]
    fn those_of_a_kubernetes_service_do_no_harm() {
        let variables = environment(&[
            ("WHINCHAT_PORT", "tcp://10.0.0.11:1883"),
            ("WHINCHAT_SERVICE_HOST", "10.0.0.11"),
            ("WHINCHAT_SERVICE_PORT", "1883"),
            ("WHINCHAT_PORT_1883_TCP", "tcp://10.0.0.11:1883"),
            ("WHINCHAT_PORT_1883_TCP_PROTO", "tcp"),
        ]);
        assert_eq!(Config::load(None, variables), Ok(Config::default()));
    }

    #[test]
    fn an_unknown_one_names_the_nearest() {
        let error = Config::load(
            None,
            environment(&[("WHINCHAT__LIMITS__PACKET_SISE", "1MiB")]),
        )
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "environment variable WHINCHAT__LIMITS__PACKET_SISE: unknown key limits.packet_sise; perhaps \
             WHINCHAT__LIMITS__PACKET_SIZE is meant"
        );
        let error = Config::load(
            None,
            environment(&[("WHINCHAT__LIMIT__PACKET_SIZE", "1MiB")]),
        )
        .unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("perhaps WHINCHAT__LIMITS__PACKET_SIZE is meant"),
            "{error}"
        );
    }

    #[test]
    fn a_bad_value_names_the_variable() {
        let error = Config::load(None, environment(&[("WHINCHAT__THREADS", "many")])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "environment variable WHINCHAT__THREADS: threads = \"many\": expected \"auto\" or a whole number, from 1 to \
             1024"
        );
    }

    #[test]
    fn they_add_and_change_listeners_by_name() {
        let added = environment(&[
            ("WHINCHAT__LISTENER__OFFICE__URL", "mqtt://0.0.0.0:1884"),
            ("WHINCHAT__LISTENER__OFFICE__ANONYMOUS", "true"),
            ("WHINCHAT__LISTENER__OFFICE__LIMITS__PACKET_SIZE", "1KiB"),
        ]);
        let config = Config::load(None, added).unwrap();
        assert_eq!(config.listeners.len(), 1, "in the place of the default's");
        assert_eq!(config.listeners[0].url.to_string(), "mqtt://0.0.0.0:1884");
        assert_eq!(config.listeners[0].anonymous, Auto::Set(true));
        assert_eq!(
            config.limits_of(&config.listeners[0]).packet_size,
            ByteSize::kib(1)
        );

        let changed = environment(&[("WHINCHAT__LISTENER__LOCAL_IPV6__OPTIONAL", "false")]);
        let config = Config::load(None, changed).unwrap();
        assert_eq!(config.listeners.len(), 2, "the default's, changed");
        assert!(!config.listeners[1].optional);

        let unnamed = environment(&[("WHINCHAT__LISTENER__OFFICE__ANONYMOUS", "true")]);
        assert!(
            Config::load(None, unnamed)
                .unwrap_err()
                .to_string()
                .contains("a listener needs a url")
        );
    }

    #[test]
    fn one_that_is_not_text_is_refused() {
        use std::os::unix::ffi::OsStringExt;
        let variable = (
            OsString::from("WHINCHAT__ACK"),
            OsString::from_vec(vec![0xFF]),
        );
        let error = Config::load(None, [variable]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "environment variable WHINCHAT__ACK: is not UTF-8 text"
        );
    }
}

mod mosquitto {
    use super::*;

    #[test]
    fn its_file_is_recognised_and_each_line_answered() {
        expect_error(
            "# Place your local configuration in /etc/mosquitto/conf.d/\n\
             pid_file /run/mosquitto/mosquitto.pid\n\
             persistence true\n\
             listener 1883 0.0.0.0\n\
             allow_anonymous true\n",
            "whinchat.toml: this is a configuration file of Mosquitto; Whinchat has its own, in TOML. `whinchat config \
             default > whinchat.toml` gives one to start from.\n  \
             line 2: pid_file: nothing: the service manager knows the process\n  \
             line 3: persistence: nothing: it is on; data_dir = \"none\" keeps everything in memory\n  \
             line 4: listener: [[listener]] with url = \"mqtt://ADDRESS:PORT\"\n  \
             line 5: allow_anonymous: anonymous = true in a [[listener]]; a local listener needs nothing",
        );
    }

    #[test]
    fn a_broken_file_of_ours_is_not_taken_for_it() {
        let error = Config::parse("t", "[[listener]]\nurl = \"a:1\"\nuser x\n").unwrap_err();
        assert_eq!(error.problems()[0].line(), Some(3), "{error}");
    }
}
