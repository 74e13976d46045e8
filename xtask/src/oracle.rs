//! Compares the engine's reading of a command line with Xen's own parser, compiled from a source tree.

mod lines;

use std::fs;
use std::io::{BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use lockdown_core::xen_text;

use crate::model::{self, Event};
use crate::xen_parser;
use lines::Lines;

/// Lines that go to Xen's parser at a time: enough that the pipe costs nothing, few enough to stay small.
const BATCH: usize = 4096;

/// Compares the vectors and so many generated lines; the first difference ends it.
pub(crate) fn run(root: &Path, tree: &Path, lines: usize, seed: u64) -> Result<ExitCode> {
    let folder = xen_parser::temporary_folder(root)?;
    xen_parser::extract(tree, folder.path())?;
    let ours = root.join(xen_parser::OUR_FOLDER);
    let program = xen_parser::compile(root, tree, folder.path(), &[ours.join("harness.c"), ours.join("pipe.c")])?;

    let path = root.join("crates/core/tests/vectors/parser.json");
    let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let vectors = inputs(&text).with_context(|| format!("{} is not a list of vectors", path.display()))?;

    let mut xen = Xen::start(&program)?;
    for batch in vectors.chunks(BATCH) {
        if let Some(difference) = xen.compare(batch)? {
            return Ok(report(&difference, seed));
        }
    }
    let mut generator = Lines::new(seed);
    let mut left = lines;
    while left > 0 {
        let batch: Vec<_> = (0..left.min(BATCH)).map(|_| generator.line()).collect();
        left -= batch.len();
        if let Some(difference) = xen.compare(&batch)? {
            return Ok(report(&difference, seed));
        }
    }
    xen.finish()?;
    println!("{lines} lines, {} vectors: no difference", vectors.len());
    Ok(ExitCode::SUCCESS)
}

/// The lines of the vectors; a character stands for the byte of its number.
fn inputs(text: &str) -> Option<Vec<Vec<u8>>> {
    let vectors: serde_json::Value = serde_json::from_str(text).ok()?;
    let input = |vector: &serde_json::Value| -> Option<Vec<u8>> {
        vector.get("input")?.as_str()?.chars().map(|char| u8::try_from(u32::from(char)).ok()).collect()
    };
    vectors.as_array()?.iter().map(input).collect()
}

/// A line on which the two differ.
struct Difference {
    line: Vec<u8>,
    xen: Vec<u8>,
    model: Vec<u8>,
}

fn report(difference: &Difference, seed: u64) -> ExitCode {
    println!("the engine reads this line differently than Xen does (seed {seed}):");
    println!("  \"{}\"", difference.line.escape_ascii());
    println!("Xen:");
    print_result(&difference.xen);
    println!("model:");
    print_result(&difference.model);
    ExitCode::FAILURE
}

fn print_result(result: &[u8]) {
    for line in result.split(|&byte| byte == b'\n') {
        println!("  {}", line.escape_ascii());
    }
}

/// The test program with Xen's parser in it.
struct Xen {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Xen {
    fn start(program: &Path) -> Result<Self> {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the test program cannot be started")?;
        let input = child.stdin.take().context("the test program has no input")?;
        let output = BufReader::new(child.stdout.take().context("the test program has no output")?);
        Ok(Self { child, input, output })
    }

    fn finish(self) -> Result<()> {
        let Self { mut child, input, .. } = self;
        drop(input);
        let status = child.wait().context("the test program cannot be waited for")?;
        if !status.success() {
            bail!("the test program failed: {status}");
        }
        Ok(())
    }

    /// The first line of the batch that the two read differently.
    fn compare(&mut self, lines: &[Vec<u8>]) -> Result<Option<Difference>> {
        let mut request = Vec::new();
        request.extend(u32::try_from(lines.len())?.to_ne_bytes());
        for line in lines {
            request.extend(u32::try_from(line.len())?.to_ne_bytes());
            request.extend(line);
        }
        let ended = "the test program ended early";
        self.input.write_all(&request).context(ended)?;
        self.input.flush().context(ended)?;
        // Xen's parser works on the batch meanwhile.
        let expected: Vec<_> = lines.iter().map(|line| result_of_model(line)).collect();
        let mut difference = None;
        let mut xen = Vec::new();
        for (line, model) in lines.iter().zip(expected) {
            let mut len = [0; 4];
            self.output.read_exact(&mut len).context(ended)?;
            xen.resize(usize::try_from(u32::from_ne_bytes(len))?, 0);
            self.output.read_exact(&mut xen).context(ended)?;
            if xen != model && difference.is_none() {
                difference = Some(Difference { line: line.clone(), xen: xen.clone(), model });
            }
        }
        Ok(difference)
    }
}

/// What the test program writes for a line, if the engine reads it as Xen does.
fn result_of_model(line: &[u8]) -> Vec<u8> {
    let run = model::parse_params(line);
    let mut result = Vec::with_capacity(1024);
    for event in &run.events {
        let (kind, text): (&[u8], _) = match event {
            Event::Call(text) => (b"call: ", text),
            Event::Printk(text) => (b"printk: ", text),
        };
        result.extend([kind, text, b"\n"].concat());
    }
    result.extend(format!("rc: {}\nstate: ", run.rc).bytes());
    result.extend(run.state());
    let text = xen_text::until_nul(line);
    let (xen, dom0) = match xen_text::split_dom0(line) {
        Some((end, dom0)) => (text.get(..end), text.get(dom0)),
        None => (Some(text), Some(b"(none)".as_slice())),
    };
    result.extend([b"\nxen: ", xen.unwrap_or_default(), b"\ndom0: ", dom0.unwrap_or_default(), b"\n"].concat());
    result
}
