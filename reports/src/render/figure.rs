//! What sections are made of: findings, figures, tables, notes.

use askama::Template;
use serde::{Serialize, Serializer};

use crate::charts::{Chart, Values, Width, escape};

/// A section of the report.
#[derive(Clone, Debug)]
pub(super) struct Section {
    /// Its number in the report's order.
    pub(super) number: u8,
    /// Its anchor.
    pub(super) id: &'static str,
    /// Its heading.
    pub(super) title: &'static str,
    /// What it says, in order.
    pub(super) parts: Vec<Part>,
}

/// One thing that a section says.
#[derive(Clone, Debug)]
pub(super) enum Part {
    /// What was found, as a sentence.
    Finding(String),
    /// How to read what follows.
    Note(String),
    /// A heading inside the section.
    Heading(String),
    /// Named stretches above the charts: for wide screens, and for narrow ones.
    Strip(String, String),
    /// A chart with all that belongs to it.
    Figure(Box<Figure>),
    /// A table behind a click, and what the click says.
    Folded(String, Table),
    /// A table that is always open.
    Table(Table),
    /// Sentences in a list.
    List(Vec<String>),
    /// Text as it was written, under a heading: a command, a file.
    Verbatim(String, String),
    /// Links to the run's other files, which lie beside the report.
    Files,
}

/// A chart, what it says, how it was measured, and its numbers.
#[derive(Clone, Debug, Template)]
#[template(path = "figure.html")]
pub(super) struct Figure {
    id: String,
    title: String,
    caption: String,
    alternative: String,
    wide: String,
    narrow: String,
    table: Option<Table>,
    /// What the script reads out at an instant, where the x axis is the run's time.
    pub(super) readout: Option<Readout>,
}

impl Figure {
    /// Draws a chart. `title` says what it shows; `alternative` says its key values to who can't see it.
    pub(super) fn new(id: &str, title: String, caption: impl Into<String>, alternative: String, chart: &Chart) -> Self {
        let (heading, words) = (format!("{id}-title"), format!("{id}-words"));
        Self {
            id: id.to_owned(),
            title,
            caption: caption.into(),
            alternative,
            wide: chart.svg(Width::Wide, (&heading, &words)),
            narrow: chart.svg(Width::Narrow, (&heading, &words)),
            table: None,
            readout: None,
        }
    }

    /// With its numbers, a click away.
    pub(super) fn with_table(self, table: Table) -> Self {
        Self { table: Some(table), ..self }
    }

    /// On the run's time axis: `unit` is `us`, `count`, `per_s`, `cores` or `bytes`; values are by bin.
    pub(super) fn over_time<'a>(self, unit: &'static str, series: impl IntoIterator<Item = (&'a str, Values)>) -> Self {
        let series = series.into_iter().map(|(name, values)| Lane { name: name.to_owned(), values }).collect();
        let readout = Readout { id: self.id.clone(), unit, series };
        Self { readout: Some(readout), ..self }
    }

    /// As part of a section.
    pub(super) fn part(self) -> Part {
        Part::Figure(Box::new(self))
    }
}

/// A chart's numbers for the script.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Readout {
    id: String,
    unit: &'static str,
    series: Vec<Lane>,
}

/// A line's numbers for the script.
#[derive(Clone, Debug, Serialize)]
struct Lane {
    name: String,
    #[serde(serialize_with = "short")]
    values: Values,
}

/// Numbers with at most three decimals: no reader sees more, and a file read back renders to the same bytes.
fn short<S: Serializer>(values: &Values, serializer: S) -> Result<S::Ok, S::Error> {
    let exact = |v: f64| v.fract() == 0.0 && v.abs() < 9e15;
    serializer.collect_seq(values.iter().map(|value| match *value {
        None => serde_json::Value::Null,
        Some(v) if exact(v) => (v as i64).into(),
        Some(v) => ((v * 1e3).round() / 1e3).into(),
    }))
}

/// Rows of words and numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Table {
    /// Names of the columns.
    pub(super) columns: Vec<Column>,
    /// The rows.
    pub(super) rows: Vec<Row>,
    /// Whether a phone shows each row as a block of its own.
    pub(super) stacked: bool,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Column {
    /// Its name.
    pub(super) name: String,
    /// What it holds.
    pub(super) holds: Holds,
}

/// What a column holds, which decides where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// A word or two.
    Words,
    /// Numbers, which stand at the right.
    Numbers,
    /// Sentences, which a phone shows in full width.
    Prose,
}

impl Holds {
    fn class(self) -> &'static str {
        match self {
            Self::Words => "",
            Self::Numbers => " class=\"n\"",
            Self::Prose => " class=\"prose\"",
        }
    }
}

/// A row of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    /// Its cells, the first being its name.
    pub(super) cells: Vec<String>,
    /// Whether something is wrong with it; it says so in words, too.
    pub(super) bad: bool,
}

impl Table {
    /// A table; a column whose name starts with `#` holds numbers, with `~` prose.
    pub(super) fn new(columns: &[&str]) -> Self {
        let column = |name: &&str| {
            let (holds, name) = match (name.strip_prefix('#'), name.strip_prefix('~')) {
                (Some(name), _) => (Holds::Numbers, name),
                (_, Some(name)) => (Holds::Prose, name),
                _ => (Holds::Words, *name),
            };
            Column { name: name.into(), holds }
        };
        Self { columns: columns.iter().map(column).collect(), ..Self::default() }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.marked(false, cells);
    }

    /// Adds a row that may be bad.
    pub(super) fn marked(&mut self, bad: bool, cells: impl IntoIterator<Item = String>) {
        self.rows.push(Row { cells: cells.into_iter().collect(), bad });
    }

    /// One block a row on a phone.
    pub(super) fn stacked(self) -> Self {
        Self { stacked: true, ..self }
    }

    /// As HTML: written here, for figures and sections both show tables.
    pub(super) fn html(&self) -> String {
        let mut out = String::from(if self.stacked { "<table class=\"stacked\">" } else { "<table>" });
        out.push_str("<thead><tr>");
        for column in &self.columns {
            let class = column.holds.class();
            out.push_str(&format!("<th scope=\"col\"{class}>{}</th>", escape(&column.name)));
        }
        out.push_str("</tr></thead><tbody>");
        for row in &self.rows {
            out.push_str(if row.bad { "<tr class=\"bad-row\">" } else { "<tr>" });
            for (i, (cell, column)) in row.cells.iter().zip(&self.columns).enumerate() {
                let (tag, scope) = if i == 0 { ("th", " scope=\"row\"") } else { ("td", "") };
                let class = column.holds.class();
                let (label, cell) = (escape(&column.name), escape(cell));
                out.push_str(&format!("<{tag}{scope}{class} data-label=\"{label}\">{cell}</{tag}>"));
            }
            out.push_str("</tr>");
        }
        out.push_str("</tbody></table>");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_escapes_its_cells() {
        let mut table = Table::new(&["name", "#count"]);
        table.marked(true, ["<b>".to_owned(), "1".to_owned()]);
        let html = table.html();
        assert!(html.contains("&lt;b&gt;") && !html.contains("<b>"), "{html}");
        assert!(html.contains(r#"<td class="n" data-label="count">1</td>"#), "{html}");
    }
}
