//! Files that hold more than one thing in PEM, as `openssl` writes them.

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";

/// One of them, with the lines that begin and end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block<'t> {
    pub(crate) label: &'t str,
    pub(crate) text: &'t str,
}

/// All of them, in order. What stands between them is for people. One that does not end is left out.
pub(crate) fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((block, behind)) = next(rest) {
        blocks.push(block);
        rest = behind;
    }
    blocks
}

fn next(text: &str) -> Option<(Block<'_>, &str)> {
    let text = text.get(text.find(BEGIN)?..)?;
    let label = text.strip_prefix(BEGIN)?.split("-----").next()?;
    let end = text.find(END)?;
    let length = text.get(end..)?.find(['\n', '\r']).map_or(text.len(), |line| end.saturating_add(line));
    let (text, rest) = text.split_at_checked(length)?;
    Some((Block { label, text }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_between_other_text() {
        let text = "a\n-----BEGIN A B-----\nYQ==\n-----END A B-----\r\nb\n-----BEGIN C-----\n-----END C-----";
        let found = blocks(text);
        let labels: Vec<_> = found.iter().map(|block| block.label).collect();
        assert_eq!(labels, ["A B", "C"]);
        assert!(found.iter().all(|block| block.text.starts_with(BEGIN) && block.text.ends_with("-----")));
        assert_eq!(blocks("-----BEGIN A-----\nYQ==\n"), []);
        assert_eq!(blocks("-----END A-----\n"), []);
    }
}
