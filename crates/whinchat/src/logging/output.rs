//! Where a formatted line goes: through flood control and escaping to stderr.

use std::io::{self, Write};

use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

use super::{
    escape::OneLine,
    flood::{FloodControl, Verdict},
};

/// Gives each event its writer.
pub(super) struct Output {
    flood: FloodControl,
    json: bool,
}

impl Output {
    pub(super) fn text() -> Self {
        Self {
            flood: FloodControl::default(),
            json: false,
        }
    }

    pub(super) fn json() -> Self {
        Self {
            flood: FloodControl::default(),
            json: true,
        }
    }

    /// A line that says how many were left out, in the form of the others.
    fn note(&self, left_out: u64, target: &str) -> String {
        if self.json {
            let note = serde_json::json!({
                "level": "WARN",
                "message": "lines like the next one were left out",
                "left_out": left_out,
                "target": target,
            });
            return format!("{note}\n");
        }
        format!("WARN {target}: {left_out} lines like the next one were left out\n")
    }
}

impl<'a> MakeWriter<'a> for Output {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line::Written(OneLine::new(io::stderr()))
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line {
        let mut writer = OneLine::new(io::stderr());
        match self.flood.verdict(metadata) {
            Verdict::LeaveOut => return Line::LeftOut,
            Verdict::WriteAfter { left_out } => {
                // With stderr gone there is nobody left to tell.
                let _ = writer.write_all(self.note(left_out, metadata.target()).as_bytes());
            }
            Verdict::Write => {}
        }
        Line::Written(writer)
    }
}

/// The writer of one line.
pub(super) enum Line {
    Written(OneLine<io::Stderr>),
    LeftOut,
}

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self {
            Self::Written(writer) => writer.write(line),
            Self::LeftOut => Ok(line.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Written(writer) => writer.flush(),
            Self::LeftOut => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_has_the_form_of_the_other_lines() {
        assert_eq!(
            Output::text().note(5, "broker"),
            "WARN broker: 5 lines like the next one were left out\n"
        );
        let note: serde_json::Value =
            serde_json::from_str(&Output::json().note(5, "broker")).unwrap();
        assert_eq!(note["left_out"], 5);
        assert_eq!(note["level"], "WARN");
    }
}
