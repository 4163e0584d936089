//! `cargo xtask bench report`: the page `docs/performance.md` and its pictures, from what the parts have written.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use super::chart;
use super::section::{Section, Table, folder};
use crate::{Outcome, workspace};

const INTRODUCTION: &str = "\
<!-- Made from docs/performance/*.json by `cargo xtask bench report`. -->

# Performance

What Whinchat costs, measured beside others in the same run. Absolute figures move with the machine; ratios say more. Each chapter names the command
that measured it; `cargo xtask bench report` makes this page from what the commands have written. CPU is user and system time of the broker's process;
*s/M* is seconds per million messages that arrived. Medians, unless it says otherwise.
";

/// Writes the page, or with `--check` fails if it would change.
pub(super) fn run(options: &[String]) -> Outcome {
    let is_check = match options {
        [] => false,
        [option] if option == "--check" => true,
        [extra, ..] => return Err(format!("unexpected argument `{extra}`; see --help").into()),
    };
    let mut stale = Vec::new();
    for (path, text) in files()? {
        if is_check {
            if fs::read_to_string(&path).is_ok_and(|here| here == text) {
                continue;
            }
            stale.push(workspace::relative(&path));
        } else {
            fs::write(&path, text)?;
            println!("wrote {}", workspace::relative(&path));
        }
    }
    if stale.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "{} is stale: run `cargo xtask bench report`",
            stale.join(", ")
        )
        .into())
    }
}

/// The page and its pictures.
fn files() -> Result<Vec<(PathBuf, String)>, Box<dyn Error>> {
    let sections = Section::load_all()?;
    let mut files = vec![(
        workspace::root().join("docs/performance.md"),
        page(&sections)?,
    )];
    for chart in sections.iter().flat_map(|section| &section.charts) {
        let picture = chart::draw(chart)?;
        files.push((folder().join(format!("{}.svg", chart.file)), picture));
    }
    Ok(files)
}

fn page(sections: &[Section]) -> Result<String, std::fmt::Error> {
    let mut page = INTRODUCTION.to_owned();
    for section in sections {
        write!(page, "\n## {}\n\n", section.heading)?;
        for command in &section.commands {
            writeln!(page, "    {command}")?;
        }
        write!(page, "\n{}\n", section.conditions)?;
        for table in &section.tables {
            write!(page, "\n{}", markdown(table))?;
        }
        for chart in &section.charts {
            write!(
                page,
                "\n![{}](performance/{}.svg)\n",
                chart.title, chart.file
            )?;
        }
        for paragraph in &section.text {
            write!(page, "\n{paragraph}\n")?;
        }
    }
    Ok(page)
}

fn markdown(table: &Table) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule: Vec<String> = table.columns.iter().map(|_| "---".to_owned()).collect();
    let mut text = String::new();
    if !table.caption.is_empty() {
        text += &format!("{}\n\n", table.caption);
    }
    text += &line(&table.columns);
    text += &line(&rule);
    for row in &table.rows {
        text += &line(row);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chapter_has_its_commands_tables_and_pictures() {
        let section: Section = serde_json::from_str(
            r#"{"order": 1, "heading": "One", "commands": ["cargo run"], "conditions": "Idle.",
                "text": ["Flat."],
                "tables": [{"caption": "Figures:", "columns": ["a", "b"], "rows": [["1", "2"]]}],
                "charts": [{"file": "one", "title": "One", "kind": "lines", "x_label": "n", "y_label": "us",
                            "series": [{"name": "s", "points": [[1, 2.0], [10, 3.0]]}]}]}"#,
        )
        .unwrap();
        let page = page(&[section]).unwrap();
        assert!(page.starts_with(INTRODUCTION));
        assert_eq!(
            page.strip_prefix(INTRODUCTION).unwrap(),
            "\n## One\n\n    cargo run\n\nIdle.\n\nFigures:\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\
             \n![One](performance/one.svg)\n\nFlat.\n"
        );
    }
}
