//! Runs the script without booting anything (grub-core/script/execute.c, 2.12).

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::rc::Rc;

use super::condition::{self, Truth};
use super::expand::{Arg, Expansion, Scope, Status};
use super::source::Source;
use super::syntax::{Arm, Command as Script, Fault, Keyword, List, Parser, Unit, Word as Raw};
use super::variables::{Horizon, Value, Variables, What, Why};
use super::{Command, Config, Entry, Kind, Origin, Problem, Severity, Word};

/// How deep blocks, functions, submenus and undecided conditions run in one another.
const DEPTH: usize = 120;
/// How often a loop is followed.
const ITERATIONS: usize = 10_000;
/// How many commands are run beyond two for each command of the file.
const STEPS: usize = 500_000;
/// How many bytes come out of expansion beyond four for each byte of the file.
const BYTES: usize = 32 << 20;
const VARIABLES: usize = 100_000;
/// How many problems are kept for one entry.
const PROBLEMS: usize = 50;

pub(super) struct Run<'a> {
    source: &'a Source,
    variables: Variables<'a>,
    functions: HashMap<Vec<u8>, Rc<List>>,
    scope: Scope,
    status: Status,
    /// Set when it is undecided whether the function, loop or file was left already.
    doubt: Option<Why>,
    loops: usize,
    depth: usize,
    steps: usize,
    room: usize,
    halted: Option<Problem>,
    sink: Sink,
    entries: Vec<Entry>,
}

/// What running a list of commands brings.
#[derive(Default)]
struct Sink {
    commands: Vec<Command>,
    definitions: Vec<Definition>,
    problems: Problems,
}

struct Definition {
    start: usize,
    title: String,
    id: Option<String>,
    parameters: Rc<[Value]>,
    body: Rc<List>,
    submenu: bool,
    undecided: Option<Why>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break(usize),
    Continue(usize),
    Return,
    Halt,
}

/// One way through an undecided condition.
struct Way {
    flow: Flow,
    status: Status,
    doubt: Option<Why>,
    scope: Scope,
    horizon: Horizon,
    sink: Sink,
}

impl<'a> Run<'a> {
    pub(super) fn new(source: &'a Source, given: &'a BTreeMap<String, String>) -> Self {
        Self {
            source,
            variables: Variables::new(given),
            functions: HashMap::new(),
            scope: None,
            status: Status::Unknown(NOT_RUN),
            doubt: None,
            loops: 0,
            depth: 0,
            steps: STEPS,
            room: BYTES.saturating_add(source.text().len().saturating_mul(4)),
            halted: None,
            sink: Sink::default(),
            entries: Vec::new(),
        }
    }

    pub(super) fn config(mut self) -> Config {
        for &nul in self.source.nuls().iter().take(PROBLEMS) {
            let message = "a NUL byte: GRUB ignores the rest of this line";
            self.problem(Severity::Error, nul, message.to_owned());
        }
        self.file();
        let top = mem::take(&mut self.sink);
        self.top_level(top.commands);
        let mut problems = top.problems;
        self.menu(top.definitions, "", &mut problems);
        if let Some(halted) = self.halted {
            problems.push(halted);
        }
        Config { entries: self.entries, problems: problems.list }
    }

    fn file(&mut self) {
        let mut parser = Parser::new(self.source.text());
        let mut counted = 0_usize;
        while self.halted.is_none() {
            match parser.unit() {
                Ok(None) => break,
                Ok(Some(unit)) => {
                    let read = parser.commands.saturating_sub(counted);
                    counted = parser.commands;
                    self.steps = self.steps.saturating_add(read.saturating_mul(2));
                    self.unit(unit);
                }
                Err(Fault::Syntax { at, resume, message }) => {
                    self.problem(Severity::Error, at, message);
                    parser.resume(resume);
                }
                Err(Fault::Final { at, message }) => {
                    self.problem(Severity::Error, at, message);
                    break;
                }
            }
        }
    }

    fn unit(&mut self, unit: Unit) {
        self.functions.extend(unit.functions);
        self.list(&unit.commands);
    }

    fn top_level(&mut self, commands: Vec<Command>) {
        if let Some(first) = commands.first() {
            self.entries.push(Entry {
                title: Entry::TOP_LEVEL.to_owned(),
                id: None,
                line: first.line,
                commands,
                problems: Vec::new(),
            });
        }
    }

    fn menu(&mut self, definitions: Vec<Definition>, above: &str, problems: &mut Problems) {
        for definition in definitions {
            let title = match above {
                "" => definition.title.clone(),
                _ => format!("{above} > {}", definition.title),
            };
            self.spend_bytes(title.len(), definition.start);
            let mark = self.variables.mark();
            let status = self.status;
            let horizon = self.variables.horizon;
            let scope = self.scope.replace(Rc::clone(&definition.parameters));
            let doubt = self.doubt.take();
            self.status = Status::Unknown(NOT_RUN);
            if definition.submenu {
                self.variables.level = self.variables.level.saturating_add(1);
            }
            self.body(&definition);
            let sink = mem::take(&mut self.sink);
            if definition.submenu {
                self.submenu(&definition, title, sink, problems);
                self.variables.level = self.variables.level.saturating_sub(1);
            } else {
                self.entry(&definition, title, sink);
            }
            self.variables.undo(mark);
            self.variables.horizon = horizon;
            self.status = status;
            self.scope = scope;
            self.doubt = doubt;
        }
    }

