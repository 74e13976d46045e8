//! The examples in the documentation do what they show.

#![allow(missing_docs)]

#[test]
fn the_readmes_examples_are_as_shown() {
    trycmd::TestCases::new().case("../../README.md");
}

#[test]
fn status_has_an_answer_where_there_is_no_xen() {
    trycmd::TestCases::new().case("tests/status/*.toml");
}

#[test]
fn the_guard_is_not_made_from_bad_input() {
    trycmd::TestCases::new().case("tests/guard/*.toml");
}

#[test]
fn recorded_hypercalls_are_explained() {
    trycmd::TestCases::new().case("tests/hypercall/*.toml");
}
