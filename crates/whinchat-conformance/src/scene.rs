//! Scenes: what clients send and what must come back, under a title.

use std::{fmt, sync::LazyLock, time::Duration};

use whinchat_codec::ProtocolVersion;

use crate::needs::Need;
use crate::notation::{Ids, Names, NotationError, Speaker, Template, version};
use crate::statement;
use crate::step::{Action, Piece, Step};
use crate::transcripts;

/// One scene of a file of transcripts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Scene {
    /// One sentence that says what is shown.
    pub title: String,
    /// The file, relative to `transcripts/`.
    pub file: String,
    /// The line of the title.
    pub line: usize,
    /// The versions that it holds for, each with the ids of the statements that it shows.
    pub versions: Vec<(ProtocolVersion, Vec<String>)>,
    /// What it needs.
    pub needs: Vec<Need>,
    pub(crate) steps: Vec<Step>,
}

/// A file of transcripts that is not understood.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct SceneError {
    file: String,
    line: usize,
    message: String,
}

/// All scenes that judge a broker.
pub fn broker_scenes() -> &'static [Scene] {
    static SCENES: LazyLock<Vec<Scene>> = LazyLock::new(|| embedded(transcripts::BROKER));
    &SCENES
}

/// All scenes that judge a client.
pub fn client_scenes() -> &'static [Scene] {
    static SCENES: LazyLock<Vec<Scene>> = LazyLock::new(|| embedded(transcripts::CLIENT));
    &SCENES
}

fn embedded(files: &[(&str, &str)]) -> Vec<Scene> {
    let scenes = files
        .iter()
        .map(|(file, text)| Scene::parse_file(file, text));
    let scenes: Result<Vec<_>, _> = scenes.collect();
    match scenes {
        Ok(scenes) => scenes.into_iter().flatten().collect(),
        Err(error) => panic!("the transcripts of this crate are read by its tests: {error}"),
    }
}

