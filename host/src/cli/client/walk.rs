//! Which nodes there are behind a peer, also where there are more than fit into one answer.

use tombolo_core::model::NodeRef;
use tombolo_core::wire::concentrator::{Answer, DataSource, Detail, NodeInfo, Operation};
use tombolo_core::wire::dialect::Dialect;
use tombolo_core::wire::discovery::{Item, Request, parse_items};
use tombolo_core::wire::paging::{Page, Place};
use tombolo_core::wire::stanza::{Condition, StanzaFault};

use super::super::Exit;
use super::{Peer, about, node_ref};
use crate::client::ClientError;

/// The union source of every concentrator; its nodes are those of the other sources once more.
const UNION: &str = "MeteringTopology";
/// Nodes named in one request: servers cut requests too.
const NODES_PER_REQUEST: usize = 100;
const DETAIL: Detail = Detail { parameters: false, messages: false };

/// Nodes in portions that fit into requests. Without nodes it is one request, to a thing that stands alone.
pub(super) fn parts(nodes: Vec<NodeRef>) -> Vec<Vec<NodeRef>> {
    if nodes.is_empty() {
        return vec![nodes];
    }
    nodes.chunks(NODES_PER_REQUEST).map(<[NodeRef]>::to_vec).collect()
}

impl Peer {
    /// The peer itself, as what stands behind a concentrator is told.
    pub(super) fn thing(&self) -> NodeInfo {
        let name = self.info.identities.first().map(|identity| identity.name.clone()).unwrap_or_default();
        NodeInfo {
            node: NodeRef::new(self.jid.to_bare().to_string(), ""),
            display_name: name,
            readable: self.can(Dialect::sensor_ns),
            controllable: self.can(Dialect::control_ns),
            ..NodeInfo::default()
        }
    }

    /// Data sources without the union, unless it is all there is.
    pub(super) async fn sources(&mut self) -> Result<Vec<DataSource>, Exit> {
        match self.concentrator(Operation::GetAllDataSources).await? {
            Ok(Answer::DataSources(mut sources)) => {
                if sources.len() > 1 {
                    sources.retain(|source| source.id != UNION);
                }
                Ok(sources)
            }
            Ok(_) => Err(Exit::Unreachable(format!("{} does not answer as a concentrator", self.jid))),
            Err(fault) => Err(self.refused(fault)),
        }
    }

    /// The nodes that were named; all that fit if none was.
    pub(super) async fn chosen(
        &mut self,
        named: &[String],
        fits: impl Fn(&NodeInfo) -> bool,
    ) -> Result<Vec<NodeRef>, Exit> {
        if !named.is_empty() {
            return named.iter().map(|node| node_ref(node)).collect();
        }
        if self.stands_alone() {
            return Ok(Vec::new());
        }
        let mut chosen = Vec::new();
        for source in self.sources().await? {
            let nodes = self.nodes(&source.id).await?;
            chosen.extend(nodes.into_iter().filter(&fits).map(|info| info.node));
        }
        match chosen.is_empty() {
            true => Err(Exit::Unreachable(format!("{} shows no node that can be read", self.jid))),
            false => Ok(chosen),
        }
    }

    /// All nodes of a source, parents before children; walks the tree where it is too large for one answer.
    pub(super) async fn nodes(&mut self, source: &str) -> Result<Vec<NodeInfo>, Exit> {
        let all = Operation::GetAllNodes { source: source.to_owned(), detail: DETAIL, types: Vec::new() };
        match self.concentrator(all).await? {
            Ok(Answer::Nodes(nodes)) => return Ok(nodes),
            Err(fault) if fault.condition != Condition::ResourceConstraint => return Err(self.refused(fault)),
            _ => {}
        }
        let mut found = Vec::new();
        let mut open: Vec<Option<NodeRef>> = vec![None];
        while let Some(parent) = open.pop() {
            let level = self.level(source, parent.as_ref()).await?;
            open.extend(level.iter().filter(|node| node.has_children).map(|node| Some(node.node.clone())));
            found.extend(level);
        }
        Ok(found)
    }

    /// The nodes below one; of none, the roots.
    async fn level(&mut self, source: &str, parent: Option<&NodeRef>) -> Result<Vec<NodeInfo>, Exit> {
        let operation = match parent {
            Some(node) => Operation::GetChildNodes { node: node.clone(), detail: DETAIL },
            None => Operation::GetRootNodes { source: source.to_owned(), detail: DETAIL },
        };
        match self.concentrator(operation).await? {
            Ok(Answer::Nodes(nodes)) => Ok(nodes),
            Ok(_) => Ok(Vec::new()),
            Err(fault) if fault.condition == Condition::ResourceConstraint => self.wide_level(source, parent).await,
            Err(fault) => Err(self.refused(fault)),
        }
    }

    /// Concentrators know no paging, service discovery does: the names come from there.
    async fn wide_level(&mut self, source: &str, parent: Option<&NodeRef>) -> Result<Vec<NodeInfo>, Exit> {
        let node = parent.map_or_else(|| source.to_owned(), ToString::to_string);
        let prefix = format!("{source}/");
        let items = self.items(&node).await?;
        let names: Vec<NodeRef> = items
            .iter()
            .filter_map(|item| item.node.strip_prefix(&prefix).map(|id| NodeRef::new(id, source)))
            .collect();
        let mut found = Vec::new();
        for nodes in parts(names) {
            match self.concentrator(Operation::GetNodes { nodes, detail: DETAIL }).await? {
                Ok(Answer::Nodes(nodes)) => found.extend(nodes),
                Ok(_) => {}
                Err(fault) => return Err(self.refused(fault)),
            }
        }
        Ok(found)
    }

    async fn items(&mut self, node: &str) -> Result<Vec<Item>, Exit> {
        let mut found = Vec::new();
        let mut page = Page::default();
        loop {
            let request = Request::Items { node: Some(node.to_owned()), page: Some(page.clone()) };
            let Some(query) = self.ask(false, request.to_element()).await? else { return Ok(found) };
            let items = parse_items(&query);
            let is_end = items.is_empty();
            found.extend(items);
            match Place::parse(&query) {
                Some(Place { last: Some(last), count, .. })
                    if !is_end && count.is_none_or(|count| found.len() < count) =>
                {
                    page.after = Some(last)
                }
                _ => return Ok(found),
            }
        }
    }

    fn refused(&self, fault: StanzaFault) -> Exit {
        about(&self.jid, ClientError::Refused(Box::new(fault)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_nodes_are_asked_for_in_portions() {
        let nodes: Vec<NodeRef> = (0..250).map(|number| NodeRef::new(number.to_string(), "home")).collect();
        let parts = parts(nodes.clone());
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [100, 100, 50]);
        assert_eq!(parts.concat(), nodes);
    }
}
