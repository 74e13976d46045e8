//! Reads `policy/hypercalls/` and holds it against the rules of `policy/README.md`.

use std::collections::BTreeMap;
use std::path::Path;

use lockdown_core::Level;
use lockdown_core::hypercall::OperationClass;
use toml::Spanned;

use super::layout::{
    Arg, Buffer, Condition, Count, Direction, Element, Field, Hidden, OtherDomain, Pointer, Register, Role, Unit,
    Version,
};
use super::raw::{
    RawArg, RawCondition, RawCount, RawField, RawFile, RawHypercall, RawOperation, RawPointer, RawRegister,
    RawValue, RawVersion,
};
use super::{DoorName, Hypercall, Operation, SelfRule, ValueEntry};
use crate::check::{XEN_VERSIONS, parse, parse_range, read};
use crate::model::{Place, ReasonEntry};
use crate::problem::{Problem, Problems, line_of};

const ARCHITECTURES: [&str; 4] = ["x86", "arm", "ppc", "ia64"];
const USERS: [&str; 2] = ["kernel", "toolstack"];
/// What is left of the place that core's tables have for them.
const MOST_NUMBER: u16 = u16::MAX - 1;
const MOST_SELECTOR: u8 = u8::MAX - 1;

pub(crate) fn load(
    file: &Path,
    reasons: &[ReasonEntry],
    hypercalls: &mut Vec<Hypercall>,
    problems: &mut Problems,
) {
    let Some(text) = read(file, problems) else { return };
    let Some(raw) = parse::<RawFile>(file, &text, problems) else { return };
    let line = line_of(&text, &raw.hypercall.span());
    let about = text.lines().next().and_then(|line| line.strip_prefix("# ")).unwrap_or_default().to_owned();
    let mut reader = Reader { file, text: &text, line, reasons, problems, name: String::new() };
    hypercalls.push(reader.hypercall(about, raw.hypercall.into_inner(), raw.operation));
}

/// No number and no name stands twice.
pub(crate) fn check_unique(hypercalls: &[Hypercall], problems: &mut Problems) {
    let mut numbers = BTreeMap::new();
    let mut names = BTreeMap::new();
    for hypercall in hypercalls {
        let said = |place: &Place| format!("{}:{}", place.file.display(), place.line);
        if let Some(place) = numbers.insert(hypercall.number, &hypercall.place) {
            let number = hypercall.number;
            problems.push(hypercall.problem(format!("hypercall {number} has a file already, {}", said(place))));
        }
        let mut rows = BTreeMap::new();
        for operation in &hypercall.operations {
            if let Some(place) = rows.insert((operation.number, operation.selector), &operation.place) {
                let message = format!("{}: its number has an entry already, at {}", operation.name, said(place));
                problems.push(operation.problem(message));
            }
            if let Some(place) = names.insert(&operation.name, &operation.place) {
                let message = format!("{:?} has an entry already, at {}", operation.name, said(place));
                problems.push(operation.problem(message));
            }
        }
        for pair in hypercall.operations.windows(2) {
            let [first, second] = pair else { continue };
            if first.number == second.number && (first.selector.is_none() || second.selector.is_none()) {
                problems.push(second.problem(format!(
                    "{}: an operation has selectors everywhere or nowhere; see {}",
                    second.name,
                    said(&first.place)
                )));
            }
        }
    }
}

struct Reader<'a> {
    file: &'a Path,
    text: &'a str,
    line: usize,
    reasons: &'a [ReasonEntry],
    problems: &'a mut Problems,
    /// The operation that is read.
    name: String,
}

/// What an operation has from its hypercall where it does not say it itself.
struct Family {
    name: String,
    constant: String,
    prefix: String,
    has_operations: bool,
    selector: Option<Arg>,
    registers: Vec<Register>,
    structure: Option<(String, u32)>,
    target: Option<Arg>,
    version: Option<Version>,
}

