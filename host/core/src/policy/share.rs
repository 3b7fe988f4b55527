//! What the operator's `[[publish]]` sections push, without anybody having asked for it.

use super::glob::Glob;
use crate::model::NodeRef;

/// Which fields of which nodes a section names. Where it pushes to one JID, that JID's own rules must allow it as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    nodes: Vec<Glob>,
    fields: Vec<Glob>,
}

impl Share {
    /// Patterns for `bridge/node-id`, and for names of fields.
    pub fn new(nodes: &[&str], fields: &[&str]) -> Self {
        let globs = |patterns: &[&str]| patterns.iter().map(|pattern| Glob::new(*pattern)).collect();
        Self { nodes: globs(nodes), fields: globs(fields) }
    }

    /// Whether the section names the node.
    pub fn names(&self, node: &NodeRef) -> bool {
        let name = node.to_string();
        self.nodes.iter().any(|glob| glob.fits(&name))
    }

    /// Whether the section covers the field.
    pub fn covers(&self, field: &str) -> bool {
        self.fields.iter().any(|glob| glob.fits(field))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_names_nodes_and_fields() {
        let share = Share::new(&["home/kitchen/*"], &["temp*", "mode"]);
        assert!(share.names(&NodeRef::new("kitchen/lamp", "home")));
        assert!(!share.names(&NodeRef::new("kitchen/lamp", "office")));
        assert!(share.covers("temperature") && share.covers("mode") && !share.covers("uptime"));
    }
}