    fn body(&mut self, definition: &Definition) {
        if self.deeper(definition.start) {
            self.list(&definition.body);
            self.depth = self.depth.saturating_sub(1);
        }
    }

    fn submenu(&mut self, definition: &Definition, title: String, mut sink: Sink, problems: &mut Problems) {
        let definitions = mem::take(&mut sink.definitions);
        if !sink.commands.is_empty() {
            problems.extend(mem::take(&mut sink.problems));
            self.entry(definition, title.clone(), sink);
        } else {
            problems.extend(sink.problems);
        }
        if self.deeper(definition.start) {
            self.menu(definitions, &title, problems);
            self.depth = self.depth.saturating_sub(1);
        }
    }

    fn entry(&mut self, definition: &Definition, title: String, sink: Sink) {
        let mut problems = sink.problems;
        for nested in &sink.definitions {
            let message = "a menu entry inside of another one is not followed";
            problems.push(self.at(Severity::Error, nested.start, message.to_owned()));
        }
        let boots_xen = sink.commands.iter().any(|command| matters(command.kind));
        if let Some(why) = definition.undecided.filter(|_| boots_xen) {
            let message = format!("whether this entry is in the menu is decided at boot: {}", self.describe(why));
            problems.push(self.at(Severity::Note, definition.start, message));
        }
        if let Some(halted) = &self.halted {
            problems.push(halted.clone());
        }
        self.entries.push(Entry {
            title,
            id: definition.id.clone(),
            line: self.source.place(definition.start).0,
            commands: sink.commands,
            problems: problems.list,
        });
    }
}