impl Reader<'_> {
    fn complain(&mut self, message: impl std::fmt::Display) {
        let name = if self.name.is_empty() { String::new() } else { format!("{}: ", self.name) };
        self.problems.push(Problem::new(self.file, self.line, format!("{name}{message}")));
    }

    fn at<T>(&mut self, spanned: Spanned<T>) -> T {
        self.line = line_of(self.text, &spanned.span());
        spanned.into_inner()
    }

    fn hypercall(
        &mut self,
        about: String,
        raw: RawHypercall,
        operations: Vec<Spanned<RawOperation>>,
    ) -> Hypercall {
        let place = Place { file: self.file.to_owned(), line: self.line };
        self.name.clone_from(&raw.name);
        if about.is_empty() {
            self.complain("the file begins with a comment that says what the hypercall is");
        }
        if raw.header.is_some() != raw.prefix.is_some() || raw.header.is_some() != raw.selector.is_some() {
            self.complain("`header`, `prefix` and `selector` come together: they say what its operations are");
        }
        let family = Family {
            name: raw.name.clone(),
            constant: raw.constant.clone(),
            prefix: raw.prefix.clone().unwrap_or_default(),
            has_operations: raw.header.is_some(),
            selector: raw.selector.as_ref().and_then(|arg| self.arg(arg, None)),
            structure: self.structure(raw.structure, raw.size),
            registers: raw.registers.iter().filter_map(|register| self.register(register)).collect(),
            target: raw.target.as_ref().and_then(|arg| self.arg(arg, None)),
            version: raw.version.as_ref().map(|version| self.version(version)),
        };
        let mut list: Vec<_> = operations
            .into_iter()
            .map(|spanned| {
                let raw = self.at(spanned);
                self.operation(raw, &family)
            })
            .collect();
        list.sort_by_key(|operation| (operation.number, operation.selector));
        if list.is_empty() || (!family.has_operations && list.len() > 1) {
            self.name.clone_from(&raw.name);
            self.line = place.line;
            self.complain("a hypercall without operations has one entry, any other has some");
        }
        Hypercall {
            place,
            number: raw.number,
            name: raw.name,
            constant: raw.constant,
            about,
            header: raw.header,
            prefix: family.prefix,
            beside: raw.beside,
            selector: family.selector,
            operations: list,
        }
    }

    fn operation(&mut self, raw: RawOperation, family: &Family) -> Operation {
        let place = Place { file: self.file.to_owned(), line: self.line };
        self.name = match &raw.name {
            Some(name) => format!("{}.{name}", family.name),
            None => family.name.clone(),
        };
        let name = self.name.clone();
        if raw.number.is_some() != family.has_operations || raw.name.is_some() != family.has_operations {
            self.complain("`number` and `name` belong to operations, and to all of them");
        }
        if raw.number.is_some_and(|number| number > MOST_NUMBER)
            || raw.selector.is_some_and(|selector| selector > MOST_SELECTOR)
        {
            self.complain("the number is too large for the tables");
        }
        if raw.selector.is_some() != raw.selector_at.is_some() {
            self.complain("`selector` needs `selector-at`: where it stands");
        }
        let own_name = raw.name.clone().unwrap_or_default();
        let operation_name = own_name.split('.').next().unwrap_or_default();
        let family_constant = raw.selector.map(|_| format!("{}{operation_name}", family.prefix));
        let constant = raw.constant.clone().unwrap_or_else(|| match family.has_operations {
            true => format!("{}{own_name}", family.prefix),
            false => family.constant.clone(),
        });
        self.words("xen", &raw.xen, &XEN_VERSIONS);
        self.words("audited", &raw.audited, &XEN_VERSIONS);
        self.words("arch", &raw.arch, &ARCHITECTURES);
        self.words("used-by", &raw.used_by, &USERS);
        for (what, list) in [("xen", &raw.xen), ("arch", &raw.arch)] {
            if list.is_empty() {
                self.complain(format!("`{what}` is empty"));
            }
        }
        for version in raw.audited.iter().filter(|version| !raw.xen.contains(version)) {
            self.complain(format!("audited on {version}, which does not have it"));
        }
        if raw.audited.is_empty() != raw.source.is_empty() {
            self.complain("`audited` says in which releases, `source` where: both or none");
        }
        if raw.mechanism.trim().is_empty() {
            self.complain("`mechanism` is empty: say what it does and what could go wrong");
        }
        // HEAD's headers are not at hand, so nothing is said of them.
        let known = || raw.xen.iter().filter(|xen| *xen != "HEAD").cloned().collect();
        let layout = raw.layout.clone().unwrap_or_else(known);
        self.words("layout", &layout, &XEN_VERSIONS);
        for version in layout.iter().filter(|version| !raw.xen.contains(version)) {
            self.complain(format!("a layout for {version}, which does not have it"));
        }
        let class = self.class(&raw.class);
        let door = self.door(&raw.door);
        let own = self.own(&raw.own);
        let own_clause = self.own_clause(own, raw.self_door.as_deref(), raw.self_reason);
        self.check_class(class, door, raw.reason.as_deref(), raw.audited.is_empty());
        let special = self.word("special", raw.special.as_deref(), "allowed") || class == OperationClass::Query;
        let null = self.word("null", raw.null.as_deref(), "allowed");
        let writes = !self.word("output", raw.output.as_deref(), "none");
        let other_clause = self.target_clause("other", raw.other_door.as_deref(), raw.other_reason);
        let bare_clause = self.target_clause("bare", raw.bare_door.as_deref(), raw.bare_reason);
        for (key, clause) in [("other", &other_clause), ("bare", &bare_clause)] {
            if clause.is_some() && matches!(own, SelfRule::None | SelfRule::Implicit) {
                self.complain(format!("`{key}-door` speaks of a target, and there is none"));
            }
        }
        // The guard does not know what processors a domain has.
        if bare_clause.as_ref().is_some_and(|(door, _)| *door == DoorName::Guard) {
            self.complain("`bare-door` is gate");
        }
        let structure = match raw.structure {
            Some(name) => self.structure(Some(name), raw.size),
            None => family.structure.clone(),
        };
        let size = structure.as_ref().map(|(_, size)| *size);
        let registers = match &raw.registers {
            Some(registers) => registers.iter().filter_map(|register| self.register(register)).collect(),
            None => family.registers.clone(),
        };
        let payload = raw.payload.map(|raw| Element { path: raw.path, offset: raw.offset, size: raw.size });
        if payload.as_ref().is_some_and(|payload| Some(payload.offset.saturating_add(payload.size)) > size) {
            self.complain("the payload does not fit into the structure");
        }
        let target = match &raw.target {
            Some(arg) => self.arg(arg, size),
            None => family.target.clone(),
        };
        let target = target.filter(|_| !matches!(own, SelfRule::None | SelfRule::Implicit));
        if target.is_none() && !matches!(own, SelfRule::None | SelfRule::Implicit) {
            self.complain("`self` speaks of a target, and there is none: give `target`");
        }
        let version = raw.version.as_ref().map(|version| self.version(version));
        let mut handles = Vec::new();
        for spanned in raw.handles {
            let raw = self.at(spanned);
            handles.extend(self.pointer(&raw, size, false));
        }
        let tail = raw.tail.and_then(|spanned| {
            let raw = self.at(spanned);
            self.pointer(&raw, size, true)
        });
        let mut others = Vec::new();
        for spanned in raw.others {
            let raw = self.at(spanned);
            let when = raw.when.iter().map(|raw| self.condition(raw, size)).collect();
            let own_allowed = self.word("self", raw.own.as_deref(), "allowed");
            let field = RawField { path: raw.path, offset: raw.offset, width: raw.width, mask: None };
            others.push(OtherDomain { field: self.field(&field, size), when, own_allowed });
        }
        let mut hidden = Vec::new();
        for spanned in raw.hidden {
            let raw = self.at(spanned);
            let field = RawField { path: raw.path, offset: raw.offset, width: raw.width, mask: None };
            hidden.push(Hidden { field: self.field(&field, size), is: raw.is });
        }
        let mut values = Vec::new();
        for spanned in raw.values {
            let raw = self.at(spanned);
            values.extend(self.value(raw, size));
        }
        self.line = place.line;
        let operation = Operation {
            place,
            number: raw.number,
            selector: raw.selector,
            selector_at: raw.selector_at.map(|raw| self.field(&raw, size)),
            name,
            constant,
            family_constant,
            xen: raw.xen,
            arch: raw.arch,
            class,
            door,
            reason: raw.reason,
            own,
            own_clause,
            special,
            other_clause,
            bare_clause,
            audited: raw.audited,
            source: raw.source,
            used_by: raw.used_by,
            sessions: raw.sessions,
            mechanism: raw.mechanism,
            note: raw.note,
            head: raw.head,
            layout,
            registers,
            structure,
            null,
            writes,
            payload,
            target,
            others,
            version: version.or_else(|| family.version.clone()),
            handles,
            tail,
            hidden,
            values,
        };
        self.check_walk(&operation);
        operation
    }

    /// What userspace may issue can be walked: every address is seen and has a size.
    fn check_walk(&mut self, operation: &Operation) {
        if !operation.is_for_userspace() || operation.reason.as_deref() == Some("unaudited") {
            return;
        }
        if !operation.hidden.is_empty() {
            self.complain("hides addresses in numbers, so userspace may not issue it: `door` is guard or gate");
        }
        if operation.null && (operation.version.is_some() || !operation.handles.is_empty()) {
            self.complain("a null pointer cannot stand for a structure that is looked into");
        }
        let in_registers = operation.registers.iter().filter_map(|register| match &register.role {
            Role::Buffer(buffer) => Some(buffer),
            _ => None,
        });
        let buffers = operation.handles.iter().chain(&operation.tail).map(|pointer| &pointer.buffer);
        for buffer in in_registers.chain(buffers).collect::<Vec<_>>() {
            if matches!(buffer.count, Count::Implicit(_, None)) {
                self.complain(
                    "nobody can tell the size of a buffer, so userspace may not issue it: `door` is guard or gate, or \
                     give `most`",
                );
            }
            if !buffer.handles.is_empty() {
                self.complain("the guard does not follow a pointer behind a pointer: `door` is guard or gate");
            }
            if buffer.direction == Direction::Retained {
                self.complain("Xen keeps an address, so userspace may not issue it: `door` is guard or gate");
            }
        }
    }

    /// Whether a key says its only word.
    fn word(&mut self, what: &str, given: Option<&str>, word: &str) -> bool {
        if let Some(other) = given.filter(|&given| given != word) {
            self.complain(format!("{what} {other:?}: say {word:?}, or nothing"));
        }
        given == Some(word)
    }

    fn words(&mut self, what: &str, words: &[String], known: &[&str]) {
        for word in words.iter().filter(|word| !known.contains(&word.as_str())) {
            self.complain(format!("{what} {word:?} is not one of {}", known.join(", ")));
        }
    }

    fn class(&mut self, class: &str) -> OperationClass {
        OperationClass::ALL.into_iter().find(|known| known.name() == class).unwrap_or_else(|| {
            let all = OperationClass::ALL.map(OperationClass::name).join(", ");
            self.complain(format!("class {class:?} is not one of {all}"));
            OperationClass::Breach
        })
    }

    fn door(&mut self, door: &str) -> DoorName {
        [DoorName::None, DoorName::Gate, DoorName::Guard]
            .into_iter()
            .find(|known| known.name() == door)
            .unwrap_or_else(|| {
                self.complain(format!("door {door:?} is not one of gate, guard, none"));
                DoorName::Gate
            })
    }

    fn own(&mut self, own: &str) -> SelfRule {
        let all =
            [SelfRule::None, SelfRule::Implicit, SelfRule::Allowed, SelfRule::Refused, SelfRule::RefusedByXen];
        all.into_iter().find(|known| known.name() == own).unwrap_or_else(|| {
            self.complain(format!("self {own:?} is not one of {}", all.map(SelfRule::name).join(", ")));
            SelfRule::None
        })
    }

    fn own_clause(
        &mut self,
        own: SelfRule,
        door: Option<&str>,
        reason: Option<String>,
    ) -> Option<(DoorName, String)> {
        let refuses = matches!(own, SelfRule::Refused | SelfRule::RefusedByXen);
        match (refuses, door, reason) {
            (true, Some(door), Some(reason)) => {
                let door = self.door(door);
                if door == DoorName::None {
                    self.complain("self is refused, so `self-door` is gate or guard");
                }
                self.reason(&reason);
                Some((door, reason))
            }
            (false, None, None) => None,
            (true, ..) => {
                self.complain("self is refused: say by whom and why, with `self-door` and `self-reason`");
                None
            }
            (false, ..) => {
                self.complain("`self-door` and `self-reason` belong to `self` refused or refused-by-xen");
                None
            }
        }
    }

    fn target_clause(
        &mut self,
        key: &str,
        door: Option<&str>,
        reason: Option<String>,
    ) -> Option<(DoorName, String)> {
        let (door, reason) = match (door, reason) {
            (Some(door), Some(reason)) => (self.door(door), reason),
            (None, None) => return None,
            _ => {
                self.complain(format!("`{key}-door` and `{key}-reason` come together"));
                return None;
            }
        };
        if door == DoorName::None {
            self.complain(format!("`{key}-door` is gate or guard"));
        }
        self.reason(&reason);
        Some((door, reason))
    }

    fn check_class(&mut self, class: OperationClass, door: DoorName, reason: Option<&str>, unaudited: bool) {
        match (door, reason) {
            (DoorName::None, Some(_)) => self.complain("door none refuses nothing, so it has no reason"),
            (DoorName::Gate | DoorName::Guard, None) => {
                self.complain(format!("door {} needs a reason", door.name()));
            }
            _ => {}
        }
        let level = reason.and_then(|reason| self.reason(reason));
        if door == DoorName::None && unaudited {
            self.complain(format!(
                "class {} without an audit: read its handler, or say door guard, reason unaudited",
                class.name()
            ));
        }
        if reason == Some("unaudited") && !unaudited {
            self.complain("reason unaudited, but `audited` says that it was read");
        }
        let closed = matches!(
            class,
            OperationClass::KernelOnly
                | OperationClass::Mediated
                | OperationClass::Breach
                | OperationClass::Absent
        );
        if closed && door == DoorName::None {
            self.complain(format!("class {} is not for userspace: `door` is guard or gate", class.name()));
        }
        let is_leak = class == OperationClass::ReadLeak;
        if is_leak && unaudited && reason != Some("unaudited") {
            self.complain(
                "class read-leak without an audit: read its handler, or say door guard, reason unaudited",
            );
        }
        if let Some(level) = level.filter(|_| !(is_leak && reason == Some("unaudited"))) {
            match (is_leak, level) {
                (true, Level::Integrity) | (false, Level::Confidentiality) => {
                    self.complain("class read-leak has a reason of level confidentiality, and no other class has");
                }
                _ => {}
            }
        }
        if is_leak && door == DoorName::None {
            self.complain("class read-leak is refused at level confidentiality: `door` is guard or gate");
        }
    }

    fn reason(&mut self, reason: &str) -> Option<Level> {
        let known = self.reasons.iter().find(|known| known.id == reason);
        if known.is_none() {
            self.complain(format!("reason {reason:?} does not stand in reasons.toml"));
        }
        known.map(|known| known.level)
    }

    fn structure(&mut self, name: Option<String>, size: Option<u32>) -> Option<(String, u32)> {
        match (name, size) {
            (Some(name), Some(size)) => Some((name, size)),
            (None, None) => None,
            _ => {
                self.complain("`structure` and `size` come together");
                None
            }
        }
    }

    fn version(&mut self, raw: &RawVersion) -> Version {
        let field = RawField { path: raw.path.clone(), offset: raw.offset, width: raw.width, mask: None };
        let numbers = XEN_VERSIONS.into_iter().zip([raw.v4_17, raw.v4_20, raw.head]);
        let numbers = numbers.filter_map(|(name, number)| Some((name.to_owned(), number?)));
        let numbers = numbers.collect();
        Version { field: self.field(&field, None), constant: raw.constant.clone(), numbers }
    }

    fn field(&mut self, raw: &RawField, size: Option<u32>) -> Field {
        if ![1, 2, 4, 8].contains(&raw.width) {
            self.complain(format!("{}: `width` is 1, 2, 4 or 8", raw.path));
        }
        self.within(&raw.path, raw.offset, u32::from(raw.width), size);
        if raw.mask.is_some_and(|mask| mask == 0 || (raw.width < 8 && mask >> (u32::from(raw.width) * 8) != 0)) {
            self.complain(format!("{}: the mask has no bit of the field", raw.path));
        }
        Field { path: raw.path.clone(), offset: raw.offset, width: raw.width, mask: raw.mask }
    }

    fn within(&mut self, path: &str, offset: u32, width: u32, size: Option<u32>) {
        if size.is_some_and(|size| offset.saturating_add(width) > size) {
            self.complain(format!("{path}: does not fit into the structure"));
        }
    }

    fn condition(&mut self, raw: &RawCondition, size: Option<u32>) -> Condition {
        let field = RawField { path: raw.path.clone(), offset: raw.offset, width: raw.width, mask: raw.mask };
        if raw.is.is_empty() {
            self.complain(format!("{}: `is` is empty, so it never holds", raw.path));
        }
        Condition { field: self.field(&field, size), is: raw.is.clone() }
    }

    fn arg(&mut self, raw: &RawArg, size: Option<u32>) -> Option<Arg> {
        let field = match (&raw.path, raw.offset, raw.width) {
            (Some(path), Some(offset), Some(width)) => {
                let raw = RawField { path: path.clone(), offset, width, mask: raw.mask };
                Some(self.field(&raw, size))
            }
            _ => None,
        };
        let arg = match (raw.register, field, raw.element, raw.buffer) {
            (Some(register), None, None, None) => Some(Arg::Register { register, mask: raw.mask }),
            (None, Some(field), None, None) => Some(Arg::Field(field)),
            (None, Some(field), Some(true), None) => Some(Arg::InElement(field)),
            (None, Some(field), None, Some(buffer)) => Some(Arg::InBuffer(buffer, field)),
            _ => None,
        };
        if arg.is_none() {
            self.complain("give either `register`, or `path`, `offset` and `width`");
        }
        arg
    }

    fn register(&mut self, raw: &RawRegister) -> Option<Register> {
        let role = match (raw.role.as_str(), raw.number) {
            ("operation", None) => Role::Operation(raw.mask),
            ("structure", None) => Role::Structure,
            ("count", None) => Role::Count,
            ("target", None) => Role::Target,
            ("value", None) => Role::Value,
            ("elements", Some(number)) => Role::Elements(number),
            ("calls", Some(number)) => Role::Calls(number),
            ("buffers", Some(number)) => {
                let buffers = raw.buffers.iter().filter_map(|raw| {
                    let count = self.count(&raw.count, None)?;
                    let direction = self.direction(&raw.direction);
                    let element = raw.element.clone();
                    Some((raw.index, Buffer { element, size: raw.size, count, direction, handles: vec![] }))
                });
                Role::Buffers(number, buffers.collect())
            }
            ("buffer", None) => {
                let (Some(element), Some(size), Some(count), Some(direction)) =
                    (&raw.element, raw.size, &raw.count, &raw.direction)
                else {
                    self.complain("a buffer has `element`, `size`, `count` and `direction`");
                    return None;
                };
                let count = self.count(count, None)?;
                let direction = self.direction(direction);
                let handles = raw.handles.iter().filter_map(|raw| self.pointer(raw, Some(size), false)).collect();
                Role::Buffer(Buffer { element: element.clone(), size, count, direction, handles })
            }
            (role, _) => {
                self.complain(format!(
                    "register {role:?}: say operation, structure, elements, calls or buffers (with `number`), buffer, \
                     count, target or value"
                ));
                return None;
            }
        };
        Some(Register { role })
    }

    fn direction(&mut self, text: &str) -> Direction {
        let all = [Direction::In, Direction::Out, Direction::InOut, Direction::Retained];
        all.into_iter().find(|known| known.name() == text).unwrap_or_else(|| {
            self.complain(format!("direction {text:?} is not one of {}", all.map(Direction::name).join(", ")));
            Direction::InOut
        })
    }

    fn count(&mut self, raw: &RawCount, size: Option<u32>) -> Option<Count> {
        let field = match (&raw.path, raw.offset, raw.width) {
            (Some(path), Some(offset), Some(width)) => {
                let raw = RawField { path: path.clone(), offset, width, mask: None };
                Some(self.field(&raw, size))
            }
            _ => None,
        };
        match (field, raw.constant, raw.register, &raw.implicit) {
            (None, Some(constant), None, None) => Some(Count::Constant(constant)),
            (None, None, Some(register), None) => Some(Count::Register(register)),
            (None, None, None, Some(text)) => Some(Count::Implicit(text.clone(), raw.most)),
            (Some(field), None, None, None) => {
                let unit = match raw.unit.as_deref() {
                    None => Unit::Elements,
                    Some("bytes") => Unit::Bytes,
                    Some("bits") => Unit::Bits,
                    Some(other) => {
                        self.complain(format!("unit {other:?} is not one of bytes, bits"));
                        Unit::Elements
                    }
                };
                let minus = raw.minus.as_ref().map(|raw| self.field(raw, size));
                let (squared, plus) = (raw.squared.unwrap_or(false), raw.plus.unwrap_or(0));
                Some(Count::Field { field, unit, squared, minus, plus })
            }
            _ => {
                self.complain(
                    "a count is one of `constant`, `register`, `implicit`, or `path`, `offset` and `width`",
                );
                None
            }
        }
    }

    fn pointer(&mut self, raw: &RawPointer, size: Option<u32>, is_tail: bool) -> Option<Pointer> {
        if raw.size == 0 {
            self.complain(format!("{}: an element has a size", raw.path));
        }
        self.within(&raw.path, raw.offset, if is_tail { 0 } else { 8 }, size);
        let count = self.count(&raw.count, size)?;
        let direction = self.direction(&raw.direction);
        let handles = raw.handles.iter().filter_map(|inner| self.pointer(inner, Some(raw.size), false)).collect();
        let when = raw.when.iter().map(|raw| self.condition(raw, size)).collect();
        let buffer = Buffer { element: raw.element.clone(), size: raw.size, count, direction, handles };
        Some(Pointer { path: raw.path.clone(), offset: raw.offset, buffer, when })
    }

    fn value(&mut self, raw: RawValue, size: Option<u32>) -> Option<ValueEntry> {
        let field = RawField { path: raw.path.clone(), offset: raw.offset, width: raw.width, mask: raw.mask };
        let field = self.field(&field, size);
        let when = raw.when.iter().map(|raw| self.condition(raw, size)).collect();
        let door = self.door(&raw.door);
        if door == DoorName::None {
            self.complain(format!("{}: a rule is held by the gate or by the guard", raw.path));
        }
        self.reason(&raw.reason);
        let mut ranges = Vec::new();
        for text in &raw.allow {
            match parse_range(text) {
                Some(parts) => ranges.extend(parts),
                None => self.complain(format!(
                    "{}: range {text:?}: write \"LOW..=HIGH\" or a number, in decimal or 0x",
                    raw.path
                )),
            }
        }
        let max = u64::MAX >> (64 - 8 * u32::from(raw.width.clamp(1, 8)));
        if ranges.iter().any(|&(_, high)| high > max) {
            self.complain(format!("{}: a range does not fit into {} bytes", raw.path, raw.width));
        }
        if ranges.is_empty() {
            self.complain(format!("{}: allows nothing: then `door` is what you want", raw.path));
        }
        Some(ValueEntry { when, field, ranges, written: raw.allow, door, reason: raw.reason, why: raw.why })
    }
}
