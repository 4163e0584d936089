//! The configuration as text for people: the default file, and the pages of the operators' manual
//! that list options, limits and metrics.
//!
//! All of it comes from the rows; a test compares the pages with `docs/broker/`.

use std::fmt::Write as _;

use super::{
    Config, ListenerConfig,
    row::{Row, Section},
    sections::Sections,
};
use crate::{BrokerLimits, Limit, metrics};

/// Width of the comments in the default file.
const COLUMNS: usize = 110;

impl Config {
    /// The default file: every option with its text and its default, commented out.
    ///
    /// A line that begins with `#` and a letter or a bracket is an option: without the `#` it says
    /// what holds anyway.
    #[must_use]
    pub fn default_file() -> String {
        let mut file = String::new();
        comment(
            &mut file,
            "The configuration of whinchat serve. Everything here is optional; what stands behind # is the default.",
        );
        comment(
            &mut file,
            "A flag wins over an environment variable (WHINCHAT__LIMITS__PACKET_SIZE=1MiB), that one over this file.",
        );
        comment(
            &mut file,
            "Check a changed file: whinchat config check FILE",
        );
        Self::default().for_each_section(&mut DefaultFile(&mut file));
        heading(&mut file, ListenerConfig::DOC, "[[listener]]");
        for (index, listener) in Self::default().listeners.iter().enumerate() {
            if index > 0 {
                file.push_str("\n#[[listener]]\n");
            }
            options(&mut file, ListenerConfig::ROWS, listener, index == 0);
        }
        file.push('\n');
        comment(
            &mut file,
            "The limits of the listener above, where they differ from [limits]. Such as:",
        );
        file.push_str("# [listener.limits]\n# packet_size = \"64KiB\"\n");
        file
    }
}

struct DefaultFile<'a>(&'a mut String);

impl Sections for DefaultFile<'_> {
    type Answer = ();

    fn visit<S: Section>(&mut self, section: &mut S) {
        let title = if S::NAME.is_empty() {
            String::new()
        } else {
            format!("[{}]", S::NAME)
        };
        heading(self.0, S::DOC, &title);
        options(self.0, S::ROWS, section, true);
    }
}

fn heading(file: &mut String, doc: &[&str], title: &str) {
    file.push('\n');
    if title.is_empty() {
        return;
    }
    comment(file, &sentences(doc));
    line(file, format_args!("#{title}"));
}

fn options<S>(file: &mut String, rows: &[Row<S>], section: &S, explained: bool) {
    for row in rows {
        if explained {
            file.push('\n');
            comment(file, &sentences(row.doc));
            comment(file, &format!("Takes {}.", (row.expected)()));
        }
        line(file, format_args!("#{} = {}", row.key, (row.show)(section)));
    }
}

/// Text behind `# `, broken between words.
fn comment(file: &mut String, text: &str) {
    let mut column = 0;
    for word in text.split_whitespace() {
        if column == 0 {
            file.push('#');
            column = 1;
        } else if column + 1 + word.chars().count() > COLUMNS {
            file.push_str("\n#");
            column = 1;
        }
        file.push(' ');
        file.push_str(word);
        column += 1 + word.chars().count();
    }
    file.push('\n');
}

fn line(file: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(file, "{text}").expect("writing into a String does not fail");
}

fn sentences(doc: &[&str]) -> String {
    doc.iter()
        .map(|line| line.trim())
        .collect::<Vec<_>>()
        .join(" ")
}

/// A page of the operators' manual that is made from the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Page {
    /// `configuration.md`: every option.
    Configuration,
    /// `limits.md`: L-1 to L-20.
    Limits,
    /// `metrics.md`: every metric.
    Metrics,
}

impl Page {
    /// All pages.
    pub const ALL: [Self; 3] = [Self::Configuration, Self::Limits, Self::Metrics];

    /// The name of the file below `docs/broker`, without `.md`; also how the program calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Limits => "limits",
            Self::Metrics => "metrics",
        }
    }

    /// The page with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|page| page.name() == name)
    }

    /// The page in Markdown.
    #[must_use]
    pub fn text(self) -> String {
        let mut page = String::new();
        line(
            &mut page,
            format_args!(
                "<!-- Made from the code by `whinchat config reference {}`. -->\n",
                self.name()
            ),
        );
        match self {
            Self::Configuration => configuration(&mut page),
            Self::Limits => limits(&mut page),
            Self::Metrics => metrics_page(&mut page),
        }
        page
    }
}

