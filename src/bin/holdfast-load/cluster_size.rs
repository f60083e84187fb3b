//! How large clusters are, as it is typed: `1x1,2x1,3x1` are one to three nodes with one master of the shared store. It starts
//! nothing.

use std::fmt;
use std::str::FromStr;

/// More than this no machine affords beside its terminals.
const NODES_MAX: u16 = 16;
/// The same of masters, which have a replica each.
pub(crate) const MASTERS_MAX: u16 = 3;

/// Nodes, and masters of their shared store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClusterSize {
    pub(crate) nodes: u16,
    pub(crate) masters: u16,
}

/// At least one size, and none twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClusterSizes(Vec<ClusterSize>);

impl ClusterSizes {
    pub(crate) fn all(&self) -> &[ClusterSize] {
        &self.0
    }
}

impl fmt::Display for ClusterSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let several = |count: u16| if count == 1 { "" } else { "s" };
        let Self { nodes, masters } = *self;
        let (node, master) = (several(nodes), several(masters));
        write!(f, "{nodes} node{node}, {masters} master{master}")
    }
}

impl FromStr for ClusterSizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut sizes: Vec<ClusterSize> = Vec::new();
        for word in text.split(',').map(str::trim) {
            let size = size(word).ok_or_else(|| {
                format!("`{word}` is not NODESxMASTERS, as in 3x1: up to {NODES_MAX} nodes and {MASTERS_MAX} masters")
            })?;
            if sizes.contains(&size) {
                return Err(format!("{word} stands there twice"));
            }
            sizes.push(size);
        }
        Ok(Self(sizes))
    }
}

fn size(word: &str) -> Option<ClusterSize> {
    let (nodes, masters) = word.split_once('x')?;
    let number = |text: &str, most: u16| text.parse().ok().filter(|number| (1..=most).contains(number));
    Some(ClusterSize {
        nodes: number(nodes, NODES_MAX)?,
        masters: number(masters, MASTERS_MAX)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_taken_as_a_whole_or_refused() {
        let check = |text: &str, expected: Result<&[&str], &str>| {
            let sizes = text.parse::<ClusterSizes>();
            let seen = sizes.map(|sizes| sizes.all().iter().map(ClusterSize::to_string).collect::<Vec<_>>());
            let expected = expected.map(|sizes| sizes.iter().map(|size| (*size).to_owned()).collect());
            match (seen, expected) {
                (Err(seen), Err(expected)) => assert!(seen.contains(expected), "{seen}"),
                (seen, expected) => assert_eq!(seen, expected.map_err(str::to_owned), "{text}"),
            }
        };
        check("1x1", Ok(&["1 node, 1 master"]));
        check("2x1, 3x2", Ok(&["2 nodes, 1 master", "3 nodes, 2 masters"]));
        check("1x1,1x1", Err("1x1 stands there twice"));
        for bad in ["", "1", "x", "0x1", "1x0", "17x1", "1x4", "1x1,"] {
            check(bad, Err("is not NODESxMASTERS"));
        }
    }
}
