//! What a run found, as data and in three forms.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::console::Verdict;
use crate::machine::Dom0;

/// The schema of `report.json`.
pub const SCHEMA: &str = "xen-lockdown/prove/1";

/// A run's findings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// One for each kind of machine.
    pub columns: Vec<Column>,
}

/// One kind of machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// What was booted, `stock` for Debian's own.
    pub name: String,
    /// How dom0 ran.
    pub dom0: Dom0,
    /// Versions of packages, and hashes of what was booted.
    pub versions: BTreeMap<String, String>,
    /// Seen to be on, by dom0; a column without it does not come to be.
    pub secure_boot: bool,
    /// What came of what.
    pub results: Vec<Entry>,
    /// How long the machine as it is signed took.
    pub boot: BootSeconds,
    /// What gave no answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unanswered: Vec<Unanswered>,
    /// The consoles of its machines, by name.
    #[serde(skip)]
    pub consoles: Vec<(String, String)>,
    /// What it was declared to do.
    #[serde(skip)]
    pub declared: Declared,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Of what; `ID/twin` is the harmless twin of `ID`.
    pub id: String,
    /// From where.
    pub kind: Kind,
    /// The answer.
    pub verdict: Verdict,
    /// What was seen.
    pub evidence: String,
    /// How long it took.
    pub seconds: f64,
}

/// From where something was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Keyboard and disk.
    Outside,
    /// Root in dom0.
    Inside,
    /// What must keep working.
    Toolstack,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Outside => "outside",
            Self::Inside => "inside",
            Self::Toolstack => "toolstack",
        }
    }
}

/// How long the parts of a boot took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BootSeconds {
    /// To Xen's first line.
    pub firmware_s: Option<f64>,
    /// From there to its last.
    pub xen_s: Option<f64>,
    /// From there to process 1.
    pub dom0_s: Option<f64>,
}

/// Something that was tried and gave no answer: the lab failed there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unanswered {
    /// What.
    pub id: String,
    /// What happened.
    pub message: String,
}

/// How a column's answers are held against what is declared for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surprise {
    /// The column, with its dom0.
    pub column: String,
    /// What.
    pub id: String,
    /// What was declared; nothing where nothing was.
    pub declared: Option<Verdict>,
    /// What came.
    pub found: Verdict,
}

/// What is declared: for each id its verdict with a PV and with a PVH dom0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Declared(BTreeMap<String, Expected>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
struct Expected {
    pv: Verdict,
    pvh: Verdict,
}

impl Declared {
    /// Reads a declaration.
    ///
    /// # Errors
    /// Where it is not understood.
    pub fn read(text: &str) -> anyhow::Result<Self> {
        Ok(Self(toml::from_str(text)?))
    }

    /// Adds what is declared for one more, with both kinds of dom0.
    pub fn add(&mut self, id: &str, verdict: Verdict) {
        self.0.insert(id.to_owned(), Expected { pv: verdict, pvh: verdict });
    }

    /// What is declared for `id`. Twins must work, and so must the toolstack.
    fn verdict(&self, id: &str, kind: Kind, dom0: Dom0) -> Option<Verdict> {
        match self.0.get(id) {
            Some(expected) => Some(match dom0 {
                Dom0::Pv => expected.pv,
                Dom0::Pvh => expected.pvh,
            }),
            None if id.ends_with("/twin") || kind == Kind::Toolstack => Some(Verdict::Works),
            None => None,
        }
    }
}

impl Column {
    /// The name and the kind of dom0.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{} {}", self.name, self.dom0.name())
    }

    /// What differs from the declaration.
    #[must_use]
    pub fn surprises(&self) -> Vec<Surprise> {
        let mut surprises = Vec::new();
        for entry in &self.results {
            let expected = self.declared.verdict(&entry.id, entry.kind, self.dom0);
            if expected != Some(entry.verdict) {
                surprises.push(Surprise {
                    column: self.title(),
                    id: entry.id.clone(),
                    declared: expected,
                    found: entry.verdict,
                });
            }
        }
        surprises
    }
}

impl Report {
    /// A report without columns.
    #[must_use]
    pub fn new() -> Self {
        Self { schema: SCHEMA.to_owned(), columns: Vec::new() }
    }

