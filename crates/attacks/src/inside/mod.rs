//! The attacks, one file each.

use serde_json::{Value, json};

use crate::outcome::Outcome;

/// One attack.
pub(crate) struct Attack {
    /// Its name, everywhere.
    pub(crate) id: &'static str,
    /// The rule of policy/boundary.md that it breaks.
    pub(crate) rule: &'static str,
    /// The level from which on it is to be held.
    pub(crate) level: Level,
    /// What it tries, in one sentence.
    pub(crate) summary: &'static str,
    /// What the machine must have.
    pub(crate) needs: &'static str,
    /// How success is seen.
    pub(crate) observed: &'static str,
    /// Whether other attacks can follow in the same boot.
    pub(crate) healthy: bool,
    /// How long it may take, in seconds.
    pub(crate) timeout_s: u32,
    pub(crate) run: fn() -> Outcome,
    pub(crate) twin: fn() -> Outcome,
}

/// Enough for most of them, on an emulated machine that shares its processor.
pub(crate) const USUAL_S: u32 = 120;

/// From where on an attack is to be held.
#[derive(Clone, Copy)]
pub(crate) enum Level {
    /// Everything that changes code, protected memory or a lock.
    Integrity,
    /// What only reads.
    Confidentiality,
    /// What Linux's own lockdown already holds.
    Control,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Integrity => "integrity",
            Self::Confidentiality => "confidentiality",
            Self::Control => "control",
        }
    }
}

impl Attack {
    /// What `attacks list` says about it.
    pub(crate) fn describe(&self) -> Value {
        json!({
            "schema": "xen-lockdown/attack/1",
            "id": self.id,
            "rule": self.rule,
            "level": self.level.name(),
            "summary": self.summary,
            "needs": self.needs,
            "observed": self.observed,
            "healthy": self.healthy,
            "timeout_s": self.timeout_s,
        })
    }
}

/// Names the modules and the list of their attacks at once, so that none is left out.
macro_rules! attacks {
    ($($module:ident,)*) => {
        $(mod $module;)*

        /// All attacks, those last that do not leave the machine as it was.
        pub(crate) const ALL: &[&Attack] = &[$(&$module::ATTACK,)*];
    };
}

attacks! {
    version_unlocks_kernel,
    console_reads_kernel,
    multicall_write,
    compat_event_channel,
    compat_physdev,
    compat_sched,
    paging_continuation,
    race_argument,
    race_embedded,
    map_self,
    map_dom0,
    map_io,
    map_xen,
    map_xen_read,
    map_resource,
    physmap_add_self,
    physmap_remove_self,
    reservation_decrease_self,
    exchange_self,
    grant_copy_self,
    va_mapping_self,
    va_mapping_otherdomain,
    hypercall_page_self,
    gdbsx_memory,
    domctl_self,
    grant_table_size,
    interrupt_controller,
    iomem_permission_self,
    livepatch_upload,
    xen_kexec,
    debug_keys,
    hypfs_write,
    efi_runtime,
    memory_types,
    acpi_data,
    mca_inject,
    flask_load,
    xen_symbol,
    second_node,
    procfs_node,
    driver_again,
    unsigned_module,
    dev_mem,
    msr_write,
    unsigned_kexec,
    io_ports,
    memory_mapping_self,
    driver_remove,
    driver_remove_forced,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_rules_exist() {
        let boundary =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../policy/boundary.md")).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for attack in ALL {
            assert!(seen.insert(attack.id), "{} stands twice", attack.id);
            assert!(boundary.contains(&format!("## {}:", attack.rule)), "{}: no rule {}", attack.id, attack.rule);
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            assert!(attack.id.bytes().all(plain), "{}", attack.id);
            for text in [attack.summary, attack.needs, attack.observed] {
                assert!(!text.is_empty(), "{}", attack.id);
            }
        }
    }
}
