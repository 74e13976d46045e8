//! The examples in the documentation do what they show.

#![allow(missing_docs)]

#[test]
fn the_readmes_examples_are_as_shown() {
    trycmd::TestCases::new().case("../../README.md");
}
