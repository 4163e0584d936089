//! Which statements and scenes are wanted.

use whinchat_conformance::{Play, ProtocolVersion, Statement, chapters, statement, statements};

use super::glob::Glob;
use crate::commands::tool::Failure;

/// What `--id`, `--chapter`, `--mqtt` and `--scene` leave.
pub(super) struct Choice {
    ids: Vec<Glob>,
    /// Full names of chapters; empty for all.
    chapters: Vec<&'static str>,
    versions: Vec<ProtocolVersion>,
    /// Parts of names of scenes; empty for all.
    scenes: Vec<String>,
}

impl Choice {
    /// # Errors
    /// An id or a chapter that no statement of the versions has.
    pub(super) fn new(
        ids: Vec<Glob>,
        chapter_names: &[String],
        versions: Vec<ProtocolVersion>,
        scenes: Vec<String>,
    ) -> Result<Self, Failure> {
        let mut choice = Self {
            ids: Vec::new(),
            chapters: Vec::new(),
            versions,
            scenes,
        };
        for name in chapter_names {
            choice.chapters.extend(choice.chapters_called(name)?);
        }
        for id in ids {
            let is_known = choice
                .all_versions()
                .flat_map(statements)
                .any(|statement| id.matches(&statement.id));
            if !is_known {
                return Err(Failure::Usage(format!(
                    "--id {}: no statement has such an id",
                    id.as_str()
                )));
            }
            choice.ids.push(id);
        }
        Ok(choice)
    }

    /// Chapters by their number or by the beginning of their name.
    fn chapters_called(&self, name: &str) -> Result<Vec<&'static str>, Failure> {
        let wanted = name.to_lowercase();
        let found: Vec<_> = self
            .all_versions()
            .flat_map(chapters)
            .filter(|chapter| {
                let chapter = chapter.to_lowercase();
                chapter == wanted || chapter.split(' ').any(|word| word == wanted)
            })
            .map(String::as_str)
            .collect();
        if found.is_empty() {
            let mut known = Vec::new();
            for chapter in self.all_versions().flat_map(chapters) {
                let number = chapter.split(' ').next().unwrap_or(chapter);
                if !known.contains(&number) {
                    known.push(number);
                }
            }
            return Err(Failure::Usage(format!(
                "--chapter {name}: there is none; there are {}",
                known.join(", ")
            )));
        }
        Ok(found)
    }

    fn all_versions(&self) -> impl Iterator<Item = ProtocolVersion> {
        ProtocolVersion::ALL
            .into_iter()
            .rev()
            .filter(|version| self.versions.is_empty() || self.versions.contains(version))
    }

    /// Whether the statement is to be reported.
    pub(super) fn has_statement(&self, statement: &Statement) -> bool {
        let is_in = |version| self.versions.is_empty() || self.versions.contains(&version);
        is_in(statement.version)
            && (self.chapters.is_empty() || self.chapters.contains(&statement.chapter()))
            && (self.ids.is_empty() || self.ids.iter().any(|id| id.matches(&statement.id)))
    }

    /// Whether a scene is to be played. One that shows no statement belongs to the whole version.
    pub(super) fn has_play(&self, play: &Play<'_>) -> bool {
        let name = play.scene.name(play.version);
        if !self.scenes.is_empty() && !self.scenes.iter().any(|part| name.contains(part)) {
            return false;
        }
        if self.ids.is_empty() && self.chapters.is_empty() {
            return self.versions.is_empty() || self.versions.contains(&play.version);
        }
        play.scene
            .ids(play.version)
            .iter()
            .filter_map(|id| statement(play.version, id))
            .any(|statement| self.has_statement(statement))
    }
}
