//! The plan that the lab puts into the initramfs.

use std::fs;

use serde::Deserialize;

/// The one version of the plan that is understood.
const SCHEMA: &str = "xen-lockdown/plan/1";

/// What process 1 is to do.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    schema: String,
    /// Whether the guard was loaded before this process ran: what it said and counted is told at the end then.
    #[serde(default)]
    pub(crate) guard: bool,
    /// Names of modules, in the order in which they are loaded.
    #[serde(default)]
    pub(crate) modules: Vec<String>,
    /// Names of Xen's daemons.
    #[serde(default)]
    pub(crate) daemons: Vec<String>,
    /// What is run, in this order.
    #[serde(default)]
    pub(crate) steps: Vec<Step>,
    /// Whether the machine is powered off at the end.
    #[serde(default)]
    pub(crate) power_off: bool,
}

/// One program that gives a verdict.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    pub(crate) id: String,
    pub(crate) program: String,
    #[serde(default)]
    pub(crate) arguments: Vec<String>,
    /// Seconds after which the program is killed.
    pub(crate) timeout_s: u64,
}

impl Plan {
    /// What is left to do where there is no plan.
    pub(crate) fn power_off_only() -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            guard: false,
            modules: Vec::new(),
            daemons: Vec::new(),
            steps: Vec::new(),
            power_off: true,
        }
    }
}

/// Reads the plan; the error says what is wrong with it.
pub(crate) fn read(path: &str) -> Result<Plan, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{path} cannot be read: {error}"))?;
    parse(&text).map_err(|error| format!("{path}: {error}"))
}

fn parse(text: &str) -> Result<Plan, String> {
    let plan: Plan = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if plan.schema == SCHEMA { Ok(plan) } else { Err(format!("schema {:?} is not {SCHEMA:?}", plan.schema)) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_plan_of_the_contract() {
        let plan = parse(
            r#"{"schema":"xen-lockdown/plan/1","modules":["xen-privcmd"],"daemons":["xenstored"],
                "steps":[{"id":"a","program":"/lab/attacks","arguments":["run","a"],"timeout_s":30}],
                "power_off":true}"#,
        )
        .unwrap();
        assert_eq!(plan.modules, ["xen-privcmd"]);
        assert_eq!(plan.steps[0].timeout_s, 30);
        assert!(plan.power_off);
    }

    #[test]
    fn another_schema_and_unknown_fields_are_errors() {
        assert!(parse(r#"{"schema":"xen-lockdown/plan/2"}"#).unwrap_err().contains("plan/2"));
        assert!(parse(r#"{"schema":"xen-lockdown/plan/1","modulse":[]}"#).unwrap_err().contains("modulse"));
    }
}
