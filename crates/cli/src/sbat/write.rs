//! `xen-lockdown sbat write`.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use lockdown_image::sbat::{HEADER, Row, Table};
use lockdown_unify::Finding;
use serde_json::json;

use crate::arguments::SbatWriteArguments;
use crate::sbat::row_json;
use crate::{files, findings};

/// The component of Xen itself.
const UPSTREAM: &str = "xen";

pub(super) fn run(arguments: &SbatWriteArguments) -> Result<ExitCode> {
    let component = match &arguments.component {
        Some(component) => component.clone(),
        None => component(&arguments.vendor).with_context(|| {
            format!("no component can be named after the vendor {:?}: name it with --component", arguments.vendor)
        })?,
    };
    let text = text(arguments, component);
    let file =
        arguments.output.as_deref().map_or_else(|| "the table".to_owned(), |path| path.display().to_string());
    // Judged as any other one: what is written passes `check`.
    let (table, mistakes) = Table::examine(text.as_bytes());
    let mistakes: Vec<_> = mistakes.iter().map(|mistake| (file.clone(), Finding::from(mistake))).collect();
    if let Some(output) = arguments.output.as_deref().filter(|_| mistakes.is_empty()) {
        files::refuse_output(output, &[])?;
        files::write(output, |file| Ok(file.write_all(text.as_bytes())?))?;
    }
    if arguments.format == "json" {
        let rows: Vec<_> = table.rows.iter().map(row_json).collect();
        let document = json!({
            "schema": "xen-lockdown/sbat-write/1",
            "file": arguments.output.as_ref().map(|path| path.display().to_string()),
            "rows": rows,
            "findings": findings::json(&mistakes),
        });
        anstream::println!("{}", serde_json::to_string_pretty(&document)?);
    } else {
        findings::print(&mistakes);
        match arguments.output {
            _ if !mistakes.is_empty() => anstream::eprintln!("no table was written"),
            Some(_) => anstream::println!("{file}: {} rows", table.rows.len()),
            None => anstream::print!("{text}"),
        }
    }
    Ok(if mistakes.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn text(arguments: &SbatWriteArguments, component: String) -> String {
    let mut text = format!("{HEADER}\n");
    let mut add = |row: Row| {
        text.push_str(&row.to_string());
        text.push('\n');
    };
    if let Some(generation) = arguments.upstream_generation {
        add(Row {
            line: 0,
            component: UPSTREAM.to_owned(),
            generation,
            vendor: "Xen Project".to_owned(),
            package: "xen".to_owned(),
            version: upstream_version(&arguments.version).to_owned(),
            url: "https://xenproject.org".to_owned(),
        });
    }
    add(Row {
        line: 0,
        component,
        generation: arguments.generation,
        vendor: arguments.vendor.clone(),
        package: arguments.package.clone(),
        version: arguments.version.clone(),
        url: arguments.url.clone(),
    });
    text
}

/// `xen.example` for a vendor that is called Example.
fn component(vendor: &str) -> Option<String> {
    let name: String = vendor.chars().filter(char::is_ascii_alphanumeric).collect();
    (!name.is_empty()).then(|| format!("{UPSTREAM}.{}", name.to_ascii_lowercase()))
}

/// Xen's own part of a package's version: 4.20.0 of 4.20.0+68-1.
fn upstream_version(version: &str) -> &str {
    let end = version.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|&end| end > 0);
    end.and_then(|end| version.get(..end)).unwrap_or(version)
}
