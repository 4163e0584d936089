//! What one part of the measurements found, as it stands in `docs/performance/`: the page is made from these files.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::workspace;

/// One chapter of the page.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Section {
    /// Chapters stand in this order.
    pub(super) order: u32,
    pub(super) heading: String,
    /// What was typed.
    pub(super) commands: Vec<String>,
    /// Versions, machine, what else ran, what an ack meant.
    pub(super) conditions: String,
    /// Paragraphs of Markdown.
    #[serde(default)]
    pub(super) text: Vec<String>,
    #[serde(default)]
    pub(super) tables: Vec<Table>,
    #[serde(default)]
    pub(super) charts: Vec<Chart>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Table {
    pub(super) caption: String,
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Chart {
    /// The name of the picture, without folder and `.svg`.
    pub(super) file: String,
    pub(super) title: String,
    pub(super) kind: ChartKind,
    pub(super) x_label: String,
    pub(super) y_label: String,
    #[serde(default)]
    pub(super) log_x: bool,
    #[serde(default)]
    pub(super) log_y: bool,
    pub(super) series: Vec<Series>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ChartKind {
    /// A group of bars for each label.
    Bars,
    /// A line for each series over numbers.
    Lines,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(X, f64)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum X {
    Number(f64),
    Label(String),
}

impl Section {
    /// Writes it as `docs/performance/NAME.json`.
    pub(super) fn save(&self, name: &str) -> Result<(), Box<dyn Error>> {
        let folder = folder();
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{name}.json"));
        fs::write(&path, serde_json::to_string_pretty(self)? + "\n")?;
        println!("wrote {}", workspace::relative(&path));
        Ok(())
    }

    /// All of them, in their order.
    pub(super) fn load_all() -> Result<Vec<Self>, Box<dyn Error>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(folder())? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                let section: Self = serde_json::from_str(&fs::read_to_string(&path)?)
                    .map_err(|error| format!("{}: {error}", workspace::relative(&path)))?;
                all.push(section);
            }
        }
        all.sort_by_key(|section| section.order);
        Ok(all)
    }
}

/// Where sections and pictures are.
pub(super) fn folder() -> PathBuf {
    workspace::root().join("docs/performance")
}

/// A figure with three digits that count, as the tables have it.
pub(super) fn short(value: f64) -> String {
    let size = value.abs();
    if size >= 1_000.0 {
        let whole = format!("{value:.0}");
        let mut grouped = String::new();
        for (place, digit) in whole.chars().enumerate() {
            if place > 0 && (whole.len() - place).is_multiple_of(3) && !grouped.ends_with('-') {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        grouped
    } else if size >= 100.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size >= 1.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}

/// The middle one, or the mean of the two in the middle.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle).copied()?;
    Some(if values.len().is_multiple_of(2) {
        f64::midpoint(values.get(middle - 1).copied()?, upper)
    } else {
        upper
    })
}

#[cfg(test)]
mod tests {
    use super::{median, short};

    #[test]
    fn a_figure_has_three_digits_that_count() {
        let shown = [1_234_567.0, 999.6, 123.4, 12.34, 1.234, 0.1234, -1_234.0].map(short);
        let expected = [
            "1,234,567",
            "1000",
            "123",
            "12.3",
            "1.23",
            "0.123",
            "-1,234",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }
}