    /// Whether everything that was tried gave an answer.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.columns.iter().all(|column| column.unanswered.is_empty())
    }

    /// Every id, in the order in which it was first tried.
    fn ids(&self) -> Vec<&str> {
        let mut ids: Vec<&str> = Vec::new();
        for column in &self.columns {
            let answered = column.results.iter().map(|entry| entry.id.as_str());
            for id in answered.chain(column.unanswered.iter().map(|it| it.id.as_str())) {
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
        }
        ids
    }

    /// The table: attacks down, columns across.
    #[must_use]
    pub fn table(&self) -> String {
        let ids = self.ids();
        let width = ids.iter().map(|id| id.len()).max().unwrap_or(0).max(6);
        let mut text = format!("{:width$}", "attack");
        for column in &self.columns {
            let _ = write!(text, "  {:14}", column.title());
        }
        text = text.trim_end().to_owned();
        text.push('\n');
        for id in ids {
            let mut line = format!("{id:width$}");
            for column in &self.columns {
                let _ = write!(line, "  {:14}", column.word(id));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// JUnit's XML, as CI systems read it.
    #[must_use]
    pub fn junit(&self) -> String {
        let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n".to_owned();
        for column in &self.columns {
            let surprises = column.surprises();
            let title = xml(&column.title());
            let _ = writeln!(
                text,
                "  <testsuite name=\"{title}\" tests=\"{}\" failures=\"{}\" errors=\"{}\">",
                column.results.len().saturating_add(column.unanswered.len()),
                surprises.len(),
                column.unanswered.len()
            );
            for entry in &column.results {
                let _ = write!(
                    text,
                    "    <testcase classname=\"{title}.{}\" name=\"{}\" time=\"{:.3}\">",
                    entry.kind.name(),
                    xml(&entry.id),
                    entry.seconds
                );
                let surprise = surprises.iter().find(|surprise| surprise.id == entry.id);
                if let Some(surprise) = surprise {
                    let declared = surprise.declared.map_or("nothing", Verdict::name);
                    let _ = write!(
                        text,
                        "<failure message=\"{}, declared is {declared}\">{}</failure>",
                        entry.verdict.name(),
                        xml(&entry.evidence)
                    );
                } else if entry.verdict == Verdict::NotApplicable {
                    let _ = write!(text, "<skipped message=\"{}\"/>", xml(&entry.evidence));
                } else {
                    let _ = write!(
                        text,
                        "<system-out>{}: {}</system-out>",
                        entry.verdict.name(),
                        xml(&entry.evidence)
                    );
                }
                text.push_str("</testcase>\n");
            }
            for it in &column.unanswered {
                let _ = writeln!(
                    text,
                    "    <testcase classname=\"{title}\" name=\"{}\"><error message=\"no answer\">{}</error></testcase>",
                    xml(&it.id),
                    xml(&it.message)
                );
            }
            text.push_str("  </testsuite>\n");
        }
        text.push_str("</testsuites>\n");
        text
    }

    /// One page with everything, which loads nothing.
    #[must_use]
    pub fn html(&self) -> String {
        let mut text = HTML_HEAD.to_owned();
        text.push_str("<table><tr><th>attack</th>");
        for column in &self.columns {
            let _ = write!(text, "<th>{}</th>", xml(&column.title()));
        }
        text.push_str("</tr>\n");
        for id in self.ids() {
            let _ = write!(text, "<tr><td><code>{}</code></td>", xml(id));
            for column in &self.columns {
                let evidence = column.results.iter().find(|entry| entry.id == id);
                let evidence = evidence.map_or("", |entry| entry.evidence.as_str());
                let word = column.word(id);
                let class = word.replace(' ', "-");
                let _ = write!(text, "<td class=\"{class}\">{word}<small>{}</small></td>", xml(evidence));
            }
            text.push_str("</tr>\n");
        }
        text.push_str("</table>\n<h2>Boot time</h2>\n");
        text.push_str(&self.chart());
        for column in &self.columns {
            let _ = write!(text, "<h2>{}</h2>\n<table>", xml(&column.title()));
            for (name, value) in &column.versions {
                let _ = writeln!(text, "<tr><td>{}</td><td><code>{}</code></td></tr>", xml(name), xml(value));
            }
            let _ = writeln!(text, "</table>");
            for (name, console) in &column.consoles {
                let _ = writeln!(
                    text,
                    "<details><summary>Console: <code>{}</code></summary><pre>{}</pre></details>",
                    xml(name),
                    xml(console)
                );
            }
            for it in &column.unanswered {
                let _ = writeln!(
                    text,
                    "<p>No answer: <code>{}</code></p><pre>{}</pre>",
                    xml(&it.id),
                    xml(&it.message)
                );
            }
        }
        text.push_str("</main></body></html>\n");
        text
    }

    /// Bars for the parts of each boot.
    fn chart(&self) -> String {
        const SCALE: f64 = 20.0;
        let height = self.columns.len().saturating_mul(28).saturating_add(4);
        let mut text = format!("<svg width=\"100%\" height=\"{height}\" role=\"img\" aria-label=\"boot time\">");
        for (number, column) in self.columns.iter().enumerate() {
            let top = number.saturating_mul(28);
            let base = top.saturating_add(18);
            let _ = write!(text, "<text x=\"0\" y=\"{base}\">{}</text>", xml(&column.title()));
            let mut left = 110.0;
            let parts = [column.boot.firmware_s, column.boot.xen_s, column.boot.dom0_s];
            for ((seconds, name), class) in parts.into_iter().zip(["firmware", "Xen", "dom0"]).zip(["a", "b", "c"])
            {
                let seconds = seconds.unwrap_or(0.0);
                let width = seconds * SCALE;
                let _ = write!(
                    text,
                    "<rect x=\"{left:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"24\" class=\"{class}\">\
                     <title>{name}</title></rect><text x=\"{:.1}\" y=\"{base}\">{name} {seconds:.1} s</text>",
                    left + 4.0
                );
                left += width;
            }
        }
        text.push_str("</svg>\n");
        text
    }
}

impl Default for Report {
    fn default() -> Self {
        Self::new()
    }
}

impl Column {
    fn word(&self, id: &str) -> &'static str {
        if let Some(entry) = self.results.iter().find(|entry| entry.id == id) {
            return entry.verdict.name();
        }
        if self.unanswered.iter().any(|it| it.id == id) { "no answer" } else { "-" }
    }
}

const HTML_HEAD: &str = r#"<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>xen-lockdown prove</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 } main { max-width: 75rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100% } td, th { border: 1px solid #8886; padding: .3rem .5rem; text-align: left; vertical-align: top }
small { display: block; opacity: .75; overflow-wrap: anywhere } pre { overflow: auto; max-height: 30rem; font-size: 12px }
.breached, .broken, .no-answer { background: #d323 } .held, .works { background: #3a32 }
svg text { font-size: 13px; fill: currentColor } .a { fill: #47a6 } .b { fill: #a746 } .c { fill: #7a46 }
</style></head><body><main><h1>xen-lockdown prove</h1>
"#;

/// Text as it stands in XML and HTML; what XML cannot say is left out.
fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(character),
            '\u{fffe}' | '\u{ffff}' => {}
            _ if character.is_control() => {}
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn report() -> Report {
        let entry = |id: &str, kind, verdict| Entry {
            id: id.into(),
            kind,
            verdict,
            evidence: "a <b> & \"c\"\u{1b}".into(),
            seconds: 1.5,
        };
        let column = Column {
            name: "stock".into(),
            dom0: Dom0::Pv,
            versions: BTreeMap::from([("xen".into(), "4.20".into())]),
            secure_boot: true,
            results: vec![
                entry("one", Kind::Outside, Verdict::Breached),
                entry("one/twin", Kind::Outside, Verdict::Works),
                entry("two", Kind::Inside, Verdict::Held),
                entry("xl-list", Kind::Toolstack, Verdict::Broken),
            ],
            boot: BootSeconds { firmware_s: Some(2.0), xen_s: Some(3.0), dom0_s: None },
            unanswered: vec![Unanswered { id: "three".into(), message: "time is up".into() }],
            consoles: vec![("as-signed".into(), "(XEN)".into())],
            declared: Declared::read(DECLARED).unwrap(),
        };
        Report { columns: vec![column], ..Report::new() }
    }

    const DECLARED: &str =
        "one = { pv = \"breached\", pvh = \"held\" }\ntwo = { pv = \"breached\", pvh = \"breached\" }\n";

    #[test]
    fn the_json_is_as_the_schema_says() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["schema"], "xen-lockdown/prove/1");
        let column = &json["columns"][0];
        assert_eq!(column["dom0"], "pv");
        assert_eq!(column["secure_boot"], true);
        assert_eq!(column["results"][0]["verdict"], "breached");
        assert_eq!(column["results"][0]["kind"], "outside");
        assert_eq!(column["boot"]["firmware_s"], 2.0);
        let again: Report = serde_json::from_value(json).unwrap();
        assert_eq!(again.columns[0].results, report().columns[0].results);
    }

    #[test]
    fn what_differs_from_the_declaration_is_found() {
        let found = report().columns[0].surprises();
        let ids: Vec<&str> = found.iter().map(|surprise| surprise.id.as_str()).collect();
        // An attack that holds where it was declared to breach is one, too.
        assert_eq!(ids, ["two", "xl-list"]);
        let undeclared = Column { declared: Declared::default(), ..report().columns.remove(0) };
        assert_eq!(undeclared.surprises()[0].declared, None);
        let mut one = Declared::default();
        one.add("one", Verdict::Breached);
        let declared = Column { declared: one, ..undeclared };
        assert!(declared.surprises().iter().all(|surprise| surprise.id != "one"));
        assert!(Declared::read("one = { pv = \"passed\" }").is_err());
    }

    #[test]
    fn the_table_has_every_id() {
        let table = report().table();
        assert_eq!(table.lines().count(), 6);
        assert!(table.contains("three     no answer"), "{table}");
        assert!(!report().is_complete());
    }

    #[test]
    fn foreign_text_cannot_break_out() {
        for text in [report().junit(), report().html()] {
            assert!(text.contains("a &lt;b&gt; &amp; &quot;c&quot;") && !text.contains('\u{1b}'), "{text}");
        }
        assert!(report().junit().contains("tests=\"5\" failures=\"2\" errors=\"1\""));
        assert!(!report().html().contains("http"));
    }
}
