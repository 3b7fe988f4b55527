//! Nodes for people and for scripts.

use tombolo_core::wire::concentrator::{DataSource, HealthState, NodeInfo};

use super::super::say;

/// A source and its nodes, children below their parents.
pub(super) fn print(source: &DataSource, nodes: &[NodeInfo]) {
    match source.name.as_str() {
        name if name == source.id || name.is_empty() => say(&source.id),
        name => say(format_args!("{}  ({name})", source.id)),
    }
    let known = |id: &str| nodes.iter().any(|node| node.node.id == id);
    let is_root = |node: &&NodeInfo| node.parent.as_ref().is_none_or(|parent| !known(&parent.id));
    let roots: Vec<&NodeInfo> = nodes.iter().filter(is_root).collect();
    branch(nodes, &roots, "", 0);
}

fn branch(nodes: &[NodeInfo], level: &[&NodeInfo], indent: &str, depth: usize) {
    for (index, node) in level.iter().enumerate() {
        let last = index + 1 == level.len();
        say(format_args!("{indent}{} {}", if last { "└─" } else { "├─" }, describe(node)));
        let children: Vec<&NodeInfo> = nodes
            .iter()
            .filter(|child| child.parent.as_ref().is_some_and(|parent| parent.id == node.node.id))
            .collect();
        // A peer could send a ring; nothing real is deeper.
        if depth < 64 {
            branch(nodes, &children, &format!("{indent}{}  ", if last { " " } else { "│" }), depth + 1);
        }
    }
}

fn describe(node: &NodeInfo) -> String {
    let mut text = node.node.to_string();
    if !node.display_name.is_empty() && node.display_name != node.node.id {
        text.push_str(&format!("  \"{}\"", node.display_name));
    }
    let can: Vec<&str> = [(node.readable, "read"), (node.controllable, "set")]
        .iter()
        .filter(|(can, _)| *can)
        .map(|(_, word)| *word)
        .collect();
    text.push_str(&format!("  [{}]", can.join(", ")));
    match node.state {
        HealthState::None | HealthState::Information => {}
        HealthState::WarningSigned | HealthState::WarningUnsigned => text.push_str("  warning"),
        HealthState::ErrorSigned | HealthState::ErrorUnsigned => text.push_str("  error"),
    }
    text
}

/// One object.
pub(super) fn json(node: &NodeInfo) -> String {
    serde_json::json!({
        "source": node.node.source, "node": node.node.id, "label": node.display_name, "type": node.node_type,
        "state": format!("{:?}", node.state), "parent": node.parent.as_ref().map(|parent| &parent.id),
        "readable": node.readable, "controllable": node.controllable,
    })
    .to_string()
}