/// Commands of the language.
impl Run<'_> {
    fn list(&mut self, list: &[Script]) -> Flow {
        for command in list {
            let flow = self.command(command);
            if flow != Flow::On {
                return flow;
            }
        }
        Flow::On
    }

    fn command(&mut self, command: &Script) -> Flow {
        let start = match command {
            Script::Simple { words, .. } => words.first().map_or(0, |word| word.start),
            Script::If { at, .. } | Script::For { at, .. } | Script::While { at, .. } => at.start,
        };
        if !self.spend_steps(1, start) {
            return Flow::Halt;
        }
        if let Script::Simple { words, block } = command {
            return self.simple(words, block.as_ref());
        }
        if !self.deeper(start) {
            return Flow::Halt;
        }
        let flow = match command {
            Script::Simple { .. } => Flow::On,
            Script::If { at, arms, otherwise } => self.if_command(*at, arms, otherwise),
            Script::For { at, name, words, body } => self.for_command(*at, *name, words, body),
            Script::While { at, until, condition, body } => self.while_command(*at, *until, condition, body),
        };
        self.depth = self.depth.saturating_sub(1);
        flow
    }

    fn if_command(&mut self, at: Keyword, arms: &[Arm], otherwise: &[Script]) -> Flow {
        let mut rest = arms;
        while let Some((arm, after)) = rest.split_first() {
            if !self.spend_steps(1, at.start) {
                return Flow::Halt;
            }
            let flow = self.list(&arm.condition);
            if flow != Flow::On {
                return flow;
            }
            match self.status.truth() {
                Truth::Yes => return self.branch(&arm.body),
                Truth::No => rest = after,
                Truth::Unknown(why) => {
                    return self.both(
                        at,
                        why,
                        |run| run.branch(&arm.body),
                        |run| {
                            if !run.deeper(at.start) {
                                return Flow::Halt;
                            }
                            let flow = run.if_command(at, after, otherwise);
                            run.depth = run.depth.saturating_sub(1);
                            flow
                        },
                    );
                }
            }
        }
        self.branch(otherwise)
    }

    fn branch(&mut self, list: &[Script]) -> Flow {
        if list.is_empty() {
            self.status = Status::Success;
        }
        self.list(list)
    }

    /// Runs both ways from the same state and joins what they lead to.
    fn both(
        &mut self,
        at: Keyword,
        why: Why,
        first: impl FnOnce(&mut Self) -> Flow,
        second: impl FnOnce(&mut Self) -> Flow,
    ) -> Flow {
        let branches = Why { what: What::Branches, start: at.start, end: at.end };
        let sink = mem::take(&mut self.sink);
        let (status, doubt) = (self.status, self.doubt);
        let (scope, horizon) = (self.scope.clone(), self.variables.horizon);

        let mark = self.variables.mark();
        let flow = first(self);
        let one = self.way(flow);
        let outcome = self.variables.outcome(mark);
        self.variables.undo(mark);

        self.status = status;
        self.doubt = doubt;
        self.scope = scope;
        self.variables.horizon = horizon;

        let mark = self.variables.mark();
        let flow = second(self);
        let two = self.way(flow);
        let joined = self.variables.join(mark, &outcome, one.horizon, branches);
        self.variables.keep();

        self.sink = sink;
        let flow = self.join(why, branches, one, two);
        if self.spend_steps(joined, at.start) { flow } else { Flow::Halt }
    }

    fn way(&mut self, flow: Flow) -> Way {
        Way {
            flow,
            status: self.status,
            doubt: self.doubt,
            scope: self.scope.clone(),
            horizon: self.variables.horizon,
            sink: mem::take(&mut self.sink),
        }
    }

    fn join(&mut self, why: Why, branches: Why, one: Way, two: Way) -> Flow {
        let same = same_commands(&one.sink.commands, &two.sink.commands);
        self.doubt = one.doubt.or(two.doubt);
        if one.status != two.status {
            self.status = Status::Unknown(branches);
        }
        if one.scope != two.scope {
            self.doubt = self.doubt.or(Some(why));
        }
        let mut commands = Vec::new();
        for sink in [one.sink, two.sink] {
            self.sink.problems.extend(sink.problems);
            for mut definition in sink.definitions {
                definition.undecided = definition.undecided.or(Some(why));
                self.sink.definitions.push(definition);
            }
            commands.push(sink.commands);
        }
        if same {
            commands.truncate(1);
            self.sink.commands.extend(commands.into_iter().flatten());
        } else {
            self.undecided(commands.into_iter().flatten().collect(), why);
        }
        match (one.flow, two.flow) {
            (Flow::Halt, _) | (_, Flow::Halt) => Flow::Halt,
            (a, b) if a == b => a,
            _ => {
                self.doubt = self.doubt.or(Some(why));
                Flow::On
            }
        }
    }

    fn undecided(&mut self, commands: Vec<Command>, why: Why) {
        for mut command in commands {
            if command.certain {
                let message = format!(
                    "whether this `{}` is reached is decided at boot: {}",
                    command.name,
                    self.describe(why)
                );
                self.sink.problems.push(Problem {
                    severity: severity(command.kind),
                    line: command.line,
                    column: command.column,
                    message,
                });
            }
            command.certain = false;
            self.sink.commands.push(command);
        }
    }

    fn for_command(&mut self, at: Keyword, name: (usize, usize), words: &[Raw], body: &[Script]) -> Flow {
        let Some(args) = self.expand(words) else {
            return Flow::Halt;
        };
        let name = self.source.slice(name.0, name.1).to_vec();
        self.status = Status::Success;
        let mark = self.variables.mark();
        self.loops = self.loops.saturating_add(1);
        let flow = match args.iter().find_map(Arg::may_split) {
            Some(why) => {
                self.assign(&name, Some(Value::unknown(why)));
                self.undecided_loop(at, why, mark, |run| run.list(body))
            }
            None => self.each(at, &name, &args, body, mark),
        };
        self.loops = self.loops.saturating_sub(1);
        self.variables.keep();
        flow
    }

    fn each(&mut self, at: Keyword, name: &[u8], args: &[Arg], body: &[Script], mark: usize) -> Flow {
        let doubt = self.doubt;
        for arg in args {
            if !self.spend_steps(1, at.start) {
                return Flow::Halt;
            }
            self.assign(name, Some(arg.value()));
            let flow = self.list(body);
            if let Some(why) = self.doubt.filter(|_| doubt.is_none()) {
                return self.undecided_loop(at, why, mark, |run| run.list(body));
            }
            if let Some(flow) = after_iteration(flow) {
                return flow;
            }
        }
        Flow::On
    }

    fn while_command(&mut self, at: Keyword, until: bool, condition: &[Script], body: &[Script]) -> Flow {
        let mark = self.variables.mark();
        self.loops = self.loops.saturating_add(1);
        let flow = self.repeat(at, until, condition, body, mark);
        self.loops = self.loops.saturating_sub(1);
        self.variables.keep();
        flow
    }

    fn repeat(&mut self, at: Keyword, until: bool, condition: &[Script], body: &[Script], mark: usize) -> Flow {
        let again = |run: &mut Self| match run.list(condition) {
            Flow::On => run.list(body),
            flow => flow,
        };
        let doubt = self.doubt;
        for _ in 0..ITERATIONS {
            let flow = self.list(condition);
            if flow != Flow::On {
                return after_iteration(flow).unwrap_or(Flow::On);
            }
            let truth = if until { self.status.truth().not() } else { self.status.truth() };
            match truth {
                Truth::No => return Flow::On,
                Truth::Unknown(why) => return self.undecided_loop(at, why, mark, again),
                Truth::Yes => {}
            }
            let flow = self.list(body);
            if let Some(why) = self.doubt.filter(|_| doubt.is_none()) {
                return self.undecided_loop(at, why, mark, again);
            }
            if let Some(flow) = after_iteration(flow) {
                return flow;
            }
        }
        self.halt(at.start, "this loop runs too often to be followed")
    }

    /// What a loop can lead to that runs any number of times: what it changes becomes unknown.
    fn undecided_loop(
        &mut self,
        at: Keyword,
        why: Why,
        mark: usize,
        mut body: impl FnMut(&mut Self) -> Flow,
    ) -> Flow {
        let looped = Why { what: What::Loop, start: at.start, end: at.end };
        let outside = mem::take(&mut self.sink);
        let mut known = 0;
        let mut flow;
        loop {
            self.sink = Sink::default();
            let changed = self.forget_changed(mark, looped);
            if !self.spend_steps(changed, at.start) {
                return Flow::Halt;
            }
            self.status = Status::Unknown(looped);
            flow = body(self);
            let changed = self.forget_changed(mark, looped);
            if changed == known || flow == Flow::Halt {
                break;
            }
            known = changed;
        }
        self.status = Status::Unknown(looped);
        let inside = mem::replace(&mut self.sink, outside);
        self.sink.problems.extend(inside.problems);
        for mut definition in inside.definitions {
            definition.undecided = definition.undecided.or(Some(why));
            self.sink.definitions.push(definition);
        }
        self.undecided(inside.commands, why);
        match flow {
            Flow::Halt => Flow::Halt,
            Flow::Return => {
                self.doubt = self.doubt.or(Some(why));
                Flow::On
            }
            _ => Flow::On,
        }
    }

    fn forget_changed(&mut self, mark: usize, why: Why) -> usize {
        let changed = self.variables.changed(mark);
        for name in &changed {
            self.variables.set(name, Some(Value::unknown(why)));
        }
        changed.len()
    }
}

