//! Nodes for people and for scripts.

use std::collections::{HashMap, HashSet};

use tombolo_core::wire::concentrator::{DataSource, HealthState, NodeInfo};

use super::super::say;
use super::command::{Commands, names};
use super::text::tame;

/// A source and its nodes, children below their parents.
pub(super) fn print(source: &DataSource, nodes: &[NodeInfo], commands: &Commands) {
    match source.name.as_str() {
        name if name == source.id || name.is_empty() => say(&source.id),
        name => say(format_args!("{}  ({name})", source.id)),
    }
    let children = children(nodes);
    branch((&children, commands), None, "", 0);
}

/// A thing that stands alone.
pub(super) fn print_thing(thing: &NodeInfo, is_json: bool) {
    match is_json {
        true => say(json(thing, &Commands::new())),
        false => say(describe(thing, &Commands::new()).trim_start_matches('/')),
    }
}

/// Nodes by their parent; those whose parent is not among them are roots.
fn children(nodes: &[NodeInfo]) -> HashMap<Option<&str>, Vec<&NodeInfo>> {
    let known: HashSet<&str> = nodes.iter().map(|node| node.node.id.as_str()).collect();
    let mut children: HashMap<Option<&str>, Vec<&NodeInfo>> = HashMap::new();
    for node in nodes {
        let parent = node.parent.as_ref().map(|parent| parent.id.as_str()).filter(|parent| known.contains(parent));
        children.entry(parent).or_default().push(node);
    }
    children
}

fn branch(
    (children, commands): (&HashMap<Option<&str>, Vec<&NodeInfo>>, &Commands),
    parent: Option<&str>,
    indent: &str,
    depth: usize,
) {
    let level = children.get(&parent).map(Vec::as_slice).unwrap_or_default();
    for (index, node) in level.iter().enumerate() {
        let last = index + 1 == level.len();
        say(format_args!("{indent}{} {}", if last { "└─" } else { "├─" }, describe(node, commands)));
        // Nothing real is deeper.
        if depth < 64 {
            branch(
                (children, commands),
                Some(&node.node.id),
                &format!("{indent}{}  ", if last { " " } else { "│" }),
                depth + 1,
            );
        }
    }
}

fn describe(node: &NodeInfo, commands: &Commands) -> String {
    let mut text = tame(&node.node.to_string()).into_owned();
    // Without a label, hosts give the type there.
    if !["", node.node.id.as_str(), node.node_type.as_str()].contains(&node.display_name.as_str()) {
        text.push_str(&format!("  \"{}\"", tame(&node.display_name)));
    }
    let can: Vec<&str> = [(node.readable, "read"), (node.controllable, "set")]
        .iter()
        .filter(|(can, _)| *can)
        .map(|(_, word)| *word)
        .collect();
    if !can.is_empty() {
        text.push_str(&format!("  [{}]", can.join(", ")));
    }
    if let Some(commands) = commands.get(&node.node).filter(|commands| !commands.is_empty()) {
        text.push_str(&format!("  commands: {}", names(commands)));
    }
    match node.state {
        HealthState::None | HealthState::Information => {}
        HealthState::WarningSigned | HealthState::WarningUnsigned => text.push_str("  warning"),
        HealthState::ErrorSigned | HealthState::ErrorUnsigned => text.push_str("  error"),
    }
    text
}

/// One object.
pub(super) fn json(node: &NodeInfo, commands: &Commands) -> String {
    let commands = commands.get(&node.node).map(Vec::as_slice).unwrap_or_default();
    let commands: Vec<&str> = commands.iter().map(|command| command.id.as_str()).collect();
    serde_json::json!({
        "source": node.node.source, "node": node.node.id, "label": node.display_name, "type": node.node_type,
        "state": format!("{:?}", node.state), "parent": node.parent.as_ref().map(|parent| &parent.id),
        "readable": node.readable, "controllable": node.controllable, "commands": commands,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use tombolo_core::model::NodeRef;

    use super::*;

    fn node(id: &str, parent: Option<&str>) -> NodeInfo {
        let parent = parent.map(|parent| NodeRef::new(parent, "home"));
        NodeInfo { node: NodeRef::new(id, "home"), parent, ..NodeInfo::default() }
    }

    #[test]
    fn nodes_stand_below_their_parents_and_orphans_at_the_top() {
        let nodes = [node("lamp", Some("room")), node("room", None), node("orphan", Some("gone"))];
        let children = children(&nodes);
        let ids = |parent| children.get(&parent).unwrap().iter().map(|node| node.node.id.as_str()).collect::<Vec<_>>();
        assert_eq!((ids(None), ids(Some("room"))), (vec!["room", "orphan"], vec!["lamp"]));
    }

    #[test]
    fn a_label_is_shown_where_it_says_something() {
        let labelled = NodeInfo { display_name: "Lamp".into(), readable: true, ..node("lamp", None) };
        assert_eq!(describe(&labelled, &Commands::new()), "home/lamp  \"Lamp\"  [read]");
        let typed =
            NodeInfo { display_name: "mqtt.device".into(), node_type: "mqtt.device".into(), ..node("lamp", None) };
        assert_eq!(describe(&typed, &Commands::new()), "home/lamp");
    }
}