fn configuration(page: &mut String) {
    page.push_str(
        "# Configuration\n\n\
         `whinchat serve --config FILE` reads a TOML file. `whinchat config default` prints one with every option in it, and\n\
         `whinchat config check FILE` says what is wrong with yours: file and line, what was expected, and the nearest key that exists.\n\n\
         A flag wins over an environment variable, that one over the file, the file over the default. The variable of an option is\n\
         `WHINCHAT__SECTION__KEY`, with two underscores: `WHINCHAT__LIMITS__PACKET_SIZE=1MiB`, `WHINCHAT__ACK=memory`. Listeners are named:\n\
         `WHINCHAT__LISTENER__OFFICE__URL=mqtt://0.0.0.0:1883` adds one to those of the file, or takes the place of the two of the default,\n\
         and `WHINCHAT__LISTENER__OFFICE__ANONYMOUS=true` opens it. Names with one underscore, such as those that Kubernetes sets for a service\n\
         named whinchat, mean nothing.\n\n\
         Sizes carry a unit (`\"512B\"`, `\"64KiB\"`, `\"2MiB\"`, `\"1GiB\"`), and so do times (`\"500ms\"`, `\"10s\"`, `\"30m\"`, `\"1h30m\"`, `\"1d\"`).\n\
         An unknown key, a value out of its range, a key that stands twice: each is an error, and the broker does not start.\n",
    );
    Config::default().for_each_section(&mut Reference(page));
    let listener = ListenerConfig::default();
    section_reference(
        page,
        "[[listener]]",
        ListenerConfig::DOC,
        ListenerConfig::ROWS,
        &listener,
    );
    page.push_str("\nA listener may set these of the [limits](limits.md) for itself, under `[listener.limits]`: ");
    let own: Vec<String> = BrokerLimits::OF_A_LISTENER
        .iter()
        .map(|key| format!("`{key}`"))
        .collect();
    line(page, format_args!("{}.", own.join(", ")));
    page.push_str(
        "\nWithout any `[[listener]]` the broker listens on `mqtt://127.0.0.1:1883` and, where the machine has it, `mqtt://[::1]:1883`.\n",
    );
}

struct Reference<'a>(&'a mut String);

impl Sections for Reference<'_> {
    type Answer = ();

    fn visit<S: Section>(&mut self, section: &mut S) {
        let title = if S::NAME.is_empty() {
            "Before the first heading".to_owned()
        } else {
            format!("[{}]", S::NAME)
        };
        section_reference(self.0, &title, S::DOC, S::ROWS, section);
    }
}

fn section_reference<S>(
    page: &mut String,
    title: &str,
    doc: &[&str],
    rows: &[Row<S>],
    section: &S,
) {
    line(page, format_args!("\n## {title}\n\n{}\n", sentences(doc)));
    page.push_str("| option | default | takes | meaning |\n| --- | --- | --- | --- |\n");
    for row in rows {
        let (key, default, takes, meaning) = (
            row.key,
            (row.show)(section),
            (row.expected)(),
            sentences(row.doc),
        );
        line(
            page,
            format_args!("| `{key}` | `{default}` | {takes} | {meaning} |"),
        );
    }
}

fn limits(page: &mut String) {
    page.push_str(
        "# Limits\n\n\
         Nothing in the broker grows, queues or waits without a bound. Each stands under `[limits]` of the [configuration](configuration.md).\n\
         When one holds something off, `whinchat_limit_hits_total{limit=\"...\"}` counts it, and the log names the option.\n\
         Those marked with * may be set for one listener alone, under `[listener.limits]`.\n\n\
         | limit | option | default | takes | meaning |\n| --- | --- | --- | --- | --- |\n",
    );
    let defaults = BrokerLimits::default();
    let mut id = "";
    for row in BrokerLimits::ROWS {
        // Options without a name of their own say how the limit before them acts.
        if let Some(limit) = Limit::ALL.iter().find(|limit| limit.key() == row.key) {
            id = limit.id();
        }
        let own = if BrokerLimits::OF_A_LISTENER.contains(&row.key) {
            " *"
        } else {
            ""
        };
        let (key, default, takes, meaning) = (
            row.key,
            (row.show)(&defaults),
            (row.expected)(),
            sentences(row.doc),
        );
        line(
            page,
            format_args!("| {id} | `{key}`{own} | `{default}` | {takes} | {meaning} |"),
        );
    }
}

fn metrics_page(page: &mut String) {
    page.push_str(
        "# Metrics\n\n\
         `http://127.0.0.1:9883/metrics` (`listen` under `[admin]`) gives these in the OpenMetrics text form that Prometheus reads.\n\
         Units are seconds and bytes. Names and texts change only with a major version. No label ever carries a client id, a user name or\n\
         a topic: each label is a closed list, so a client cannot make new series.\n\n\
         | metric | type | label | meaning |\n| --- | --- | --- | --- |\n",
    );
    for metrics::Description {
        name,
        kind,
        label,
        help,
        ..
    } in metrics::descriptions()
    {
        let label = label.map_or(String::new(), |label| format!("`{label}`"));
        line(
            page,
            format_args!("| `{name}` | {kind} | {label} | {help} |"),
        );
    }
    page.push_str("\n## Values of the labels\n\n| label | of | values |\n| --- | --- | --- |\n");
    for metrics::LabelValues { label, of, values } in metrics::label_values() {
        let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
        line(
            page,
            format_args!("| `{label}` | `{of}` | {} |", values.join(", ")),
        );
    }
}