/// Simple commands.
impl Run<'_> {
    fn simple(&mut self, words: &[Raw], block: Option<&Rc<List>>) -> Flow {
        let Some(args) = self.expand(words) else {
            return Flow::Halt;
        };
        let inverted = args.first().and_then(Arg::known) == Some(b"!");
        let args = match args.split_first() {
            Some((_, rest)) if inverted => rest,
            _ => &args,
        };
        let Some((name, rest)) = args.split_first() else {
            self.status = Status::Success;
            return Flow::On;
        };
        let flow = self.named(name, rest, block);
        if inverted {
            self.status = Status::from(self.status.truth().not());
        }
        flow
    }

    fn named(&mut self, name: &Arg, args: &[Arg], block: Option<&Rc<List>>) -> Flow {
        let text = match name.decided() {
            Ok(text) => text,
            Err(why) => {
                self.undecided_name(name, args, why);
                return Flow::On;
            }
        };
        match text {
            b"menuentry" | b"submenu" => self.menu_entry(name, args, block),
            b"[" | b"test" => {
                let truth = condition::evaluate((name.start, name.end), args);
                self.status = Status::from(truth);
            }
            b"true" | b"echo" => self.status = Status::Success,
            b"false" => self.status = Status::Failure,
            b"set" => self.set(args),
            b"unset" => self.unset(args),
            b"export" => self.export(args),
            b"break" | b"continue" | b"return" | b"shift" | b"setparams" => {
                return self.control(name, text, args);
            }
            b"load_env" => self.load_env(name, args),
            b"source"
            | b"."
            | b"configfile"
            | b"normal"
            | b"eval"
            | b"blscfg"
            | b"legacy_source"
            | b"legacy_configfile"
            | b"syslinux_source"
            | b"syslinux_configfile"
            | b"extract_entries_source"
            | b"extract_entries_configfile"
            | b"extract_legacy_entries_source"
            | b"extract_legacy_entries_configfile"
            | b"extract_syslinux_entries_source"
            | b"extract_syslinux_entries_configfile" => {
                self.not_followed(name, text, args);
            }
            _ => return self.loader_or_other(name, text, args, block),
        }
        Flow::On
    }

    fn loader_or_other(&mut self, name: &Arg, text: &[u8], args: &[Arg], block: Option<&Rc<List>>) -> Flow {
        if let Some(kind) = kind(text) {
            if block.is_some() {
                let message = "a block does not belong to this command".to_owned();
                self.problem(severity(kind), name.start, message);
            }
            self.load(kind, name, args);
        } else if let Some(body) = self.functions.get(text).map(Rc::clone) {
            return self.call(name, &body, args);
        } else if let Some(equals) = text.iter().position(|&byte| byte == b'=') {
            let value = Value::known(text.get(equals.saturating_add(1)..).unwrap_or_default());
            self.assign(text.get(..equals).unwrap_or_default(), Some(value));
            self.status = Status::Success;
        } else {
            self.other(name, text, args);
        }
        Flow::On
    }

    /// The command's name is decided at boot, at least in part.
    fn undecided_name(&mut self, name: &Arg, args: &[Arg], why: Why) {
        let first = name.unknowns.first().map_or(name.start, |unknown| unknown.start);
        let length = first.saturating_sub(name.start);
        let prefix = name.text.get(..length).unwrap_or_default();
        if let Some(equals) = prefix.iter().position(|&byte| byte == b'=') {
            let value = Value {
                text: Rc::from(name.text.get(equals.saturating_add(1)..).unwrap_or_default()),
                unknown: Some(why),
            };
            let variable = prefix.get(..equals).unwrap_or_default();
            self.assign(variable, Some(value));
            self.status = Status::Success;
            return;
        }
        self.status = Status::Unknown(why);
        if prefix == b"linux" {
            self.load(Kind::Linux, name, args);
        } else if prefix.is_empty() || DECISIVE.iter().any(|known| known.starts_with(prefix)) {
            self.report(Severity::Error, name.start, |run| {
                let why = run.describe(why);
                format!("which command runs here is decided at boot: {why}")
            });
            self.variables.forget_all(why);
        }
    }

    fn set(&mut self, args: &[Arg]) {
        let Some(first) = args.first() else {
            self.status = Status::Success;
            return;
        };
        let Some(equals) = first.text.iter().position(|&byte| byte == b'=') else {
            self.status = match first.why() {
                Some(why) => Status::Unknown(why),
                None => Status::Failure,
            };
            return;
        };
        let variable = first.text.get(..equals).unwrap_or_default();
        let text = first.text.get(equals.saturating_add(1)..).unwrap_or_default();
        match first.why() {
            Some(why) if variable.contains(&b'$') => self.variables.forget_all(why),
            why => {
                let value = Value { text: Rc::from(text), unknown: why };
                self.assign(variable, Some(value));
            }
        }
        self.status = Status::Success;
    }

    fn unset(&mut self, args: &[Arg]) {
        for arg in args {
            match arg.decided() {
                Ok(name) => self.assign(name, None),
                Err(why) => self.variables.forget_all(why),
            }
        }
        self.status = Status::Success;
    }

    fn export(&mut self, args: &[Arg]) {
        for name in args.iter().filter_map(Arg::known) {
            self.variables.export(name);
        }
        self.status = Status::Success;
    }

    fn assign(&mut self, name: &[u8], value: Option<Value>) {
        if self.variables.count() > VARIABLES {
            self.halt(0, "the file sets more variables than are followed");
            return;
        }
        let value = match self.doubt {
            Some(why) => self.weakly(name, value, why),
            None => value,
        };
        self.variables.set(name, value);
    }

    /// What a variable holds when it is undecided whether it is set to `value`.
    fn weakly(&self, name: &[u8], value: Option<Value>, why: Why) -> Option<Value> {
        let present = self.variables.get(name);
        match value {
            Some(value) if value == present => Some(value),
            None if present == Value::known(b"") => None,
            _ => Some(Value::unknown(why)),
        }
    }

    fn control(&mut self, name: &Arg, text: &[u8], args: &[Arg]) -> Flow {
        if let Some(why) = args.iter().find_map(Arg::why) {
            self.doubt = self.doubt.or(Some(why));
            self.status = Status::Unknown(why);
            return Flow::On;
        }
        let number = args.first().map_or(Some(1), |arg| decimal(&arg.text));
        match (text, number) {
            (b"setparams", _) if self.scope.is_some() => {
                self.scope = Some(args.iter().map(Arg::value).collect());
                self.status = Status::Success;
            }
            (b"shift", _) if self.scope.is_none() => self.status = Status::Success,
            (b"shift", Some(count)) => {
                let scope = self.scope.clone().unwrap_or_default();
                let shifted = scope.get(count..);
                self.status = if shifted.is_some() { Status::Success } else { Status::Failure };
                if let Some(rest) = shifted {
                    self.scope = Some(Rc::from(rest));
                }
            }
            (b"return", _) if self.scope.is_none() => self.status = Status::Failure,
            (b"return", Some(code)) => {
                if !args.is_empty() {
                    self.status = if code == 0 { Status::Success } else { Status::Failure };
                }
                return Flow::Return;
            }
            (b"break" | b"continue", Some(count)) if count > 0 => {
                self.status = Status::Success;
                let count = count.min(self.loops);
                return match (count, text) {
                    (0, _) => Flow::On,
                    (_, b"break") => Flow::Break(count),
                    _ => Flow::Continue(count),
                };
            }
            _ => self.status = self.result(name),
        }
        Flow::On
    }

    fn call(&mut self, name: &Arg, body: &Rc<List>, args: &[Arg]) -> Flow {
        if !self.deeper(name.start) {
            return Flow::Halt;
        }
        let scope = self.scope.replace(args.iter().map(Arg::value).collect());
        let loops = mem::take(&mut self.loops);
        let doubt = self.doubt;
        let flow = self.list(body);
        self.scope = scope;
        self.loops = loops;
        self.doubt = doubt;
        self.depth = self.depth.saturating_sub(1);
        match flow {
            Flow::Halt => Flow::Halt,
            _ => Flow::On,
        }
    }

    fn load_env(&mut self, name: &Arg, args: &[Arg]) {
        let why = word(What::LoadEnv, name);
        let mut only = Vec::new();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.text.as_slice() {
                b"--file" | b"-f" => {
                    args.next();
                }
                [b'-', ..] => {}
                _ => only.push(arg),
            }
        }
        if only.is_empty() {
            self.variables.forget_all(why);
        }
        for variable in only {
            self.assign(&variable.text, Some(Value::unknown(why)));
        }
        self.status = self.result(name);
    }

    fn not_followed(&mut self, name: &Arg, text: &[u8], args: &[Arg]) {
        let what: Vec<_> = args.iter().map(|arg| String::from_utf8_lossy(&arg.text)).collect();
        let message = format!(
            "`{}` is not followed: what it adds or changes is not known",
            [&[String::from_utf8_lossy(text)], what.as_slice()].concat().join(" ")
        );
        self.problem(Severity::Note, name.start, message);
        self.variables.forget_absent(word(What::NotFollowed, name));
        self.status = self.result(name);
    }

    /// A command that neither loads anything nor is part of the language.
    fn other(&mut self, name: &Arg, text: &[u8], args: &[Arg]) {
        let why = word(What::SetBy, name);
        match text {
            b"read" | b"increment" | b"decrement" | b"getenv" => {
                for arg in args {
                    self.assign(&arg.text, Some(Value::unknown(why)));
                }
            }
            b"search" => self.assign(b"root", Some(Value::unknown(why))),
            b"search.file" | b"search.fs_label" | b"search.fs_uuid" => {
                let variable = args.get(1).map_or(&b"root"[..], |arg| &arg.text);
                self.assign(variable, Some(Value::unknown(why)));
            }
            _ => {}
        }
        self.set_by_option(args, why);
        self.status = self.result(name);
    }

    /// `--set=variable`, `--set=1:variable`, `--set variable`, `-s variable`.
    fn set_by_option(&mut self, args: &[Arg], why: Why) {
        let mut next_is_name = false;
        for arg in args {
            let text = arg.text.as_slice();
            let variable = match text.strip_prefix(b"--set=") {
                Some(variable) => Some(variable),
                None => mem::take(&mut next_is_name).then_some(text),
            };
            next_is_name = matches!(text, b"--set" | b"-s");
            if let Some(variable) = variable {
                let colon = variable.iter().rposition(|&byte| byte == b':');
                let start = colon.map_or(0, |colon| colon.saturating_add(1));
                let variable = variable.get(start..).unwrap_or_default();
                self.assign(variable, Some(Value::unknown(why)));
            }
        }
    }

    fn result(&self, name: &Arg) -> Status {
        Status::Unknown(word(What::Result, name))
    }
}