impl Scene {
    /// Reads all scenes of a file. `file` is for the report.
    ///
    /// # Errors
    /// If a line is not understood, or names a statement that does not exist.
    pub fn parse_file(file: &str, text: &str) -> Result<Vec<Self>, SceneError> {
        let mut scenes: Vec<Self> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = (index + 1, line.trim());
            let error = |message: String| SceneError {
                file: file.to_owned(),
                line: line.0,
                message,
            };
            if line.1.is_empty() || line.1.starts_with('#') {
                continue;
            }
            if let Some(title) = line.1.strip_prefix("scene ") {
                if let Some(last) = scenes.last() {
                    last.check_complete().map_err(error)?;
                }
                scenes.push(Self {
                    title: title.trim().to_owned(),
                    file: file.to_owned(),
                    line: line.0,
                    versions: Vec::new(),
                    needs: Vec::new(),
                    steps: Vec::new(),
                });
                continue;
            }
            let scene = scenes
                .last_mut()
                .ok_or_else(|| error("stands in front of the first scene".to_owned()))?;
            scene.add(line).map_err(error)?;
        }
        if let Some(last) = scenes.last() {
            last.check_complete().map_err(|message| SceneError {
                file: file.to_owned(),
                line: last.line,
                message,
            })?;
        }
        Ok(scenes)
    }

    fn add(&mut self, (number, line): (usize, &str)) -> Result<(), String> {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if let Some(version) = version(first) {
            let ids: Vec<String> = words.map(str::to_owned).collect();
            if let Some(id) = ids.iter().find(|id| !is_known(version, id)) {
                return Err(format!("MQTT {version} has no statement {id}"));
            }
            if self.versions.iter().any(|(other, _)| *other == version) {
                return Err(format!("{first} stands there twice"));
            }
            self.versions.push((version, ids));
        } else if first == "needs" {
            for word in words {
                let need = Need::parse(word);
                self.needs
                    .push(need.ok_or_else(|| format!("nothing is called {word}"))?);
            }
        } else {
            let steps = Step::parse_line(number, line).map_err(|error| error.to_string())?;
            for step in &steps {
                self.check_sent(step).map_err(|error| error.to_string())?;
            }
            self.steps.extend(steps);
        }
        Ok(())
    }

    fn check_complete(&self) -> Result<(), String> {
        match (self.versions.is_empty(), self.steps.is_empty()) {
            (true, _) => Err(format!("`{}` holds for no version", self.title)),
            (_, true) => Err(format!("`{}` has no steps", self.title)),
            _ => Ok(()),
        }
    }

    /// What is sent must say what to send, but for what only the other side knows.
    fn check_sent(&self, step: &Step) -> Result<(), NotationError> {
        let sent: Vec<Template> = match &step.action {
            Action::Send(_, pieces) => pieces
                .iter()
                .filter_map(|piece| match piece {
                    Piece::Packet(packet) | Piece::Part(_, packet) => Some(packet.clone()),
                    Piece::Bytes(_) => None,
                })
                .collect(),
            Action::SendEach(_, each) => vec![each.template(1)?],
            _ => Vec::new(),
        };
        let speaker = Speaker {
            names: &Names::plain(),
            version: ProtocolVersion::V5,
            client_id: "",
            assigned: None,
            ids: &Ids::default(),
            user_name: None,
            password: None,
        };
        for packet in sent {
            match packet.encode(&speaker) {
                Err(error) if !is_known_later(error.word()) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// How much time has to pass in the scene.
    pub(crate) fn waits(&self) -> Duration {
        let waits = self.steps.iter().map(|step| match step.action {
            Action::Wait(time) => time,
            _ => Duration::ZERO,
        });
        waits.sum()
    }

    /// The versions of its clients that do not speak the one it is played in.
    pub(crate) fn other_versions(&self) -> Vec<ProtocolVersion> {
        let sent = self.steps.iter().flat_map(|step| match &step.action {
            Action::Send(_, pieces) => &pieces[..],
            _ => &[],
        });
        let versions = sent.filter_map(|piece| match piece {
            Piece::Packet(packet) => packet.connect_version(),
            Piece::Part(..) | Piece::Bytes(_) => None,
        });
        versions.collect()
    }

    /// Version, statement ids and title, as a run reports the scene.
    pub fn name(&self, version: ProtocolVersion) -> String {
        let ids = self.ids(version).iter().map(String::as_str);
        let words: Vec<&str> = [version_word(version)]
            .into_iter()
            .chain(ids)
            .chain([self.title.as_str()])
            .collect();
        words.join(" ")
    }

    /// The statements that the scene shows in this version.
    pub fn ids(&self, version: ProtocolVersion) -> &[String] {
        let ids = self.versions.iter().find(|(one, _)| *one == version);
        ids.map_or(&[], |(_, ids)| ids)
    }
}

/// Whether a statement has this id. Errors of 5.0 (`E5-7`) and known failures (`T-12`) are in lists that are
/// no part of this crate; `cargo xtask tidy` compares them.
fn is_known(version: ProtocolVersion, id: &str) -> bool {
    let of_another_list = id
        .strip_prefix("E5-")
        .filter(|_| version.is_v5())
        .or(id.strip_prefix("T-"));
    match of_another_list {
        Some(number) => number.bytes().all(|byte| byte.is_ascii_digit()),
        None => statement(version, id).is_some(),
    }
}

/// Whether a word stands for what only the other side knows.
fn is_known_later(word: &str) -> bool {
    word.starts_with("id:") || word == "$assigned"
}

/// `v31`, `v311` or `v5`.
pub(crate) fn version_word(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::V31 => "v31",
        ProtocolVersion::V311 => "v311",
        ProtocolVersion::V5 => "v5",
    }
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.title)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_transcript_is_read_and_has_a_title_of_its_own() {
        let mut titles = HashSet::new();
        for scene in broker_scenes() {
            for (version, _) in &scene.versions {
                assert!(
                    titles.insert(scene.name(*version)),
                    "{scene} stands there twice"
                );
            }
        }
        for scene in client_scenes() {
            for (version, _) in &scene.versions {
                assert!(
                    titles.insert(format!("client {}", scene.name(*version))),
                    "{scene}"
                );
            }
        }
        assert!(!broker_scenes().is_empty());
    }

    #[test]
    fn a_scene_has_a_title_versions_needs_and_steps() {
        let text = "# about\n\nscene one\nv5 MQTT-3.1.0-1 MQTT-3.1.0-2\nv31\nneeds qos2 rm<=10\n\
                    A> PINGREQ  A< PINGRESP\n# more\n\nA! cut\nscene two\nv311 MQTT-3.1.0-1\nsettle\n";
        let scenes = Scene::parse_file("broker/x.txt", text).unwrap();
        assert_eq!(scenes.len(), 2);
        let one = &scenes[0];
        assert_eq!(
            one.name(ProtocolVersion::V5),
            "v5 MQTT-3.1.0-1 MQTT-3.1.0-2 one"
        );
        assert_eq!(one.name(ProtocolVersion::V31), "v31 one");
        assert_eq!(one.needs, [Need::Qos2, Need::ReceiveMaximum(10)]);
        assert_eq!((one.line, one.steps.len(), one.steps[2].line), (3, 3, 10));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, says) in [
            ("A> PINGREQ", "x:1: stands in front of the first scene"),
            ("scene a\nv5\nA> PINGREK", "x:3: `PINGREK` is no packet"),
            ("scene a\nv5 M31-1", "x:2: MQTT 5.0 has no statement M31-1"),
            (
                "scene a\nv5 E5-7 T-12\nv311 E5-7",
                "x:3: MQTT 3.1.1 has no statement E5-7",
            ),
            ("scene a\nv5\nv5", "x:3: v5 stands there twice"),
            ("scene a\nneeds qos3", "x:2: nothing is called qos3"),
            ("scene a\nv5", "x:1: `a` has no steps"),
            ("scene a\nsettle", "x:1: `a` holds for no version"),
            (
                "scene a\nv5\nA> PUBLISH * 'x'",
                "x:3: `*` does not say what to send",
            ),
        ] {
            assert_eq!(Scene::parse_file("x", text).unwrap_err().to_string(), says);
        }
    }

    /// Scenes may come from a file of the user.
    #[test]
    fn no_text_ends_the_reader() {
        let seed = fastrand::u64(..);
        eprintln!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let lines: Vec<&str> = transcripts::BROKER
            .iter()
            .chain(transcripts::CLIENT)
            .flat_map(|(_, text)| text.lines())
            .collect();
        let marks: Vec<char> = "'\\\"*.:=,^$-+~()[]<>!?#0aA {}\u{e4}\u{1f600}"
            .chars()
            .collect();
        let mut understood = 0;
        for _ in 0..20_000 {
            let mut line: Vec<char> = lines[random.usize(..lines.len())].chars().collect();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..=line.len());
                match random.u8(..2) {
                    0 => line.insert(at, marks[random.usize(..marks.len())]),
                    _ => drop(line.drain(at..).take(2).count()),
                }
            }
            let line: String = line.into_iter().collect();
            let read = Scene::parse_file("x", &format!("scene s\nv5\nsettle\n{line}"));
            understood += usize::from(read.is_ok());
        }
        assert!(
            understood > 100 && understood < 19_900,
            "{understood} lines are understood"
        );
    }
}
