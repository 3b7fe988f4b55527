//! What the operator wrote in `mirror`: which nodes of which JID, and how to speak with it. Decides what fits; does nothing.

use jid::BareJid;

use crate::model::{NodeRef, limits};
use crate::policy::Glob;
use crate::wire::Dialect;

/// One `mirror` entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Whose things.
    pub jid: BareJid,
    /// Which: a pattern over `source/id`, or over `id` for things that know no sources.
    pub nodes: Glob,
    /// Generations in the order in which they are tried; those that are not named are not spoken.
    pub generations: Vec<Dialect>,
    /// How often to read where no events are served, in milliseconds.
    pub poll_ms: u64,
    /// Fields that may be set although the thing serves no form that says so.
    pub controls: Vec<Glob>,
}

impl Mirror {
    /// Reads `JID` or `JID/pattern`; the rest is as usual.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (jid, nodes) = text.split_once('/').unwrap_or((text, ""));
        if jid.contains('*') {
            return Err(format!("\"{text}\": a thing has one JID; only what comes after it may have *"));
        }
        let jid =
            BareJid::new(jid).map_err(|error| format!("\"{jid}\" is no JID ({error}); write JID or JID/pattern"))?;
        let nodes = Glob::new(if nodes.is_empty() { "*" } else { nodes });
        let generations = Dialect::PREFERENCE.to_vec();
        Ok(Self { jid, nodes, generations, poll_ms: limits::MIRROR_POLL_MS, controls: Vec::new() })
    }

    /// Whether it means this node.
    pub(super) fn covers(&self, node: &NodeRef) -> bool {
        match node.source.is_empty() {
            true => self.nodes.fits(&node.id),
            false => self.nodes.fits(&node.to_string()),
        }
    }

    /// Whether it could mean a node of this source.
    pub(super) fn may_cover_source(&self, source: &str) -> bool {
        self.nodes.may_fit_some_of(&format!("{source}/"))
    }

    /// Whether it means what lives at this address.
    pub(super) fn covers_address(&self, address: &str) -> bool {
        let (jid, name) = address.split_once('/').unwrap_or((address, ""));
        jid == self.jid.as_str() && self.nodes.fits(name)
    }
}

/// Where a thing lives, for people, and unique among all things: the JID, then the source and the id as far as it has them.
pub(super) fn address(jid: &BareJid, node: &NodeRef) -> String {
    let parts = [jid.as_str(), &node.source, &node.partition, &node.id];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jid_alone_means_all_of_it() {
        let all = Mirror::parse("Meter@example.org").unwrap();
        assert_eq!(all.jid.as_str(), "meter@example.org");
        assert!(all.covers(&NodeRef::default()) && all.covers(&NodeRef::new("a", "s")));
    }

    #[test]
    fn a_pattern_is_over_source_and_id_or_the_id_alone() {
        let some = Mirror::parse("plant@example.com/home/*").unwrap();
        assert!(some.covers(&NodeRef::new("a/b", "home")) && !some.covers(&NodeRef::new("a", "office")));
        assert!(some.may_cover_source("home") && !some.may_cover_source("office"));
        let one = Mirror::parse("thing@example.com/Device1").unwrap();
        assert!(one.covers(&NodeRef::new("Device1", "")) && !one.covers(&NodeRef::new("Device2", "")));
    }

    #[test]
    fn what_is_no_jid_is_refused_with_the_form_to_write() {
        for (text, part) in [("*@example.org/x", "has one JID"), ("@/x", "is no JID"), ("", "is no JID")] {
            let error = Mirror::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn addresses_leave_out_what_is_empty() {
        let jid = BareJid::new("plant@example.com").unwrap();
        assert_eq!(address(&jid, &NodeRef::default()), "plant@example.com");
        assert_eq!(address(&jid, &NodeRef::new("kitchen/lamp", "home")), "plant@example.com/home/kitchen/lamp");
        assert!(
            Mirror::parse("plant@example.com/home/*").unwrap().covers_address("plant@example.com/home/kitchen/lamp")
        );
    }
}