/// Menu entries and what they load.
impl Run<'_> {
    fn menu_entry(&mut self, name: &Arg, args: &[Arg], block: Option<&Rc<List>>) {
        self.status = Status::Success;
        let options = EntryOptions::read(args);
        let (Some(title), Some(body)) = (options.rest.first(), block) else {
            let message = match options.source {
                true => "`--source` is not followed",
                false => "a menu entry needs a title and a block",
            };
            self.problem(Severity::Error, name.start, message.to_owned());
            return;
        };
        let definition = Definition {
            start: name.start,
            title: String::from_utf8_lossy(&title.text).into_owned(),
            id: options.id,
            parameters: options.rest.iter().map(|arg| arg.value()).collect(),
            body: Rc::clone(body),
            submenu: name.text == b"submenu",
            undecided: self.doubt,
        };
        self.sink.definitions.push(definition);
    }

    fn load(&mut self, kind: Kind, name: &Arg, args: &[Arg]) {
        let options = args.iter().take_while(|arg| is_option(kind, &name.text, &arg.text)).count();
        let options = match kind {
            Kind::Module => options.min(1),
            _ => options,
        };
        let (options, rest) = args.split_at_checked(options).unwrap_or((args, &[]));
        let (file, arguments) = match rest.split_first() {
            Some((file, arguments)) => (Some(file), arguments),
            None => (None, rest),
        };
        self.check_file(kind, name, file);
        self.check_arguments(kind, arguments);
        let (line, column) = self.source.place(name.start);
        let command = Command {
            kind,
            name: String::from_utf8_lossy(&name.text).into_owned(),
            line,
            column,
            options: options.iter().map(|option| String::from_utf8_lossy(&option.text).into_owned()).collect(),
            file: file.map(|file| self.word(file)),
            arguments: arguments.iter().map(|argument| self.word(argument)).collect(),
            certain: self.doubt.is_none(),
        };
        if let Some(why) = self.doubt {
            let message =
                format!("whether this `{}` is reached is decided at boot: {}", command.name, self.describe(why));
            self.sink.problems.push(Problem { severity: severity(kind), line, column, message });
        }
        self.sink.commands.push(command);
        self.status = self.result(name);
    }

    fn check_file(&mut self, kind: Kind, name: &Arg, file: Option<&Arg>) {
        match file {
            None => {
                let message = format!("`{}` without a file", String::from_utf8_lossy(&name.text));
                self.problem(severity(kind), name.start, message);
            }
            Some(file) => {
                let whole = file.unknowns.first().is_some_and(|unknown| {
                    file.may_split().is_some() && unknown.start == file.start && unknown.end == file.end
                });
                if let (true, Some(why)) = (whole, file.why()) {
                    let message = format!(
                        "the file, and arguments that may come with it, are decided at boot: {}",
                        self.describe(why)
                    );
                    self.problem(severity(kind), file.start, message);
                }
            }
        }
    }

    fn check_arguments(&mut self, kind: Kind, arguments: &[Arg]) {
        for argument in arguments {
            for unknown in &argument.unknowns {
                self.report(severity(kind), unknown.start, |run| {
                    let written = run.source.slice(unknown.start, unknown.end);
                    format!(
                        "the value of `{}` is decided at boot: {}",
                        shortened(written),
                        run.describe(unknown.why)
                    )
                });
            }
        }
    }

    fn word(&self, arg: &Arg) -> Word {
        let (line, column) = self.source.place(arg.start);
        let mut origins: Vec<Origin> = arg
            .runs
            .iter()
            .map(|run| {
                let (line, column) = self.source.place(run.source);
                Origin { at: run.at, line, column, literal: run.literal }
            })
            .collect();
        if origins.is_empty() {
            origins.push(Origin { at: 0, line, column, literal: true });
        }
        Word { text: arg.text.clone(), line, column, origins }
    }
}

