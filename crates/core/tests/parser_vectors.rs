//! 71 results of Xen's own option parser, held against a parser built on [`lockdown_core::xen_text`].
//!
//! The results were written down from Xen 4.20. `cargo xtask oracle` compares the same lines, and a million more,
//! with the source itself.

mod model;

use model::Event;

/// One line and what Xen made of it. In all texts a character stands for the byte of its number.
struct Vector {
    id: String,
    input: Vec<u8>,
    rc: i64,
    calls: Vec<Vec<u8>>,
    printk: Vec<Vec<u8>>,
    state: Vec<u8>,
}

fn vectors() -> Vec<Vector> {
    let all: serde_json::Value =
        serde_json::from_str(include_str!("vectors/parser.json")).expect("the vectors are JSON");
    let bytes = |text: &serde_json::Value| -> Vec<u8> {
        let text = text.as_str().expect("a text");
        text.chars().map(|char| u8::try_from(u32::from(char)).expect("a byte")).collect()
    };
    let list = |texts: &serde_json::Value| texts.as_array().expect("a list").iter().map(bytes).collect();
    let vector = |vector: &serde_json::Value| Vector {
        id: vector["id"].as_str().expect("an id").to_owned(),
        input: bytes(&vector["input"]),
        rc: vector["rc"].as_i64().expect("a number"),
        calls: list(&vector["calls"]),
        printk: list(&vector["printk"]),
        state: bytes(&vector["state"]),
    };
    all.as_array().expect("a list of vectors").iter().map(vector).collect()
}

#[test]
fn all_71_are_there() {
    assert_eq!(vectors().len(), 71);
}

#[test]
fn every_line_is_read_as_xen_reads_it() {
    for vector in vectors() {
        let run = model::parse_params(&vector.input);
        let (id, input) = (&vector.id, vector.input.escape_ascii());
        let mut calls = Vec::new();
        let mut printk = Vec::new();
        for event in &run.events {
            match event {
                Event::Call(text) => calls.push(text.clone()),
                Event::Printk(text) => printk.push(text.clone()),
            }
        }
        assert_eq!(calls, vector.calls, "{id} {input}: handler calls");
        assert_eq!(printk, vector.printk, "{id} {input}: messages");
        assert_eq!(i64::from(run.rc), vector.rc, "{id} {input}: return code");
        // The vectors know the first of the variables only.
        let state = run.state();
        let wanted = [vector.state.as_slice(), b" "].concat();
        assert!(state.starts_with(&wanted), "{id} {input}: the variables are {}", state.escape_ascii());
    }
}
