//! `holdfast`: arguments to configuration to node.

fn main() {}