/// Limits and problems.
impl Run<'_> {
    fn expand(&mut self, words: &[Raw]) -> Option<Vec<Arg>> {
        let expansion = Expansion::new(self.source, &self.variables, &self.scope, self.status);
        let args = expansion.words(words, self.room);
        let start = words.first().map_or(0, |word| word.start);
        let Some(args) = args else {
            self.halt(start, TOO_LONG);
            return None;
        };
        let bytes = args.iter().fold(args.len(), |bytes, arg| bytes.saturating_add(arg.text.len()));
        self.spend_bytes(bytes, start).then_some(args)
    }

    fn spend_bytes(&mut self, bytes: usize, start: usize) -> bool {
        match self.room.checked_sub(bytes) {
            Some(room) => self.room = room,
            None => {
                self.halt(start, TOO_LONG);
            }
        }
        self.halted.is_none()
    }

    fn spend_steps(&mut self, steps: usize, start: usize) -> bool {
        match self.steps.checked_sub(steps) {
            Some(left) => self.steps = left,
            None => {
                self.halt(start, TOO_LONG);
            }
        }
        self.halted.is_none()
    }

    fn deeper(&mut self, start: usize) -> bool {
        if self.depth >= DEPTH {
            self.halt(start, "this runs too deep to be followed");
        }
        if self.halted.is_some() {
            return false;
        }
        self.depth = self.depth.saturating_add(1);
        true
    }

    fn halt(&mut self, start: usize, message: &str) -> Flow {
        if self.halted.is_none() {
            let message = format!("{message}: nothing after it is read");
            self.halted = Some(self.at(Severity::Error, start, message));
        }
        Flow::Halt
    }

    fn problem(&mut self, severity: Severity, start: usize, message: String) {
        let problem = self.at(severity, start, message);
        self.sink.problems.push(problem);
    }

    fn report(&mut self, severity: Severity, start: usize, message: impl FnOnce(&Self) -> String) {
        if self.sink.problems.is_full() {
            self.sink.problems.raise(severity);
        } else {
            let message = message(self);
            self.problem(severity, start, message);
        }
    }

    fn at(&self, severity: Severity, start: usize, message: String) -> Problem {
        let (line, column) = self.source.place(start);
        Problem { severity, line, column, message }
    }

    fn describe(&self, why: Why) -> String {
        let (line, _) = self.source.place(why.start);
        let word = shortened(self.source.slice(why.start, why.end));
        match why.what {
            What::Platform => "GRUB or the firmware sets it".to_owned(),
            What::LoadEnv => format!("`{word}` on line {line} sets it from the environment block"),
            What::SetBy => format!("`{word}` on line {line} sets it"),
            What::NotFollowed => {
                format!("`{word}` on line {line} may set it and is not followed")
            }
            What::Branches => {
                format!("the branches of `{word}` on line {line} differ, and which one runs is decided at boot")
            }
            What::Loop => format!("`{word}` on line {line} changes it, and how often it runs is decided at boot"),
            What::Result => format!("the outcome of `{word}` on line {line} is not known before"),
            What::FileTest => format!("`{word}` on line {line} looks at files"),
            What::Translated => format!("the text on line {line} is translated at boot"),
            What::Glob => format!("`{word}` on line {line} stands for the files it matches"),
            What::HexEscape => {
                format!("builds of GRUB differ in what `{word}` on line {line} means outside of quotes")
            }
        }
    }
}

