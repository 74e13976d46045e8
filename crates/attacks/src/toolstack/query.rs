//! Commands that only ask.

use anyhow::{Context as _, Result};

use super::guests::Guest;
use super::xl::{domains, field, last_lines, xl};
use crate::outcome::{Outcome, broken, works};

/// What Xen prints, in every build, when domain 0 is about to run.
const HANDOVER: [&str; 2] = ["*** Serial input to DOM0", "init memory"];

pub(super) fn info() -> Outcome {
    let text = match xl(&["info"], 20)? {
        Ok(text) => text,
        Err(message) => return broken(message),
    };
    let version = version()?;
    let number = |key: &str| field(&text, key).and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
    let (total, free) = (number("total_memory"), number("free_memory"));
    let told = field(&text, "xen_version").unwrap_or("nothing");
    let evidence = format!(
        "xen_version {told} (sysfs: {version}), total_memory {total}, free_memory {free}, virt_caps {}, xen_caps {}",
        field(&text, "virt_caps").unwrap_or("nothing"),
        field(&text, "xen_caps").unwrap_or("nothing")
    );
    if told == version && total > 0 && free < total { works(evidence) } else { broken(evidence) }
}

fn version() -> Result<String> {
    let part = |name: &str| -> Result<String> {
        let place = format!("/sys/hypervisor/version/{name}");
        Ok(std::fs::read_to_string(&place).context(place)?.trim().to_owned())
    };
    Ok(format!("{}.{}{}", part("major")?, part("minor")?, part("extra")?))
}

pub(super) fn list() -> Outcome {
    let all = match domains()? {
        Ok(all) => all,
        Err(message) => return broken(message),
    };
    let Some(own) = all.iter().find(|domain| domain.id == 0) else {
        return broken(format!("domain 0 is not among {all:?}"));
    };
    let evidence = format!("{own:?}");
    // Who asks is running.
    let good = own.name == "Domain-0" && own.state.contains('r') && own.memory > 0 && own.time > 0.0;
    if good { works(evidence) } else { broken(evidence) }
}

pub(super) fn dmesg() -> Outcome {
    let text = match xl(&["dmesg"], 20)? {
        Ok(text) => text,
        Err(message) => return broken(message),
    };
    let missing = HANDOVER.iter().find(|line| !text.contains(*line));
    match missing {
        None => {
            works(format!("{} lines, {:?} and {:?} among them", text.lines().count(), HANDOVER[0], HANDOVER[1]))
        }
        Some(line) => broken(format!("{line:?} is not in {} bytes: {}", text.len(), last_lines(&text, 4))),
    }
}

pub(super) fn vcpu_list(guest: &Guest) -> Outcome {
    let text = match xl(&["vcpu-list", guest.name], 20)? {
        Ok(text) => text,
        Err(message) => return broken(message),
    };
    let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split_ascii_whitespace().collect()).collect();
    // Name, domain, number, physical processor, state, seconds, affinity.
    let [row] = rows.as_slice() else { return broken(format!("not one row: {}", last_lines(&text, 4))) };
    let time = row.get(5).and_then(|time| time.parse::<f64>().ok());
    let good = row.first() == Some(&guest.name) && row.get(2) == Some(&"0") && time.is_some_and(|time| time > 0.0);
    if good { works(row.join(" ")) } else { broken(last_lines(&text, 4)) }
}