/// What `$?` holds before the first command.
const NOT_RUN: Why = Why { what: What::Platform, start: 0, end: 0 };

const TOO_LONG: &str = "the script runs too long to be followed";

/// What must not be missed when a command's name is not known.
const DECISIVE: [&[u8]; 12] = [
    b"multiboot",
    b"multiboot2",
    b"module",
    b"module2",
    b"xen_hypervisor",
    b"xen_module",
    b"xen_multiboot",
    b"chainloader",
    b"menuentry",
    b"submenu",
    b"source",
    b"set",
];

fn kind(name: &[u8]) -> Option<Kind> {
    Some(match name {
        b"multiboot" | b"multiboot2" | b"xen_hypervisor" | b"xen_multiboot" => Kind::Xen,
        b"module" | b"module2" | b"xen_module" | b"xen_linux" | b"xen_initrd" | b"xen_xsm" => Kind::Module,
        b"chainloader" => Kind::Chainloader,
        b"linux" | b"linux16" | b"linuxefi" => Kind::Linux,
        _ => return None,
    })
}

fn matters(kind: Kind) -> bool {
    kind != Kind::Linux
}

fn severity(kind: Kind) -> Severity {
    match matters(kind) {
        true => Severity::Error,
        false => Severity::Note,
    }
}

fn is_option(kind: Kind, name: &[u8], text: &[u8]) -> bool {
    match kind {
        Kind::Module => text == b"--nounzip",
        Kind::Xen => name == b"multiboot" && text.starts_with(b"--quirk-"),
        Kind::Chainloader | Kind::Linux => text.starts_with(b"--"),
    }
}

fn same_commands(one: &[Command], two: &[Command]) -> bool {
    let texts = |words: &[Word], other: &[Word]| {
        words.len() == other.len() && words.iter().zip(other).all(|(a, b)| a.text == b.text)
    };
    one.len() == two.len()
        && one.iter().zip(two).all(|(a, b)| {
            a.kind == b.kind
                && a.certain == b.certain
                && a.options == b.options
                && a.file.as_ref().map(|file| &file.text) == b.file.as_ref().map(|file| &file.text)
                && texts(&a.arguments, &b.arguments)
        })
}

fn after_iteration(flow: Flow) -> Option<Flow> {
    match flow {
        Flow::On | Flow::Continue(0 | 1) => None,
        Flow::Break(0 | 1) => Some(Flow::On),
        Flow::Break(more) => Some(Flow::Break(more.saturating_sub(1))),
        Flow::Continue(more) => Some(Flow::Continue(more.saturating_sub(1))),
        Flow::Return | Flow::Halt => Some(flow),
    }
}

fn word(what: What, name: &Arg) -> Why {
    Why { what, start: name.start, end: name.end }
}

fn decimal(text: &[u8]) -> Option<usize> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn shortened(text: &[u8]) -> String {
    const LONGEST: usize = 60;
    match text.get(..LONGEST) {
        Some(begin) => format!("{}...", String::from_utf8_lossy(begin)),
        None => String::from_utf8_lossy(text).into_owned(),
    }
}

/// The options of `menuentry` and `submenu` (grub-core/commands/menuentry.c, 2.12).
#[derive(Default)]
struct EntryOptions<'a> {
    id: Option<String>,
    source: bool,
    /// The title and further parameters.
    rest: Vec<&'a Arg>,
}

impl<'a> EntryOptions<'a> {
    fn read(args: &'a [Arg]) -> Self {
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.text.as_slice() {
                b"--" => options.rest.extend(args.by_ref()),
                b"--id" => {
                    options.id = args.next().map(|id| String::from_utf8_lossy(&id.text).into_owned());
                }
                b"--source" => {
                    options.source = true;
                    args.next();
                }
                [b'-', b'-', b'i', b'd', b'=', id @ ..] => {
                    options.id = Some(String::from_utf8_lossy(id).into_owned());
                }
                text if text.starts_with(b"--source=") => options.source = true,
                text if [&b"--class="[..], b"--users=", b"--hotkey="]
                    .iter()
                    .any(|option| text.starts_with(option)) => {}
                b"--class" | b"--users" | b"--hotkey" => {
                    args.next();
                }
                b"--unrestricted" => {}
                _ => options.rest.push(arg),
            }
        }
        options
    }
}

/// Problems of one entry; when there are too many, the last one says so.
#[derive(Default)]
struct Problems {
    list: Vec<Problem>,
}

impl Problems {
    fn push(&mut self, problem: Problem) {
        if self.list.contains(&problem) {
            return;
        }
        match self.list.len().cmp(&PROBLEMS) {
            Ordering::Less => self.list.push(problem),
            Ordering::Equal => {
                self.list.push(Problem { message: "there are more problems from here on".to_owned(), ..problem });
            }
            Ordering::Greater => self.raise(problem.severity),
        }
    }

    fn is_full(&self) -> bool {
        self.list.len() > PROBLEMS
    }

    fn raise(&mut self, severity: Severity) {
        if let Some(last) = self.list.last_mut() {
            last.severity = last.severity.max(severity);
        }
    }

    fn extend(&mut self, other: Self) {
        for problem in other.list {
            self.push(problem);
        }
    }
}
